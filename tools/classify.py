"""Classify series: accuracy beside its controls, and the classes of new series.

    python tools/classify.py --data GunPoint
    python tools/classify.py --data walks.csv --label activity --per-class 5
    python tools/classify.py --data walks.csv --label activity --new new.csv --output classes.csv
    python tools/classify.py --data walks.csv --label activity --encoder runs/walks

A ridge reads an encoder's vectors beside random convolutions. Each of the two alone, a ridge on the
raw values and the most frequent class stand beside it. Of a set without split, 70 % of each class
are to learn from. New series are classified by what all labelled series teach: the file has a row
for each, with its id or number, its class, and the probability of each class.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Literal

import numpy as np
import pandas as pd

from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.runs import check_seeds
from tsrep.datasets.files import check_table_name, write_table
from tsrep.datasets.labelled import read_instances
from tsrep.datasets.loading import load_classification
from tsrep.datasets.series import Panel
from tsrep.datasets.tables import TableConfig
from tsrep.evaluation.archive import accuracy, draw_labelled, features_of
from tsrep.features import RandomConvolutions
from tsrep.features.ridge_classifier import RidgeClassifier
from tsrep.sklearn import ContrastiveClassifier, PretrainedEncoder


@dataclass(frozen=True)
class Config:
    data: str
    """Name of a set of the UEA/UCR archive, or a labelled set of your own."""
    label: str | None = None
    """Column of the classes in a table of your own."""
    new: Path | None = None
    """Series to classify: a table like that of --data, with or without its classes, or .npy."""
    output: Path | None = None
    """File for the classes of the new series, .csv or .parquet."""
    encoder: str = "series-small"
    """Name of a shipped encoder, a run folder or a file encoder.safetensors."""
    features: Literal["both", "encoder", "random"] = "both"
    """What classifies new series: the encoder's vectors, random convolutions, or both."""
    per_class: int | None = None
    """Measure accuracy with so many labels of each class, drawn with each seed; default: all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of random convolutions and draws; new series are classified with the first."""
    data_root: Path | None = None
    """Folder of the archive's sets; default: $TSPCREP_DATA, then the user cache."""
    table: TableConfig = TableConfig()


def main(config: Config) -> None:
    _check(config)
    table = vars(config.table)
    panel = load_classification(config.data, label=config.label, root=config.data_root, **table)
    _check_panel(panel)
    new = None
    if config.new is not None:
        names, values = read_instances(config.new, config.label, **table)
        new = names, _scaled(values, panel, config.new)
    scores = accuracies(config, panel)
    labelled = len(draw_labelled(panel.train_labels, config.per_class, seed=0))
    print(f"{panel.name}: accuracy on {len(panel.test)} series, learnt from {labelled}")
    for system, found in scores.items():
        spread = f" ± {pstdev(found):.3f}" if len(set(found)) > 1 else ""
        print(f"{system:28}{fmean(found):.3f}{spread}")
    if new is not None and config.output is not None:
        write_table(classes_of(config, panel, *new), config.output)
        print(config.output)


def accuracies(config: Config, panel: Panel) -> dict[str, list[float]]:
    """Accuracy of the classifier, its parts and its controls, one for each seed."""
    vectors = features_of(PretrainedEncoder(config.encoder), panel)[:2]
    raw = tuple(np.nan_to_num(part.reshape(len(part), -1)) for part in (panel.train, panel.test))
    found: dict[str, list[float]] = {}
    for seed in config.seeds:
        kinds = [RandomConvolutions(differences=d, random_state=seed) for d in (False, True)]
        convolutions = [features_of(kind, panel)[:2] for kind in kinds]
        systems = {
            "encoder and convolutions": [vectors, *convolutions],
            "encoder alone": [vectors],
            "random convolutions alone": convolutions,
            "ridge on raw values": [raw],
        }
        for system, blocks in systems.items():
            train, test = zip(*blocks, strict=True)
            score = accuracy(RidgeClassifier, train, test, panel, config.per_class, seed)
            found.setdefault(system, []).append(score)
    frequent = np.bincount(panel.train_labels).argmax()
    return {**found, "most frequent class": [float(np.mean(panel.test_labels == frequent))]}


def classes_of(config: Config, panel: Panel, names: list, new: np.ndarray) -> pd.DataFrame:
    """The class of each series of ``new (N, T, C)``, scaled as the panel, with probabilities."""
    model = ContrastiveClassifier(
        config.features, encoder=config.encoder, random_state=config.seeds[0]
    )
    labels = np.concatenate([panel.train_labels, panel.test_labels])
    model.fit(np.concatenate([panel.train, panel.test]), labels)
    chances = model.predict_proba(new)
    classes = [panel.classes[k] for k in model.classes_]
    frame = pd.DataFrame({"id": names, "class": [classes[k] for k in chances.argmax(axis=1)]})
    return frame.join(pd.DataFrame(chances, columns=[f"p_{name}" for name in classes]))


def _check(config: Config) -> None:
    check_seeds(config.seeds)
    if (config.new is None) != (config.output is None):
        raise UserError("--new and --output belong together: give both, or neither")
    if config.output is not None:
        check_table_name(config.output)
    if config.per_class is not None and config.per_class < 1:
        raise UserError(f"--per-class: found {config.per_class}, expected at least 1")


def _check_panel(panel: Panel) -> None:
    if len(set(panel.train_labels)) < 2:
        raise UserError(f"{panel.name} has one class to learn from, expected at least 2")
    if panel.train.shape[1] < 2:
        raise UserError(f"{panel.name} has series of one step, expected at least 2")


def _scaled(values: np.ndarray, panel: Panel, path: Path) -> np.ndarray:
    """``values (N, T, C)`` in the data's units, scaled as the panel."""
    if values.shape[2] != panel.channels or values.shape[1] < 2:
        raise UserError(
            f"{path} has {values.shape[1]} steps of {values.shape[2]} channels, expected at least "
            f"2 steps of {panel.channels}, as {panel.name} has: give the same columns"
        )
    with np.errstate(over="ignore"):
        scaled = panel.scaler.transform(values)
    if np.isinf(scaled).any():
        raise UserError(
            f"{path} has a value that is infinite or far too large: correct it or leave it empty"
        )
    return scaled


if __name__ == "__main__":
    run_tool(main, Config)

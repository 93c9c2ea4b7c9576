"""Scores of per-point predictions on scenes, and probes of frozen features.

Labels are (N,) integers 0 .. C - 1; points of label -1 are ignored. The prediction for a voxel
counts for every input point in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from pcrep.cloud import Cloud, Scenes
from pcrep.encoders.encoding import Levels, encode, voxel_size
from pcrep.encoders.unet import SparseUNet
from pcrep.evaluation.folds import folds
from pcrep.evaluation.heads import Head, fit_head
from pcrep.evaluation.metrics import confusion, iou, precision_recall
from tspcrep.common.classifiers import Classifier, knn_probe
from tspcrep.common.errors import UserError

ProbeName = Literal["linear", "knn"]


def score(scenes: Scenes, predict: Callable[[Cloud], np.ndarray]) -> dict[str, Any]:
    """``{"miou": .., "iou": {class: ..}}`` of predictions, over the points of all scenes pooled.

    predict : cloud of N points -> classes (N,). Classes in neither truth nor predictions are left
    out of both. Where the classes that are things are known, ``foreground`` holds
    :func:`precision_recall`.
    """
    classes = len(scenes.classes)
    matrix = np.zeros((classes, classes), np.int64)
    for cloud in tqdm(scenes, desc=f"predict {scenes.name}", unit="scene", delay=2, leave=False):
        matrix += confusion(cloud.label, predict(cloud), classes)
    found = dict(zip(scenes.classes, iou(matrix).tolist(), strict=True))
    found = {name: value for name, value in found.items() if value == value}
    if not found:
        raise UserError(f"{scenes.name}: found no labelled point, expected labels to score with")
    scores = {"miou": fmean(found.values()), "iou": found}
    if scenes.things:
        pair = precision_recall(matrix, np.isin(scenes.classes, scenes.things))
        scores["foreground"] = dict(zip(("precision", "recall"), pair, strict=True))
    return scores


@dataclass(frozen=True)
class ProbeConfig:
    """How a classifier reads frozen features, and how many labelled points it is fitted to."""

    probe_points: int = 1000
    """Largest number of labelled points per scene."""
    probe_most: int = 10_000
    """Largest number of labelled points over all scenes."""
    balance: float = 1.0
    """Weight of the classes in a linear head: 0 counts each point alike, 1 each class."""

    def __post_init__(self) -> None:
        if self.probe_points < 1 or self.probe_most < 1 or not 0 <= self.balance <= 1:
            raise UserError(
                f"probe_points {self.probe_points}, probe_most {self.probe_most}, balance "
                f"{self.balance}: expected at least 1, at least 1, and 0 .. 1"
            )


def probe(
    encoder: SparseUNet,
    learn: Scenes,
    test: Scenes,
    voxel: float | None = None,
    name: ProbeName = "linear",
    config: ProbeConfig | None = None,
    seed: int = 0,
    levels: Levels = "both",
) -> dict[str, Any]:
    """:func:`score` on ``test`` of a classifier fitted to frozen features of ``learn``.

    name : ``linear`` (:func:`pcrep.evaluation.heads.fit_head`) or ``knn``
        (:func:`tspcrep.common.classifiers.knn_probe`), with their parameter selected on ``learn``.
        The points drawn from a scene depend on the seed, not on the encoder.
    voxel : voxel size in metres; by default that of the encoder's training, else 0.02.
    levels : which features are read, see :func:`pcrep.encoders.encoding.encode`.
    """
    voxel = voxel_size(encoder, voxel)
    classifier = fit_probe(encoder, learn, voxel, name, config, seed, levels)

    def predict(cloud: Cloud) -> np.ndarray:
        features, point_to_voxel = encode(encoder, cloud, voxel, levels)
        return classifier.predict(features)[point_to_voxel]

    return score(test, predict)


def fit_probe(
    encoder: SparseUNet,
    learn: Scenes,
    voxel: float | None = None,
    name: ProbeName = "linear",
    config: ProbeConfig | None = None,
    seed: int = 0,
    levels: Levels = "both",
) -> Head | Classifier:
    """Fit the classifier of :func:`probe`: a :class:`Head` or, for ``knn``, a Classifier.

    Raises UserError if all labels are of one class.
    """
    config, voxel = config or ProbeConfig(), voxel_size(encoder, voxel)
    x, y, fold = _labelled_features(encoder, learn, voxel, config, seed, levels)
    if len(np.unique(y)) < 2:
        raise UserError(
            f"{learn.name}: the labelled points are all of one class, expected at least 2 classes"
        )
    if name == "knn":
        return knn_probe(x, y)
    return fit_head(x, y, fold, len(learn.classes), config.balance)


def _labelled_features(
    encoder: SparseUNet,
    scenes: Scenes,
    voxel: float,
    config: ProbeConfig,
    seed: int,
    levels: Levels,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, D), label (n,) and fold (n,) of the drawn points of all scenes."""
    rows = []
    bar = tqdm(scenes, desc="encode", unit="scene", delay=2, leave=False)
    for index, (cloud, fold) in enumerate(zip(bar, folds(scenes), strict=True)):
        known = np.flatnonzero(cloud.label >= 0)
        if len(known) > config.probe_points:
            random = np.random.default_rng((seed, index))
            known = np.sort(random.choice(known, config.probe_points, replace=False))
        voxels, point_to_voxel = encode(encoder, cloud, voxel, levels)
        rows.append((voxels[point_to_voxel[known]], cloud.label[known], fold[known]))
    x, y, fold = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    if len(x) > config.probe_most:
        kept = np.sort(np.random.default_rng(seed).choice(len(x), config.probe_most, replace=False))
        x, y, fold = x[kept], y[kept], fold[kept]
    return x, y, fold


def over_seeds(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds of :func:`score`, with the standard deviation of mIoU as ``miou_std``."""
    classes = {name: None for result in results for name in result["iou"]}
    mious = [result["miou"] for result in results]
    found: dict[str, Any] = {
        "miou": fmean(mious),
        "miou_std": pstdev(mious),
        "iou": {
            name: fmean(result["iou"].get(name, 0.0) for result in results) for name in classes
        },
    }
    if "foreground" in results[0]:
        found["foreground"] = {
            name: fmean(result["foreground"][name] for result in results)
            for name in ("precision", "recall")
        }
    return found


def columns(found: dict[str, Any]) -> dict[str, float]:
    """Columns of a table: IoU per class, mIoU, and foreground precision and recall where known."""
    return {**found["iou"], "mIoU": found["miou"], **found.get("foreground", {})}


def table(result: dict[str, Any]) -> str:
    """``result.json`` of a segmentation as text: a row per system, :func:`columns` in per cent."""
    systems = {result["mode"]: result, **result["controls"]}
    names = list(columns(result))
    width = max(map(len, names)) + 2
    lines = [f"{'IoU, %':<24}" + "".join(f"{name:>{width}}" for name in names)]
    for name, found in systems.items():
        numbers = columns(found)
        cells = "".join(f"{100 * numbers.get(n, float('nan')):>{width}.1f}" for n in names)
        lines.append(f"{name:<24}{cells}  mIoU +- {100 * found['miou_std']:.1f}")
    if "spread" in result:
        lines.append(f"+- : over {len(result['seeds'])} seeds: {result['spread']}")
    return "\n".join(lines)

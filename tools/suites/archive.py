"""Classifiers of series over a folder of UEA/UCR sets, at all labels and at a few of each class.

Every system sees the same labels for a seed. Kept scores are found again as long as the code and
the settings that made them are the same, so that an interrupted benchmark goes on. Settings were
chosen on train halves; test halves are used for the numbers of this table only.
"""

import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
from suites.archive_controls import Catch22, Forest, MiniRocket, PapersRidge, RawValues
from suites.table import RESULTS, Row, machine
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically, write_json
from tsrep import load_encoder
from tsrep.datasets.archive import archive_sets, load_set
from tsrep.datasets.series import Panel
from tsrep.encoders import Encoder
from tsrep.encoders.files import untrained
from tsrep.evaluation.archive import Features, Head, accuracy, features_of
from tsrep.evaluation.ranks import compare
from tsrep.features import RandomConvolutions
from tsrep.features.ridge_classifier import RidgeClassifier
from tsrep.reports.ranks import rank_picture
from tsrep.sklearn import PretrainedEncoder

LABELS: tuple[int | None, ...] = (None, 1, 5, 10)
"""Labels of each class; None are all."""
QUICK = (
    "BeetleFly",
    "ECGFiveDays",
    "GunPoint",
    "MoteStrain",
    "SonyAIBORobotSurface1",
    "TwoLeadECG",
)
PUBLISHED = "published.csv"
SHOWN = ("MiniROCKET", "MR-Hydra", "HC2", "Catch22", "1NN-DTW", "QUANT", "InceptionTime")
"""Published columns in the picture; all of them are in the table."""
KEPT = Path("runs/benchmark-archive")
SOURCES = Path(__file__).parents[2]


@dataclass(frozen=True)
class System:
    """parts: features of a seed. head: classifier of a seed. sources: files and packages that it
    runs."""

    parts: Callable[[int], list[Features]]
    head: Callable[[int], Head]
    sources: tuple[str, ...]


RIDGE = ("tsrep/features", "tsrep/evaluation/archive.py")
ENCODING = (*RIDGE, "tsrep/sklearn/pretrained.py", "tsrep/encoders")
CONTROLS = ("tools/suites/archive_controls.py", "tsrep/evaluation/archive.py")


def systems(encoder: str) -> dict[str, System]:
    """All systems, with the encoder of this name or path. A new one is a line here."""

    @cache
    def trained() -> Encoder:
        return load_encoder(encoder)

    @cache
    def fresh(seed: int) -> Encoder:
        return untrained(trained(), seed)

    def vectors(seed: int) -> list[Features]:
        return [PretrainedEncoder(trained())]

    def random_vectors(seed: int) -> list[Features]:
        return [PretrainedEncoder(fresh(seed))]

    def convolutions(seed: int) -> list[Features]:
        return [RandomConvolutions(differences=d, random_state=seed) for d in (False, True)]

    def ridge(seed: int) -> Head:
        return RidgeClassifier

    return {
        "fusion": System(lambda seed: vectors(seed) + convolutions(seed), ridge, ENCODING),
        "encoder": System(vectors, ridge, ENCODING),
        "random_encoder": System(random_vectors, ridge, ENCODING),
        "random_convolutions": System(convolutions, ridge, RIDGE),
        "minirocket": System(
            lambda seed: [MiniRocket(seed)], lambda seed: PapersRidge(), (*CONTROLS, "sktime")
        ),
        "catch22": System(lambda seed: [Catch22()], Forest, (*CONTROLS, "pycatch22")),
        "raw_ridge": System(lambda seed: [RawValues()], ridge, (*RIDGE, *CONTROLS)),
    }


def folder(given: Path | None) -> Path:
    """The folder of sets: ``given``, or ``series/ucr`` in $TSPCREP_DATA."""
    if given is not None:
        return given
    if "TSPCREP_DATA" not in os.environ:
        raise UserError("--archive: no folder given and $TSPCREP_DATA is not set: give a folder")
    return Path(os.environ["TSPCREP_DATA"]) / "series" / "ucr"


def rows(
    source: Path, encoder: str, seeds: tuple[int, ...], names: tuple[str, ...], quick: bool
) -> Iterator[Row]:
    """Rows of each set and of their means, beside what is published; the picture is written too,
    for some of the sets beside the kept scores.
    """
    sets = archive_sets(source)
    unknown = sorted(set(names) - set(sets))
    if unknown:
        raise UserError(f"--cases: no set {unknown[0]!r} in {source}")
    chosen = names or ((set(QUICK) & set(sets)) or list(sets)[:6] if quick else sets)
    chosen = tuple(sorted(chosen))
    seeds = seeds[:1] if quick else seeds
    found = {(system, name): r for system, name, r in scores(sets, chosen, encoder, seeds)}
    published = read_published(source / PUBLISHED)
    compared = [name for name in chosen if name in published] or list(chosen)
    for (system, name), results in found.items():
        for labels in map(_case, LABELS):
            values = [result[labels] for result in results]
            yield _row(f"{name}/{labels}", system, "accuracy", values)
    for labels in map(_case, LABELS):
        yield from _means(found, compared, labels, published if labels == _case(None) else {})
    name = f"archive-{machine()}.png"
    write_picture(KEPT / name if quick or names else RESULTS / name, found, compared, published)


def scores(
    sets: dict[str, Path], names: tuple[str, ...], encoder: str, seeds: tuple[int, ...]
) -> Iterator[tuple[str, str, list[dict[str, float]]]]:
    """``(system, set, one result a seed)`` of all systems that can run here."""
    known = {name: system for name, system in systems(encoder).items() if _runs(system)}
    keys = {name: key(name, system, encoder) for name, system in known.items()}
    bar = tqdm([(name, system) for name in names for system in known], desc="archive")
    panel: Panel | None = None
    made: dict[tuple, tuple[np.ndarray, np.ndarray, float]] = {}
    for name, system in bar:
        bar.set_postfix_str(f"{name} {system}")
        results = []
        for seed in seeds:
            path = KEPT / keys[system] / name / f"{seed}.json"
            if not path.exists():
                if panel is None or panel.name != name:
                    panel, made = load_set(sets[name]), {}
                write_json(path, _score(known[system], panel, seed, made))
            results.append(json.loads(path.read_text()))
        yield system, name, results


def _score(system: System, panel: Panel, seed: int, made: dict) -> dict[str, float]:
    """Accuracy by number of labels, and seconds at all labels.

    made: features of this set; those that several systems or seeds share are made once.
    """
    keys = []
    for part in system.parts(seed):
        keys.append((type(part), *part.get_params().values()))
        if keys[-1] not in made:
            made[keys[-1]] = features_of(part, panel)
    train, test, seconds = zip(*(made[key] for key in keys), strict=True)
    found = {}
    for labels in LABELS:
        started = time.perf_counter()
        found[_case(labels)] = accuracy(system.head(seed), train, test, panel, labels, seed)
        if labels is None:
            found["seconds"] = sum(seconds) + time.perf_counter() - started
    return found


def read_published(path: Path) -> dict[str, dict[str, float]]:
    """``{set: {classifier: accuracy}}`` on the same split, of sets that all classifiers have."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        table = {row.pop("set"): row for row in csv.DictReader(file)}
    return {
        name: {system: float(value) for system, value in row.items()}
        for name, row in table.items()
        if all(row.values())
    }


def write_picture(path: Path, found: dict, names: list[str], published: dict) -> None:
    """The ranks of ours and of some published classifiers, at all labels."""
    ours = {
        s: _per_set(found, s, names, _case(None)) for s in dict.fromkeys(key[0] for key in found)
    }
    theirs = {
        f"{system} (published)": np.array([published[name][system] for name in names])
        for system in SHOWN
        if names[0] in published and system in published[names[0]]
    }
    title = f"average rank over {len(names)} sets, all labels; bars: no difference (Wilcoxon-Holm)"
    picture = rank_picture(compare({**ours, **theirs}), title)
    write_atomically(path, lambda file: file.write(picture))


def _means(found: dict, names: list[str], labels: str, published: dict) -> Iterator[Row]:
    """Mean accuracy, average rank and wins over ``names``, of ours and of what is published."""
    case = f"mean of {len(names)}/{labels}"
    ours = dict.fromkeys(key[0] for key in found)
    comparison = compare({system: _per_set(found, system, names, labels) for system in ours})
    for system in ours:
        runs = [found[system, name] for name in names]
        yield _row(case, system, "accuracy", _over_sets(runs, labels))
        if labels == _case(None):
            yield _row(case, system, "seconds a set", _over_sets(runs, "seconds"), "s")
            yield Row(case, system, "longest", max(r["seconds"] for run in runs for r in run), "s")
        place = comparison.systems.index(system)
        yield Row(case, system, "rank", float(comparison.ranks[place]))
        for other, rival in enumerate(comparison.systems):
            if rival != system:
                wins = float(comparison.wins[place, other])
                yield Row(case, system, f"wins over {rival}", wins, f"of {len(names)}")
    for system in next(iter(published.values()), {}):
        value = fmean(published[name][system] for name in names)
        yield Row(case, f"{system}-published", "accuracy", value)


def _over_sets(runs: list[list[dict[str, float]]], what: str) -> list[float]:
    """The mean over sets, by seed."""
    return [fmean(result[what] for result in results) for results in zip(*runs, strict=True)]


def _row(case: str, system: str, metric: str, values: list[float], unit: str = "") -> Row:
    """Mean and spread over seeds."""
    spread = pstdev(values) if len(values) > 1 else None
    return Row(case, system, metric, fmean(values), unit, spread, len(values))


def _per_set(found: dict, system: str, names: list[str], labels: str) -> np.ndarray:
    """Mean accuracy over seeds, by set."""
    return np.array([fmean(r[labels] for r in found[system, name]) for name in names])


def _case(labels: int | None) -> str:
    return "all" if labels is None else f"{labels} a class"


def _runs(system: System) -> bool:
    return all(_installed(source) for source in system.sources)


def _installed(source: str) -> bool:
    if (SOURCES / source).exists():
        return True
    try:
        return bool(version(source))
    except PackageNotFoundError:
        return False


def key(name: str, system: System, encoder: str) -> str:
    """A folder's name for this system that changes with its code, its packages and its encoder."""
    digest = hashlib.sha256()
    for source in system.sources:
        path = SOURCES / source
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(file.read_bytes() if path.exists() else version(source).encode())
    if ENCODING[-1] in system.sources:
        for tensor in load_encoder(encoder).state_dict().values():
            digest.update(tensor.numpy().tobytes())
    return f"{name}-{digest.hexdigest()[:12]}"

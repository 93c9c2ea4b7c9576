"""Series with known motifs, change points and anomalies."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tsrep.datasets import load
from tsrep.datasets.series import Panel
from tsrep.evaluation.injection import KINDS, inject

Search = Callable[[np.ndarray, int], tuple[int, int]]
PERIOD = 24
"""Of the clean series, which are hourly."""


def motif_cases(panels: list[Panel], seed: int) -> Iterator[tuple[np.ndarray, int, list[int]]]:
    """``(series, window, two starts)``: two series of one class between those of other classes.

    Every other class is there once at most, so that no other pair is of one class; between all are
    random walks of a window's length. Sets with too few classes repeat walks.
    """
    rng = np.random.default_rng([seed, 1])
    for panel in panels:
        x, length = panel.train[..., 0], panel.train.shape[1]
        if length < 64 or np.isnan(x).any():
            continue
        chosen, *others = rng.permutation(np.unique(panel.train_labels))
        rows = np.flatnonzero(panel.train_labels == chosen)
        if len(rows) < 2:
            continue
        pair = rng.choice(rows, 2, replace=False)
        singles = [rng.choice(np.flatnonzero(panel.train_labels == c)) for c in others[:6]]
        order = rng.permutation([*pair, *singles])
        parts, true, at = [], [], 0
        for row in order:
            walk = rng.normal(size=length).cumsum()
            parts += [(walk - walk.mean()) / walk.std(), _standard(x[row])]
            if row in pair:
                true.append(at + length)
            at += 2 * length
        yield np.concatenate(parts), length, true


def change_cases(panels: list[Panel], seed: int) -> Iterator[tuple[np.ndarray, int, list[int]]]:
    """``(series, window, cuts)``: four to six runs, each of three to five series of a class."""
    rng = np.random.default_rng([seed, 2])
    for panel in panels:
        x, length = panel.train[..., 0], panel.train.shape[1]
        if np.isnan(x).any():
            continue
        parts, cuts, at, last = [], [], 0, None
        for _ in range(int(rng.integers(4, 7))):
            label = rng.choice([c for c in np.unique(panel.train_labels) if c != last])
            runs = rng.choice(np.flatnonzero(panel.train_labels == label), int(rng.integers(3, 6)))
            parts += [_standard(x[row]) for row in runs]
            cuts.append(at)
            at, last = at + len(runs) * length, label
        yield np.concatenate(parts), length, cuts[1:]


SEEN = (("ETTh1", 1), ("ETTh1", 6), ("WTH", 1), ("WTH", 11))
LATER = (("ETTh1", 3), ("WTH", 4), ("WTH", 8), ("ETTh2", 1))
HELD_OUT = "held-out columns"


class Anomalies(NamedTuple):
    """cases: ``(kind, series, labels)``, each beside the same normal part."""

    normal: np.ndarray
    window: int
    cases: list[tuple[str, np.ndarray, np.ndarray]]


def anomaly_cases(seed: int) -> Iterator[Anomalies]:
    """Hourly series with one anomaly of each kind, and the labelled series of aeon's wheel where
    ``$AEON_DATA`` names its folder. The last columns were measured when all was settled; their
    kinds are one case.
    """
    rng = np.random.default_rng([seed, 3])
    for number, clean in enumerate(clean_series()):
        normal, rest = clean[:700], clean[700:1400]
        cases = []
        for kind in KINDS:
            start = int(rng.integers(100, 500))
            length = int(rng.integers(PERIOD, 3 * PERIOD))
            name = kind if number < len(SEEN) else HELD_OUT
            cases.append((name, *inject(rest, kind, start, length, rng)))
        yield Anomalies(normal, 2 * PERIOD, cases)
    folder = os.environ.get("AEON_DATA")
    if folder:
        yield published_anomaly(Path(folder))


def clean_series() -> list[np.ndarray]:
    """1,400 hours of columns of ETTh1, WTH and ETTh2, standardised."""
    found = []
    for name, column in (*SEEN, *LATER):
        values = load(name).values[0]
        found.append(_standard(values[:1400, column].astype(np.float64)))
    return found


def published_anomaly(folder: Path) -> Anomalies:
    """KDD-TSAD 135: arterial pressure with one odd beat; a beat takes 183 steps."""
    stem = folder / "KDD-TSAD_135" / "135_UCR_Anomaly_InternalBleeding16_"
    normal, test = (
        np.genfromtxt(f"{stem}{part}.csv", delimiter=",", skip_header=1)
        for part in ("TRAIN", "TEST")
    )
    seen = len(normal)  # the test file begins with the train file
    labels = test[seen:, 2].astype(bool)
    return Anomalies(normal[:, 1], 183, [("KDD-TSAD_135", test[seen:, 1], labels)])


def _standard(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / max(x.std(), 1e-6)

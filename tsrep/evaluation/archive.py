"""Features and a classifier of them on a labelled set: all labels, or a few of each class.

Features see all train series without labels, then the classifier sees the labelled ones: many
series of which few are labelled, and features are made once for all draws of labels.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tsrep.datasets.series import Panel

Blocks = Sequence[np.ndarray]
"""Blocks of features, arrays (N, d_k)."""


class Features(Protocol):
    """A scikit-learn transformer: series (N, T, C), NaN where missing, to an array (N, d)."""

    def fit(self, X: np.ndarray) -> Any: ...
    def transform(self, X: np.ndarray) -> np.ndarray: ...


class FittedHead(Protocol):
    def predict(self, blocks: Blocks) -> np.ndarray: ...


class Head(Protocol):
    """A classifier of blocks of features."""

    def fit(self, blocks: Blocks, y: np.ndarray) -> FittedHead: ...


def features_of(part: Features, panel: Panel) -> tuple[np.ndarray, np.ndarray, float]:
    """Features of the train and of the test part, and the seconds that they took."""
    started = time.perf_counter()
    train = part.fit(panel.train).transform(panel.train)
    return train, part.transform(panel.test), time.perf_counter() - started


def accuracy(
    head: Head, train: Blocks, test: Blocks, panel: Panel, per_class: int | None, seed: int
) -> float:
    """Accuracy on the test part of a head that is fitted to a draw of labels."""
    rows = draw_labelled(panel.train_labels, per_class, seed)
    fitted = head.fit([block[rows] for block in train], panel.train_labels[rows])
    return float(np.mean(fitted.predict(test) == panel.test_labels))


def draw_labelled(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Rows of ``per_class`` series of each class, drawn with ``seed``; all rows for None.

    Who has the same labels and seed has the same rows, and those of a smaller number are among
    those of a larger one. A class with fewer series gives all it has.
    """
    if per_class is None:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    rows = [order[labels[order] == label][:per_class] for label in np.unique(labels)]
    return np.sort(np.concatenate(rows))

"""Metrics of per-point classes: confusion matrix, IoU, precision and recall of the foreground.

Labels are (N,) integers 0 .. C - 1; points of label -1 are ignored.
"""

from collections.abc import Iterable

import numpy as np

from pcrep.cloud import Cloud


def label_counts(clouds: Iterable[Cloud], classes: int) -> np.ndarray:
    """Number (S, C) int64 of labelled points of each class in each cloud."""
    labels = (cloud.known("label") for cloud in clouds)
    return np.array([np.bincount(label[label >= 0], minlength=classes) for label in labels])


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix (C, C) int64: points of true class i predicted as j. Inputs are (N,)."""
    known = truth >= 0
    truth, predicted = truth[known], predicted[known]
    for name, labels in (("truth", truth), ("predicted", predicted)):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"{name} holds {labels.min()} .. {labels.max()}, expected 0 .. {classes - 1}"
            )
    cells = truth.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union (C,) per class; NaN for classes in neither truth nor prediction."""
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def precision_recall(matrix: np.ndarray, things: np.ndarray) -> tuple[float, float]:
    """Precision and recall of foreground points, whichever thing they are taken for.

    matrix : a :func:`confusion`. things : (C,) mask of the foreground classes. Precision is 0
    without predicted, recall without true foreground.
    """
    hits = matrix[things][:, things].sum()
    called, there = matrix[:, things].sum(), matrix[things].sum()
    return float(hits / max(called, 1)), float(hits / max(there, 1))

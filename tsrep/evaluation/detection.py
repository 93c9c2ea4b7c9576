"""Scores of detectors: the volume under the precision-recall surface, and matched change points."""

from collections.abc import Sequence

import numpy as np

_THRESHOLDS = 250


def vus_pr(scores: np.ndarray, labels: np.ndarray, buffer: int) -> float:
    """VUS-PR of anomaly scores (T,) by labels (T,), 1 for an anomaly: from 0 to 1, 1 the best.

    Paparrizos et al., "Volume Under the Surface" (VLDB 2022), Section 4: the mean, over buffers
    ``l = 0 .. buffer`` steps, of the area under the precision-recall curve in which labels fall off
    beside an anomaly, as ``sqrt(1 - d / l)`` at d steps from it, up to l / 2 steps, and recall
    counts the share of anomalies that are found at all. In their symbols, with the thresholded
    scores p, labels y and extended labels y':

        P = sum_t (y_t + y'_t) / 2     recall = min(sum_t p_t y'_t / P, 1) * found / anomalies
        precision = sum_t p_t y'_t / sum_t p_t

    Thresholds are at most 250 quantiles of the scores. Area: each step of recall times the
    precision at its end. Raises ValueError if no step is an anomaly, or all.
    """
    labels = np.asarray(labels, dtype=bool)
    scores = np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1 or labels.all() or not labels.any():
        raise ValueError(
            f"scores {scores.shape} and labels {labels.shape} with {labels.sum()} anomalous steps, "
            "expected as many of both, and steps of both kinds"
        )
    levels = np.unique(np.quantile(scores, np.linspace(0, 1, _THRESHOLDS), method="lower"))[::-1]
    above = scores >= levels[:, None]  # (K, T)
    return float(np.mean([_area(above, labels, length) for length in range(buffer + 1)]))


def _area(above: np.ndarray, labels: np.ndarray, length: int) -> float:
    soft = extended(labels, length)
    hits, predicted = above @ soft, above.sum(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[0, soft > 0, 0]))
    ranges = edges.reshape(-1, 2)
    found = np.mean([above[:, start:stop].any(axis=1) for start, stop in ranges], axis=0)
    recall = np.minimum(hits / ((labels + soft).sum() / 2), 1) * found
    return float(np.sum(np.diff(recall, prepend=0) * hits / predicted))


def extended(labels: np.ndarray, length: int) -> np.ndarray:
    """Labels (T,) from 0 to 1 that fall off on both sides of each anomaly."""
    soft = labels.astype(np.float64)
    places = np.flatnonzero(labels)
    steps = np.arange(len(labels))
    after = np.searchsorted(places, steps).clip(max=len(places) - 1)
    gaps = [np.abs(steps - places[after]), np.abs(steps - places[np.maximum(after - 1, 0)])]
    distance = np.minimum(*gaps)
    near = (distance > 0) & (distance <= length // 2)
    soft[near] = np.sqrt(1 - distance[near] / length)
    return soft


def change_point_f1(found: Sequence[int], true: Sequence[int], margin: int) -> float:
    """F1 of change points, each true one matched by at most one found within ``margin`` steps.

    With the series' start as a change point that everyone finds, so that precision is defined
    (van den Burg & Williams, arXiv 2003.06222, Section 4).
    """
    left, hits = sorted({0, *map(int, found)}), 0
    count = len(left)
    true = sorted({0, *map(int, true)})
    for place in true:
        near = [x for x in left if abs(x - place) <= margin]
        if near:
            left.remove(min(near, key=lambda x: abs(x - place)))
            hits += 1
    precision, recall = hits / count, hits / len(true)
    return 2 * precision * recall / (precision + recall) if hits else 0.0

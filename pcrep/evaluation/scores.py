"""Scores of per-point predictions (IoU, precision, recall), and probes of frozen features.

Labels are (N,) integers 0 .. C - 1; points of label -1 are ignored. The prediction for a voxel
counts for every input point in it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, pstdev
from typing import Any, Literal

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from pcrep.cloud import Cloud, Scenes
from pcrep.encoders.encoding import encode, voxel_size
from pcrep.encoders.unet import SparseUNet
from tspcrep.common.classifiers import Classifier, knn_probe, linear_probe
from tspcrep.common.errors import UserError

ProbeName = Literal["linear", "knn"]
PROBES: dict[str, Callable[..., Classifier]] = {
    # With thousands of points a weaker penalty gains nothing and takes long to fit.
    "linear": partial(linear_probe, penalties=(0.001, 0.01, 0.1, 1.0, 10.0)),
    "knn": knn_probe,
}


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
    """Number of labelled points that a probe of frozen features is fitted to."""

    probe_points: int = 1000
    """Largest number of labelled points per scene."""
    probe_most: int = 10_000
    """Largest number of labelled points over all scenes."""

    def __post_init__(self) -> None:
        if self.probe_points < 1 or self.probe_most < 1:
            raise UserError(
                f"probe_points {self.probe_points}, probe_most {self.probe_most}: expected at "
                "least 1"
            )


def probe(
    encoder: SparseUNet,
    learn: Scenes,
    test: Scenes,
    voxel: float | None = None,
    name: ProbeName = "linear",
    config: ProbeConfig | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """:func:`score` on ``test`` of a classifier fitted to frozen features of ``learn``.

    name : ``linear`` (logistic regression on standardised features) or ``knn``, both from
    :mod:`tspcrep.common.classifiers`, with their parameter selected on ``learn``. The points drawn
    from a scene depend on the seed, not on the encoder.
    voxel : voxel size in metres; by default that of the encoder's training, else 0.02.
    """
    voxel = voxel_size(encoder, voxel)
    classifier = fit_probe(encoder, learn, voxel, name, config, seed)

    def predict(cloud: Cloud) -> np.ndarray:
        features, point_to_voxel = encode(encoder, cloud, voxel)
        return classifier.predict(features)[point_to_voxel]

    return score(test, predict)


def fit_probe(
    encoder: SparseUNet,
    learn: Scenes,
    voxel: float | None = None,
    name: ProbeName = "linear",
    config: ProbeConfig | None = None,
    seed: int = 0,
) -> Classifier:
    """Fit the classifier of :func:`probe`. Raises UserError if all labels are of one class."""
    config, voxel = config or ProbeConfig(), voxel_size(encoder, voxel)
    rows = _labelled_features(encoder, learn, voxel, config, seed)
    x, y = (np.concatenate(parts) for parts in rows)
    if len(x) > config.probe_most:
        kept = np.sort(np.random.default_rng(seed).choice(len(x), config.probe_most, replace=False))
        x, y = x[kept], y[kept]
    present = np.unique(y)
    if len(present) < 2:
        raise UserError(
            f"{learn.name}: the labelled points are all of one class, expected at least 2 classes"
        )
    with warnings.catch_warnings():  # a fit that has not converged is judged by its score
        warnings.simplefilter("ignore", ConvergenceWarning)
        return PROBES[name](x, y)


def _labelled_features(
    encoder: SparseUNet, scenes: Scenes, voxel: float, config: ProbeConfig, seed: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    features, labels = [], []
    for index, cloud in enumerate(tqdm(scenes, desc="encode", unit="scene", delay=2, leave=False)):
        known = np.flatnonzero(cloud.label >= 0)
        if len(known) > config.probe_points:
            random = np.random.default_rng((seed, index))
            known = np.sort(random.choice(known, config.probe_points, replace=False))
        voxels, point_to_voxel = encode(encoder, cloud, voxel)
        features.append(voxels[point_to_voxel[known]])
        labels.append(cloud.label[known])
    return features, labels


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
    return "\n".join(lines)

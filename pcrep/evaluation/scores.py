"""What per-point predictions are worth, and what frozen features are.

Labels are (N,) integers 0 .. C - 1; points of label -1 count nowhere. What a network says of a
voxel counts for every input point in it.
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
    # Thousands of points need no weaker penalty, and a weaker one takes long to fit.
    "linear": partial(linear_probe, penalties=(0.001, 0.01, 0.1, 1.0, 10.0)),
    "knn": knn_probe,
}


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) int64, points of true class i that were called j. Both arguments are (N,)."""
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
    """Intersection over union (C,) of each class; NaN where neither truth nor prediction has it."""
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(0) + matrix.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def precision_recall(matrix: np.ndarray, things: np.ndarray) -> tuple[float, float]:
    """Of points of any thing, whichever thing they are called: from a :func:`confusion`.

    things : (C,) mask of the classes that are things. 0 where none is called one, or none is one.
    """
    hits = matrix[things][:, things].sum()
    called, there = matrix[:, things].sum(), matrix[things].sum()
    return float(hits / max(called, 1)), float(hits / max(there, 1))


def score(scenes: Scenes, predict: Callable[[Cloud], np.ndarray]) -> dict[str, Any]:
    """``{"miou": .., "iou": {class: ..}}`` of predictions over the points of all scenes together.

    predict : cloud of N points -> classes (N,). A class that no scene has and nobody predicted is
    left out of both. Where it is known which classes are things, ``foreground`` has the precision
    and the recall of points of a thing, whichever it is taken for.
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
    """How many labelled points a probe of frozen features learns from."""

    probe_points: int = 1000
    """In each scene, at most."""
    probe_most: int = 10_000
    """In all, at most."""

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
    """:func:`score` on ``test`` of a classifier fitted on the frozen features of ``learn``.

    name : ``linear``, a logistic regression on standardised features, or ``knn``, both of
    :mod:`tspcrep.common.classifiers`, their parameter chosen on the points of ``learn``. The same
    points of a scene are drawn for every encoder with the same seed.
    voxel : metres; what the encoder was trained on, or else 0.02.
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
    """The classifier of :func:`probe`. Raises UserError where all labels are of one class."""
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
    with warnings.catch_warnings():  # a fit that has not ended is judged by how it classifies
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
    """Means of :func:`score` over seeds, with the standard deviation of mIoU as ``miou_std``."""
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
    """IoU of each class, their mean, and the foreground's precision and recall where known."""
    return {**found["iou"], "mIoU": found["miou"], **found.get("foreground", {})}


def table(result: dict[str, Any]) -> str:
    """``result.json`` of a segmentation as text: a row a system, :func:`columns` in per cent."""
    systems = {result["mode"]: result, **result["controls"]}
    names = list(columns(result))
    width = max(map(len, names)) + 2
    lines = [f"{'IoU, %':<24}" + "".join(f"{name:>{width}}" for name in names)]
    for name, found in systems.items():
        numbers = columns(found)
        cells = "".join(f"{100 * numbers.get(n, float('nan')):>{width}.1f}" for n in names)
        lines.append(f"{name:<24}{cells}  mIoU +- {100 * found['miou_std']:.1f}")
    return "\n".join(lines)

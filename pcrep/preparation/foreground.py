"""Unsupervised objectness: one score per segment, and the sampling weights derived from it."""

from typing import Literal, get_args

import numpy as np

from pcrep.cloud import Cloud
from pcrep.preparation.background import is_background
from pcrep.preparation.neighbours import nearest, sharpen, surface, to_cells

Sampling = Literal["random", "size-balanced", "plane-removed", "objectness"]
_FOREGROUND = 0.5
"""Objectness above which a segment is foreground."""
_CELLS = 40_000
"""Number of cells that a scene is thinned to."""


def objectness(cloud: Cloud) -> np.ndarray:
    """Objectness (S,) float32 in 0 .. 1: how likely each segment is part of an object.

        (1 - background) (1 - min(1, size / 0.2)^2)

    background = fraction of the segment's points that are background by bounding planes, normals,
    height above ground and extent from floor to ceiling
    (:func:`pcrep.preparation.background.is_background`); size = fraction of the scene's surface.
    FAC's published record only says that large homogeneous segments are background; the rest is
    our choice. Planarity of a segment is no cue, since boxes and tables are as flat as walls.

    cloud : with ``segment``, gravity along -z (:func:`pcrep.preparation.planes.upright`).
    """
    segment = _segments(cloud)
    cells = to_cells(cloud.coords, budget=_CELLS)
    index, _ = nearest(cells.centre, 12)
    shape = surface(cells.centre, index)
    behind = is_background(cells, sharpen(cells.centre, index, shape), shape.variance)
    known = segment >= 0
    rows, member = segment[known], cells.member[known]
    background = np.bincount(rows, behind[member]) / np.maximum(np.bincount(rows), 1)
    size = np.bincount(rows, 1 / cells.count[member]) / len(cells.count)
    score = (1 - background) * (1 - np.minimum(1, size / 0.2) ** 2)
    return score.astype(np.float32)


def foreground(cloud: Cloud) -> np.ndarray:
    """Foreground mask (N,) bool of the points: those of segments with objectness above 0.5."""
    segment = _segments(cloud)
    return (segment >= 0) & (_score(cloud)[segment] > _FOREGROUND)


def segment_weights(cloud: Cloud, how: Sampling = "objectness", smallest: int = 20) -> np.ndarray:
    """Sampling probability (S,) float64 of each segment; all 0 if no segment qualifies.

    how : ``random``, proportional to points; ``size-balanced``, uniform; ``plane-removed``,
        uniform over foreground segments; ``objectness``, proportional to objectness.
    smallest : segments with fewer points have probability 0, except with ``random``.
    """
    segment = _segments(cloud)
    points = np.bincount(segment[segment >= 0])
    large = points >= smallest
    weight: np.ndarray
    if how == "random":
        weight = points.astype(np.float64)
    elif how == "size-balanced":
        weight = large.astype(np.float64)
    elif how == "plane-removed":
        weight = (large & (_score(cloud) > _FOREGROUND)).astype(np.float64)
    elif how == "objectness":
        weight = large * _score(cloud).astype(np.float64)
    else:
        raise ValueError(f"how is {how!r}, expected one of {', '.join(get_args(Sampling))}")
    return weight / (weight.sum() or 1.0)


def _score(cloud: Cloud) -> np.ndarray:
    return objectness(cloud) if cloud.objectness is None else cloud.objectness


def _segments(cloud: Cloud) -> np.ndarray:
    if cloud.segment is None:
        raise ValueError("the cloud's segments are not known; pcrep.preparation.prepare finds them")
    return cloud.segment

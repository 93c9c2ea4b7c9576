"""What in a scene may be an object, without labels: a score a segment, and weights to sample by."""

from typing import Literal, get_args

import numpy as np

from pcrep.cloud import Cloud
from pcrep.preparation.background import is_background
from pcrep.preparation.neighbours import nearest, sharpen, surface, to_cells

Sampling = Literal["random", "size-balanced", "plane-removed", "objectness"]
_FOREGROUND = 0.5
"""A segment is foreground where its objectness is above this."""
_CELLS = 40_000
"""Cells that a scene is judged by."""


def objectness(cloud: Cloud) -> np.ndarray:
    """How much each segment looks like part of an object, (S,) float32 in 0 .. 1.

        (1 - background) (1 - min(1, size / 0.2)^2)

    background = the share of its points that carry or enclose the scene, by the planes that bound
    it, their normals, the height above the ground and the extent from floor to ceiling
    (:func:`pcrep.preparation.background.is_background`); size = its share of the scene's surface.
    FAC's published record says that large homogeneous segments are background, not how large: the
    rest is ours. A segment's own planarity says nothing, since boxes and tables are as flat as
    walls.

    cloud : ``segment`` is known, and gravity is along -z
    (:func:`pcrep.preparation.planes.upright`).
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
    """Whether a point is part of a segment that looks like an object, (N,) bool."""
    segment = _segments(cloud)
    return (segment >= 0) & (_score(cloud)[segment] > _FOREGROUND)


def segment_weights(cloud: Cloud, how: Sampling = "objectness", smallest: int = 20) -> np.ndarray:
    """How often to draw from each segment, (S,) float64 with a sum of 1; 0 if none is left to draw.

    how : ``random``, by its points, as if points were drawn; ``size-balanced``, all alike;
        ``plane-removed``, all alike that are foreground; ``objectness``, by objectness.
    smallest : points below which a segment is not drawn from, but by ``random``.
    """
    segment = _segments(cloud)
    points = np.bincount(segment[segment >= 0])
    large = points >= smallest
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

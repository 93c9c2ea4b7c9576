"""What in a scene may be an object, without labels: a score a segment, and weights to sample by."""

from typing import Literal

import numpy as np

from common.errors import UserError
from pcrep.cloud import Cloud
from pcrep.neighbours import nearest, surface, thin
from pcrep.planes import Plane, dominant_planes

Sampling = Literal["random", "size-balanced", "plane-removed", "objectness"]
FOREGROUND = 0.5
"""A segment is foreground where its objectness is above this."""
CELLS = 40_000
"""Cells that a scene is judged by."""


def objectness(cloud: Cloud) -> np.ndarray:
    """How much each segment looks like part of an object, (S,) float32 in 0 .. 1.

    The cloud's gravity is along -z, and its ``segment`` is known.
    """
    segment = _segments(cloud)
    cells = thin(cloud.coords, budget=CELLS)
    normal = surface(cells.centre, nearest(cells.centre, 16)[0]).normal
    shell = [p for p in dominant_planes(cells.centre, normal, 2 * cells.size)]
    inside = np.ones(len(cells.count), np.float32)
    for plane in shell:
        inside *= _inside(plane, cells.centre, 2 * cells.size)
    return _mean(inside[cells.member], segment)


def _inside(plane: Plane, coords: np.ndarray, tolerance: float) -> np.ndarray:
    """0 on a plane that bounds the scene and behind it, 1 inside; 1 everywhere for another."""
    distance = plane.distance(coords)
    if (distance > tolerance).sum() < (distance < -tolerance).sum():
        distance = -distance
    if (distance < -tolerance).mean() > 0.03:
        return np.ones(len(coords), np.float32)
    return (distance > tolerance).astype(np.float32)


def foreground(cloud: Cloud) -> np.ndarray:
    """Whether a point is part of a segment that looks like an object, (N,) bool."""
    score = objectness(cloud) if cloud.objectness is None else cloud.objectness
    segment = _segments(cloud)
    return (segment >= 0) & (score[segment] > FOREGROUND)


def segment_weights(cloud: Cloud, how: Sampling = "objectness", smallest: int = 20) -> np.ndarray:
    """How often to draw from each segment, (S,) float64 with a sum of 1.

    how : ``random``, by its points; ``size-balanced``, all alike; ``plane-removed``, all alike
        that are foreground; ``objectness``, by objectness.
    smallest : points below which a segment is not drawn from, but by ``random``.

    Raises
    ------
    UserError
        No segment is left to draw from.
    """
    points = _sizes(cloud)
    score = objectness(cloud) if cloud.objectness is None else cloud.objectness
    weight = {
        "random": points,
        "size-balanced": points >= smallest,
        "plane-removed": (points >= smallest) & (score > FOREGROUND),
        "objectness": (points >= smallest) * score,
    }[how].astype(np.float64)
    if not weight.any():
        raise UserError(f"{cloud.name or 'the cloud'}: no segment to draw from by {how!r}")
    return weight / weight.sum()


def _segments(cloud: Cloud) -> np.ndarray:
    if cloud.segment is None:
        raise ValueError("the cloud's segments are not known; pcrep.preparation.prepare finds them")
    return cloud.segment


def _sizes(cloud: Cloud) -> np.ndarray:
    segment = _segments(cloud)
    return np.bincount(segment[segment >= 0])


def _mean(values: np.ndarray, segment: np.ndarray) -> np.ndarray:
    known = segment >= 0
    count = np.bincount(segment[known])
    total = np.bincount(segment[known], values[known])
    return (total / np.maximum(count, 1)).astype(np.float32)

"""Distance to solids and whether a point is inside one, for tests of procedural scenes."""

import itertools

import numpy as np

from pcrep.procedural.roofs import GABLE, HIP, SHED
from pcrep.procedural.shapes import BOX, ELLIPSOID

_BASE = ((0, 1, 2), (1, 2, 3))
ROOF_FACES = {  # corners of triangles: 0 .. 3 are the base, 4 and 5 the ridge
    kind: (*_BASE, (0, 2, 4), (2, 4, 5), (1, 3, 4), (3, 4, 5), (0, 1, 4), (2, 3, 5))
    for kind in (GABLE, HIP, SHED)
}


def roof_corners(kind, size):
    """Corners (6, 3): (-a, -b), (a, -b), (-a, b), (a, b) of the base, and the ends of the ridge."""
    a, b, h = size
    x = a if kind == SHED else 0.0
    y = b - a if kind == HIP else b
    base = [[-a, -b, 0], [a, -b, 0], [-a, b, 0], [a, b, 0]]
    return np.array([*base, [x, -y, h], [x, y, h]], float)


def to_triangle(x, p, q, r):
    """Distances (N,) of points (N, 3) to a triangle: to its plane within it, else to an edge."""
    found = []
    for a, b in ((p, q), (q, r), (r, p)):
        t = ((x - a) @ (b - a) / max((b - a) @ (b - a), 1e-30)).clip(0, 1)
        found.append(np.linalg.norm(x - a - t[:, None] * (b - a), axis=1))
    n = np.cross(q - p, r - p)
    if n @ n > 1e-20:
        away = (x - p) @ n / np.linalg.norm(n)
        foot = x - np.outer(away, n / np.linalg.norm(n))
        sides = [np.cross(b - a, foot - a) @ n for a, b in ((p, q), (q, r), (r, p))]
        within = (np.array(sides) >= 0).all(0)
        found.append(np.where(within, np.abs(away), np.inf))
    return np.min(found, 0)


def in_own_frame(solids, p, points):
    return (points - solids.centre[p]) @ solids.axes[p]


def distance(kind, size, x):
    """Of points (N, 3) in a solid's own frame to its surface; of an ellipsoid to first order."""
    if kind == BOX:
        q = np.abs(x) - size
        return np.abs(np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0))
    if kind == ELLIPSOID:
        f = ((x / size) ** 2).sum(1) - 1
        return np.abs(f) / np.linalg.norm(2 * x / size**2, axis=1)
    if kind > ELLIPSOID:
        corners = roof_corners(kind, size)
        return np.min([to_triangle(x, *corners[list(face)]) for face in ROOF_FACES[kind]], 0)
    # A frustum is a polygon in (radius, z), turned about z: its lids and its side are segments.
    profile = np.stack([np.hypot(x[:, 0], x[:, 1]), x[:, 2]], 1)
    corners = np.array(
        [[0, -size[2]], [size[0], -size[2]], [size[1], size[2]], [0, size[2]]], float
    )
    found = []
    for a, b in itertools.pairwise(corners):
        t = ((profile - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
        found.append(np.linalg.norm(profile - a - t[:, None] * (b - a), axis=1))
    return np.min(found, 0)


def inside(kind, size, x):
    if kind == BOX:
        return (np.abs(x) < size).all(-1)
    if kind == ELLIPSOID:
        return ((x / size) ** 2).sum(-1) < 1
    if kind > ELLIPSOID:
        a, b, h = size
        if kind == SHED:
            top = h * (x[..., 0] + a) / (2 * a)
        else:
            top = h * (1 - np.abs(x[..., 0]) / a)
        if kind == HIP:
            top = np.minimum(top, h * (b - np.abs(x[..., 1])) / a)
        return (np.abs(x[..., :2]) < (a, b)).all(-1) & (x[..., 2] > 0) & (x[..., 2] < top)
    radius = size[0] + (size[1] - size[0]) * (x[..., 2] + size[2]) / (2 * size[2])
    return (np.abs(x[..., 2]) < size[2]) & (np.hypot(x[..., 0], x[..., 1]) < radius)

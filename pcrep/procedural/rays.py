"""Rays of a laser scanner over ground with relief: the first surface that each one meets."""

import numpy as np
from numba import uint64

from pcrep.procedural.roofs import meet_roof
from pcrep.procedural.shapes import ELLIPSOID, meet, radius
from tspcrep.common.jit import jit

GROUND = -1
"""Number of the ground among the solids."""
NOTHING = -2
"""Number of what a ray meets that meets nothing."""


@jit
def relief(waves, x, y):
    """Height of the ground at (x, y), metres: a sum of sines.

    waves : (K, 4): wave vector along x and y, radians per metre; phase; amplitude, metres.
    """
    z = 0.0
    for k in range(len(waves)):
        z += waves[k, 3] * np.sin(waves[k, 0] * x + waves[k, 1] * y + waves[k, 2])
    return z


def relief_at(waves: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Heights (N,) of the ground at places (N, 2 or more): :func:`relief` without a loop."""
    return (np.sin(places[:, :2] @ waves[:, :2].T + waves[:, 2]) * waves[:, 3]).sum(1)


@jit(error_model="numpy")
def first_hits(origin, direction, most, waves, kind, size, centre, axes, leafy, key):
    """The first surface along each of N rays, at most ``most`` metres away.

    origin, direction : (N, 3), the directions of unit length. waves : see :func:`relief`.
    kind, size, centre, axes : fields of :class:`pcrep.procedural.shapes.Solids`.
    leafy : (P,), the share of the rays that pass through a solid as if it were not there, as
        between leaves. Whether one does is a hash of ``key``, the ray and the solid.

    Returns t (N,), metres, inf for none; the solid (N,) int64, or GROUND, or NOTHING; the outward
    unit normal (N, 3) there.
    """
    count = len(origin)
    t, which = np.full(count, np.inf), np.full(count, NOTHING)
    normal = np.zeros((count, 3))
    own, turned, n = np.empty(3), np.empty(3), np.empty(3)
    reach = np.empty(len(kind))
    for p in range(len(kind)):
        reach[p] = (
            radius(kind[p], size[p]) if kind[p] <= ELLIPSOID else np.sqrt((size[p] ** 2).sum())
        )
    for r in range(count):
        o, d = origin[r], direction[r]
        t[r] = _meet_ground(waves, o, d, most)
        if t[r] < np.inf:
            which[r] = GROUND
            _ground_normal(waves, o[0] + t[r] * d[0], o[1] + t[r] * d[1], normal[r])
        best, limit = NOTHING, min(t[r], most)
        for p in range(len(kind)):
            along, far = 0.0, 0.0
            for i in range(3):
                step = centre[p, i] - o[i]
                along += step * d[i]
                far += step * step
            if far - along * along > reach[p] ** 2 or along < -reach[p] or along - reach[p] > limit:
                continue
            if leafy[p] > 0 and _chance(key, r, p) < leafy[p]:
                continue
            for i in range(3):
                own[i], turned[i] = 0.0, 0.0
                for j in range(3):
                    own[i] += axes[p, j, i] * (o[j] - centre[p, j])
                    turned[i] += axes[p, j, i] * d[j]
            if kind[p] <= ELLIPSOID:
                found = meet(kind[p], size[p], own, turned, n)
            else:
                found = meet_roof(kind[p], size[p], own, turned, n)
            if 0 < found < limit:
                limit, best = found, p
                for i in range(3):
                    normal[r, i] = 0.0
                    for j in range(3):
                        normal[r, i] += axes[p, i, j] * n[j]
        if best != NOTHING:
            t[r], which[r] = limit, best
    return t, which, normal


@jit(error_model="numpy")
def _meet_ground(waves, o, d, most):
    """Distance at which a ray meets the ground from above, inf beyond ``most``.

    Along the ray the gap to the ground shrinks by at most ``fall`` a metre, so a step of
    gap / fall stays above it (sphere tracing: Hart, "Sphere Tracing", The Visual Computer, 1996).
    """
    steepest = 0.0
    for k in range(len(waves)):
        steepest += abs(waves[k, 3]) * np.sqrt(waves[k, 0] ** 2 + waves[k, 1] ** 2)
    fall = steepest * np.sqrt(d[0] ** 2 + d[1] ** 2) - d[2]
    t = 0.0
    if fall <= 0:
        return np.inf
    for _ in range(500):
        gap = o[2] + t * d[2] - relief(waves, o[0] + t * d[0], o[1] + t * d[1])
        if gap < 1e-5:
            return t
        t += gap / fall
        if t > most:
            return np.inf
    return np.inf  # along the ground


@jit
def _ground_normal(waves, x, y, n):
    n[0], n[1], n[2] = 0.0, 0.0, 1.0
    for k in range(len(waves)):
        slope = waves[k, 3] * np.cos(waves[k, 0] * x + waves[k, 1] * y + waves[k, 2])
        n[0] -= slope * waves[k, 0]
        n[1] -= slope * waves[k, 1]
    n /= np.sqrt((n**2).sum())


@jit
def _chance(key, ray, solid):
    """A number in 0 .. 1 for a ray and a solid (SplitMix64; Steele et al., 2014)."""
    z = (
        uint64(key)
        + uint64(ray) * uint64(0x9E3779B97F4A7C15)
        + uint64(solid) * uint64(0xD1B54A32D192ED03)
    )
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return ((z ^ (z >> uint64(31))) >> uint64(11)) * (1.0 / 9007199254740992.0)

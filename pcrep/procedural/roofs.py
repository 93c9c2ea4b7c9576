"""Roofs: convex solids on a rectangle, and the first point of one on a ray."""

import numpy as np

from tspcrep.common.jit import jit

GABLE, HIP, SHED = range(3, 6)
"""Kinds of solids beside those of :mod:`pcrep.procedural.shapes`. Their three sizes are half width,
half length and height, metres; the base is centred at the origin and a ridge runs along y."""


@jit
def slopes(kind, size):
    """The half-spaces ``n . x <= d`` of a roof: rows (n, d) of (6, 4), n not of unit length.

    A gable roof has two slopes; a hip roof four of one pitch, and a half length of at least its
    half width; a shed roof one, which rises along x.
    """
    a, b, h = size
    planes = np.zeros((6, 4))
    planes[0, 2] = -1.0  # the base
    planes[1, 1], planes[1, 3] = 1.0, b
    planes[2, 1], planes[2, 3] = -1.0, b
    if kind == SHED:
        planes[3, 0], planes[3, 3] = 1.0, a
        planes[4, 0], planes[4, 2], planes[4, 3] = -h, 2 * a, a * h
        planes[5] = planes[4]
        return planes
    for k in range(2):
        side = 1.0 - 2.0 * k
        planes[3 + k, 0], planes[3 + k, 2], planes[3 + k, 3] = side * h, a, a * h
        if kind == HIP:
            planes[1 + k, 1], planes[1 + k, 2], planes[1 + k, 3] = side * h, a, b * h
    planes[5] = planes[4]
    return planes


@jit(error_model="numpy")
def meet_roof(kind, size, o, d, n):
    """Smallest t > 0 at which ``o + t d`` enters a roof, in its own coordinates; inf for none.

    Writes the unit normal there to n.
    """
    planes = slopes(kind, size)
    enter, leave, which = -np.inf, np.inf, 0
    for k in range(6):
        along, gap = 0.0, planes[k, 3]
        for i in range(3):
            along += planes[k, i] * d[i]
            gap -= planes[k, i] * o[i]
        if along == 0:
            if gap < 0:
                return np.inf
        elif along < 0:
            if gap / along > enter:
                enter, which = gap / along, k
        else:
            leave = min(leave, gap / along)
    if enter > leave or enter <= 0:
        return np.inf
    length = 0.0
    for i in range(3):
        length += planes[which, i] ** 2
    for i in range(3):
        n[i] = planes[which, i] / np.sqrt(length)
    return enter

"""Solids that rooms are made of, and ray casting: the first solid that each pixel sees."""

from dataclasses import dataclass

import numpy as np

from tspcrep.common.jit import jit

CLASSES = (
    *("floor", "wall", "ceiling"),
    *("table", "chair", "sofa", "bookcase", "board", "lamp", "box", "cylinder"),
)

ROOM_CLASSES = (*CLASSES, "bed", "cabinet", "door", "window", "curtain", "plant", "screen", "rug")
"""Classes of the varied rooms, of which ``CLASSES`` are the first."""

BOX, FRUSTUM, ELLIPSOID = range(3)
"""Kinds of solids. Their three sizes are half edges; bottom radius, top radius and half height;
half axes."""


@dataclass(frozen=True, eq=False)
class Solids:
    """P solids in common coordinates, z up, metres.

    kind : (P,) int64, of BOX, FRUSTUM, ELLIPSOID.
    size : (P, 3) float64, by kind.
    centre : (P, 3) float64.
    axes : (P, 3, 3) float64, the solid's own axes as columns: x = centre + axes @ own.
    label : (P,) int64 into CLASSES.
    instance : (P,) int64, the object that the solid is part of.
    colour : (P, 3) float64 in 0 .. 1.
    wave : (P, 3) float64, wave vector of a colour ripple, radians per metre.
    """

    kind: np.ndarray
    size: np.ndarray
    centre: np.ndarray
    axes: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    colour: np.ndarray
    wave: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)


@jit(error_model="numpy")
def cast(origin, view, focal, width, height, shift, kind, size, centre, axes):
    """The first solid along the ray of each pixel: a z-buffer of exact intersections.

    origin (3,): camera position, outside all solids. view (3, 3): its right, down and forward axes
    as rows. focal: focal length, pixels. shift (2,): offset of the pixel centres, pixels. The rest
    are fields of Solids.

    Returns depth (height, width) along the forward axis, inf where nothing is hit; the solid hit,
    -1 for none; the outward unit normal (height, width, 3) there.
    """
    depth = np.full((height, width), np.inf)
    which = np.full((height, width), -1, np.int64)
    normal = np.zeros((height, width, 3))
    ray, n = np.empty(3), np.empty(3)
    for p in range(len(kind)):
        own = axes[p].T @ (origin - centre[p])
        turn = axes[p].T @ view.T  # camera to own
        top, bottom, left, right = _window(
            view @ (centre[p] - origin), radius(kind[p], size[p]), focal, width, height
        )
        for i in range(top, bottom):
            y = (i + 0.5 + shift[1] - 0.5 * height) / focal
            for j in range(left, right):
                x = (j + 0.5 + shift[0] - 0.5 * width) / focal
                for k in range(3):  # the forward part is 1, so that t is the depth
                    ray[k] = turn[k, 0] * x + turn[k, 1] * y + turn[k, 2]
                t = meet(kind[p], size[p], own, ray, n)
                if 0 < t < depth[i, j]:
                    depth[i, j] = t
                    which[i, j] = p
                    normal[i, j] = n
    for i in range(height):
        for j in range(width):
            if which[i, j] >= 0:
                normal[i, j] = axes[which[i, j]] @ normal[i, j]
    return depth, which, normal


@jit(error_model="numpy")
def radius(kind, size):
    """Radius of a ball around the centre that contains the solid."""
    if kind == BOX:
        return np.sqrt(size[0] ** 2 + size[1] ** 2 + size[2] ** 2)
    if kind == FRUSTUM:
        return np.sqrt(max(size[0], size[1]) ** 2 + size[2] ** 2)
    return max(size[0], size[1], size[2])


@jit(error_model="numpy")
def _window(centre, radius, focal, width, height):
    """Bounds (top, bottom, left, right) on the pixels that a ball can cover."""
    near, far = centre[2] - radius, centre[2] + radius
    if far <= 0:
        return 0, 0, 0, 0
    if near <= 1e-3:
        return 0, height, 0, width
    bounds = np.empty(4)
    for k in range(2):
        low, high = centre[k] - radius, centre[k] + radius
        bounds[2 * k] = focal * min(low / near, low / far)
        bounds[2 * k + 1] = focal * max(high / near, high / far)
    left = max(0, int(np.floor(bounds[0] + 0.5 * width)) - 1)
    right = min(width, int(np.ceil(bounds[1] + 0.5 * width)) + 1)
    top = max(0, int(np.floor(bounds[2] + 0.5 * height)) - 1)
    bottom = min(height, int(np.ceil(bounds[3] + 0.5 * height)) + 1)
    return top, bottom, left, right


@jit(error_model="numpy")
def meet(kind, size, o, d, n):
    """Smallest t > 0 with o + t d on the solid, in its own coordinates; inf for none.

    Writes the normal there to n.
    """
    if kind == BOX:
        return _meet_box(size, o, d, n)
    if kind == FRUSTUM:
        return _meet_frustum(size, o, d, n)
    return _meet_ellipsoid(size, o, d, n)


@jit(error_model="numpy")
def _meet_box(size, o, d, n):
    enter, leave, side = -np.inf, np.inf, 0
    for k in range(3):
        if d[k] == 0:
            if abs(o[k]) > size[k]:
                return np.inf
            continue
        a, b = (-size[k] - o[k]) / d[k], (size[k] - o[k]) / d[k]
        if a > b:
            a, b = b, a
        if a > enter:
            enter, side = a, k
        leave = min(leave, b)
    if enter > leave or enter <= 0:
        return np.inf
    n[:] = 0
    n[side] = -1.0 if d[side] > 0 else 1.0
    return enter


@jit(error_model="numpy")
def _meet_frustum(size, o, d, n):
    """A frustum about z with lids: radius r(z) = middle + slope z for |z| <= size[2]."""
    slope = (size[1] - size[0]) / (2 * size[2])
    middle = 0.5 * (size[0] + size[1])
    best = np.inf
    if d[2] != 0:  # the lid that faces the ray
        z = -size[2] if d[2] > 0 else size[2]
        t = (z - o[2]) / d[2]
        x, y, r = o[0] + t * d[0], o[1] + t * d[1], middle + slope * z
        if t > 0 and x * x + y * y <= r * r:
            best = t
            n[0], n[1], n[2] = 0.0, 0.0, np.sign(z)
    r, dr = middle + slope * o[2], slope * d[2]
    a = d[0] * d[0] + d[1] * d[1] - dr * dr
    b = o[0] * d[0] + o[1] * d[1] - r * dr
    c = o[0] * o[0] + o[1] * o[1] - r * r
    inside = b * b - a * c
    if inside < 0 or a == 0:
        return best
    root = np.sqrt(inside)
    for sign in (-1.0, 1.0):
        t = (-b + sign * root) / a
        z = o[2] + t * d[2]
        # Beyond its tip a cone has a mirror image, where the radius is below 0.
        if 0 < t < best and abs(z) <= size[2] and middle + slope * z >= 0:
            best = t
            scale = 1 / ((middle + slope * z) * np.sqrt(1 + slope * slope) + 1e-300)
            n[0], n[1] = (o[0] + t * d[0]) * scale, (o[1] + t * d[1]) * scale
            n[2] = -slope / np.sqrt(1 + slope * slope)
    return best


@jit(error_model="numpy")
def _meet_ellipsoid(size, o, d, n):
    a = b = c = 0.0
    for k in range(3):
        p, q = o[k] / size[k], d[k] / size[k]
        a += q * q
        b += p * q
        c += p * p
    inside = b * b - a * (c - 1)
    if inside < 0:
        return np.inf
    t = (-b - np.sqrt(inside)) / a
    if t <= 0:
        return np.inf
    length = 0.0
    for k in range(3):
        n[k] = (o[k] + t * d[k]) / size[k] ** 2
        length += n[k] * n[k]
    n /= np.sqrt(length)
    return t

"""Thinning to grid cells, nearest neighbours, and local surface normals and curvature."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pcrep.sparse.engines import hashing
from pcrep.sparse.engines.base import limit
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit

_LIMIT = limit(3)


class Cells(NamedTuple):
    """A cloud of N points thinned to the M occupied cells of a grid.

    size : edge of a cell, metres.
    centre : (M, 3) float32, mean of the points in each cell, relative to ``origin``.
    member : (N,) int64, the cell of each point.
    count : (M,) int64, number of points in each cell.
    origin : (3,) float64, minimum coordinates of the cloud.
    """

    size: float
    centre: np.ndarray
    member: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # hides tuple.count
    origin: np.ndarray

    def average(self, values: np.ndarray) -> np.ndarray:
        """Average values (N, C) of points over cells: (M, C) float32."""
        return _average(values, self.member, self.count)


class Surface(NamedTuple):
    """Principal component analysis of each point's neighbours, with variances l1 >= l2 >= l3.

    normal : (N, 3) float32, the direction of l3, of arbitrary sign.
    planarity : (N,) float32, (l2 - l3) / l1.
    curvature : (N,) float32, l3 / (l1 + l2 + l3), also called surface variation: 0 on a plane, 1/3
        where the neighbours fill a ball.
    variance : (N,) float32, l3, square metres.
    """

    normal: np.ndarray
    planarity: np.ndarray
    curvature: np.ndarray
    variance: np.ndarray


def to_cells(coords: np.ndarray, size: float | None = None, budget: int = 100_000) -> Cells:
    """Thin points (N, 3), metres, to grid cells of edge ``size``, metres.

    By default the size is chosen so that about ``budget`` cells are occupied, or 0.6 N where that
    is fewer. So the resolution follows the scene, and later steps cost the same for a scan of a
    table, a room or a street.

    Raises
    ------
    UserError
        The size is so small that the scene is 2^17 cells wide or more.
    """
    origin = coords.min(0).astype(np.float64)
    local = (coords - origin).astype(np.float32)
    extent = float(local.max())
    if size is not None and extent / size >= _LIMIT:
        raise UserError(
            f"a cell of {size:g} m in a scene {extent:g} m wide, expected at least "
            f"{extent / _LIMIT:.3g} m; are the coordinates in metres?"
        )
    if size is None:
        size = _fitting_size(local, min(budget, max(1, int(0.6 * len(coords)))), extent)
    member, found = _assign(local, size)
    count = np.bincount(member, minlength=found)
    return Cells(size, _average(local, member, count), member, count, origin)


def _fitting_size(local: np.ndarray, wanted: int, extent: float) -> float:
    """The edge for which about ``wanted`` cells are occupied, to 10 %."""
    smallest = max(extent / (_LIMIT - 1), 1e-9)
    size = max(extent / wanted**0.5, smallest)
    low, high = smallest, max(extent * 1.01, 2 * smallest)
    for _ in range(12):
        _, found = _assign(local, size)
        ratio = found / wanted
        if 0.9 <= ratio <= 1.1:
            break
        low, high = (size, high) if ratio > 1 else (low, size)
        guess = size * ratio**0.5  # the cells of a surface
        size = guess if low < guess < high else (low * high) ** 0.5
    return size


def _assign(local: np.ndarray, size: float) -> tuple[np.ndarray, int]:
    table, _, member = hashing.insert(_keys(local, 1 / size))
    return member, len(table.keys)


@jit
def _keys(local, scale):
    keys = np.empty(len(local), np.int64)
    for i in range(len(local)):
        keys[i] = hashing.pack(
            0, int(local[i, 0] * scale), int(local[i, 1] * scale), int(local[i, 2] * scale)
        )
    return keys


@jit
def _average(values, member, count):
    total = np.zeros((len(count), values.shape[1]), np.float64)
    for i in range(len(member)):
        for c in range(values.shape[1]):
            total[member[i], c] += values[i, c]
    mean = np.empty(total.shape, np.float32)
    for j in range(len(count)):
        for c in range(values.shape[1]):
            mean[j, c] = total[j, c] / count[j]
    return mean


def nearest(coords: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest other points of each point, or all others where there are fewer.

    Uses scipy's k-d tree, which is exact, robust to varying density, and does 600,000 points per
    second on one core for k = 12.

    Returns index (N, k) int64 and distance (N, k) float32, nearest first. Coinciding points are
    neighbours of each other; no point is its own neighbour.
    """
    k = min(k, len(coords) - 1)
    if k < 1:
        return np.empty((len(coords), 0), np.int64), np.empty((len(coords), 0), np.float32)
    distance, index = cKDTree(coords).query(coords, k + 1)
    return _without_self(index, distance)


@jit
def _without_self(index, distance):
    """Drop the point itself, or the last neighbour where coinciding points displaced it."""
    count, k = index.shape[0], index.shape[1] - 1
    ids, far = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
    for i in range(count):
        n = 0
        for j in range(k + 1):
            if index[i, j] != i and n < k:
                ids[i, n], far[i, n] = index[i, j], distance[i, j]
                n += 1
    return ids, far


@jit
def surface(coords, index):
    """:class:`Surface` of points (N, 3) and their neighbours, index (N, k).

    Eigenvalues of the covariance in closed form (Smith 1961, Eigenvalues of a symmetric 3 x 3
    matrix) in float64; the normal is the largest cross product of two rows of A - l3 I.
    """
    count, k = index.shape
    normal = np.zeros((count, 3), np.float32)
    planarity, curvature = np.zeros(count, np.float32), np.zeros(count, np.float32)
    variance = np.zeros(count, np.float32)
    a = np.empty((3, 3))
    for i in range(count):
        mean = np.zeros(3)
        a[:] = 0
        for j in range(k):
            for r in range(3):
                dr = np.float64(coords[index[i, j], r]) - coords[i, r]
                mean[r] += dr
                for c in range(r + 1):
                    a[r, c] += dr * (np.float64(coords[index[i, j], c]) - coords[i, c])
        for r in range(3):
            for c in range(r + 1):
                a[r, c] = (a[r, c] - mean[r] * mean[c] / (k + 1)) / (k + 1)
                a[c, r] = a[r, c]
        small, middle, large = _eigenvalues(a)
        _normal(a, small, normal[i])
        variance[i] = small
        if large > 0:
            planarity[i] = (middle - small) / large
            curvature[i] = small / (small + middle + large)
    return Surface(normal, planarity, curvature, variance)


@jit
def sharpen(coords, index, shape):
    """Normals (N, 3) float32 that are not blurred at creases.

    Near a crease the neighbours of a point lie on two faces, and its normal belongs to neither.
    Each point takes the normal of the neighbour j, or of itself, whose neighbourhood is closest to
    a plane through the point: least l3 + (n_j . (x_i - x_j))^2.
    """
    normal = np.empty_like(shape.normal)
    for i in range(len(index)):
        best, least = i, shape.variance[i]
        for e in range(index.shape[1]):
            j = index[i, e]
            off = np.float32(0)
            for a in range(3):
                off += shape.normal[j, a] * (coords[i, a] - coords[j, a])
            if shape.variance[j] + off * off < least:
                best, least = j, shape.variance[j] + off * off
        normal[i] = shape.normal[best]
    return normal


@jit
def _eigenvalues(a):
    """Of a symmetric positive 3 x 3 matrix, ascending, none below 0."""
    q = (a[0, 0] + a[1, 1] + a[2, 2]) / 3
    x, y, z = a[0, 0] - q, a[1, 1] - q, a[2, 2] - q
    off = a[0, 1] ** 2 + a[0, 2] ** 2 + a[1, 2] ** 2
    p = np.sqrt((x * x + y * y + z * z + 2 * off) / 6)
    if p <= 1e-12 * max(q, 1e-300):
        return q, q, q
    det = x * (y * z - a[1, 2] ** 2) - a[0, 1] * (a[0, 1] * z - a[1, 2] * a[0, 2])
    det += a[0, 2] * (a[0, 1] * a[1, 2] - y * a[0, 2])
    phi = np.arccos(min(1.0, max(-1.0, det / (2 * p**3)))) / 3
    large = q + 2 * p * np.cos(phi)
    small = q + 2 * p * np.cos(phi + 2 * np.pi / 3)
    return max(small, 0.0), max(3 * q - large - small, 0.0), large


@jit
def _normal(a, value, out):
    """The unit eigenvector of ``value``, or the axis z where every direction is one."""
    best = 0.0
    out[2] = 1
    for r in range(3):
        s = (r + 1) % 3
        u = (a[r, 0], a[r, 1], a[r, 2])
        v = (a[s, 0], a[s, 1], a[s, 2])
        u = (u[0] - value * (r == 0), u[1] - value * (r == 1), u[2] - value * (r == 2))
        v = (v[0] - value * (s == 0), v[1] - value * (s == 1), v[2] - value * (s == 2))
        x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
        length = x * x + y * y + z * z
        if length > best:
            best = length
            scale = 1 / np.sqrt(length)
            out[0], out[1], out[2] = x * scale, y * scale, z * scale

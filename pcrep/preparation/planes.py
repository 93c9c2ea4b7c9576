"""Dominant planes of a scene by RANSAC, and rotation of camera frames to upright."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pcrep.cloud import Cloud
from pcrep.preparation.neighbours import nearest, surface, to_cells
from tspcrep.common.jit import jit

_ALIGNED = np.float32(0.9)
"""Cosine of 26 degrees, the largest angle between a point's normal and its plane's."""


class Plane(NamedTuple):
    """The points x with ``normal . x = offset``.

    normal : (3,) float64, unit length. offset : metres. rows : (K,) int64, points on the plane.
    """

    normal: np.ndarray
    offset: float
    rows: np.ndarray

    def distance(self, coords: np.ndarray) -> np.ndarray:
        """Signed distances (N,) float32 of points along the normal."""
        return _along(coords, self.normal) - np.float32(self.offset)


def dominant_planes(
    coords: np.ndarray,
    normal: np.ndarray,
    tolerance: float,
    share: float = 0.05,
    most: int = 8,
    trials: int = 200,
    seed: int = 0,
) -> list[Plane]:
    """Planes with at least a fraction ``share`` of the points, the largest first.

    RANSAC (Fischler and Bolles 1981) with one point and its normal as a hypothesis: ``trials`` =
    200 miss a plane with 5 % of the points once in 30,000 times. A point is on a plane if it lies
    within ``tolerance`` metres and its normal within 26 degrees. The best hypothesis is refitted to
    its points, which are then removed from the search.

    Parameters
    ----------
    coords : (N, 3) float32, metres. normal : (N, 3) float32, of any sign.
    """
    generator = np.random.default_rng(seed)
    rest = np.arange(len(coords))
    planes: list[Plane] = []
    while len(planes) < most and len(rest) >= max(share * len(coords), 3):
        points, normals = coords[rest], normal[rest]
        tried = generator.integers(len(rest), size=trials)
        best = tried[_support(points, normals, tried, tolerance).argmax()]
        axis, offset = normals[best].astype(np.float64), float(points[best] @ normals[best])
        for _ in range(3):
            on = _on_plane(points, normals, axis, offset, tolerance)
            if on.sum() < 3:
                break
            axis, offset = _fit(points[on])
        if on.sum() < share * len(coords):
            break
        planes.append(Plane(axis, offset, rest[on]))
        rest = rest[~on]
    return planes


@jit
def _support(points, normals, tried, tolerance):
    """Number of points on the plane through each ``tried`` point, from at most about 20,000."""
    step = max(1, len(points) // 20_000)
    found = np.zeros(len(tried), np.int64)
    for t in range(len(tried)):
        n, p = normals[tried[t]], points[tried[t]]
        for i in range(0, len(points), step):
            far = np.float32(0)
            dot = np.float32(0)
            for a in range(3):
                far += n[a] * (points[i, a] - p[a])
                dot += n[a] * normals[i, a]
            found[t] += (abs(far) <= tolerance) & (abs(dot) >= _ALIGNED)
    return found


def _on_plane(points, normals, axis, offset, tolerance):
    return (np.abs(_along(points, axis) - np.float32(offset)) <= tolerance) & (
        np.abs(_along(normals, axis)) >= _ALIGNED
    )


def _along(coords: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Scalar products (N,) float32; by einsum, since bits of a BLAS product depend on threads."""
    return np.einsum("ni,i->n", coords, axis.astype(np.float32))


def _fit(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Normal and offset of the least-squares plane."""
    centre = points.mean(0, dtype=np.float64)
    local = points - centre
    axis = np.linalg.eigh(np.einsum("ni,nj->ij", local, local))[1][:, 0]
    return axis, float(axis @ centre)


def upright(cloud: Cloud) -> Cloud:
    """Rotate a frame of a depth camera so that +z is up: coordinates, and normals where known.

    Rooms, streets and terrain come with z up and are returned unchanged. In a frame of a depth
    camera z is the view axis. It is recognised by its points, which all lie on one side of the
    origin, within 60 degrees of the z axis, and span a field of view of at least 20 degrees. Its
    largest plane, a table or a floor, is taken as horizontal and the normal towards the camera as
    up; planes that face the camera or stand beside it are taken for walls and used only if there
    is no other. A cloud that came from this function is returned as it is.
    """
    rotation = None if cloud.upright else _rotation_upright(cloud.coords)
    if rotation is None:
        return replace(cloud, upright=True)
    turned: dict[str, Any] = {"coords": _turn(cloud.coords, rotation), "upright": True}
    if cloud.normal is not None:
        turned["normal"] = _turn(cloud.normal, rotation)
    return replace(cloud, **turned)


def _turn(vectors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ji->nj", vectors, rotation).astype(np.float32)


def _rotation_upright(coords: np.ndarray) -> np.ndarray | None:
    if not _from_camera(coords):
        return None
    cells = to_cells(coords, budget=20_000)
    normal = surface(cells.centre, nearest(cells.centre, 16)[0]).normal
    planes = dominant_planes(cells.centre, normal, 2 * cells.size)
    if not planes:
        return None

    def is_support(plane: Plane) -> bool:
        beside, _, facing = np.abs(plane.normal)
        return beside < 0.5 and facing < 0.94  # 30 degrees of roll; 20 degrees of pitch

    plane = next(filter(is_support, planes), planes[0])
    towards_camera = -np.sign(plane.offset + plane.normal @ cells.origin)
    return _rotation_between(plane.normal * (towards_camera or 1.0), np.array([0, 0, 1.0]))


def _from_camera(coords: np.ndarray) -> bool:
    if not may_be_from_camera(coords):
        return False
    tangent = coords[:, :2] / np.abs(coords[:, 2])[:, None]
    wide = np.arctan(tangent.max(0)) - np.arctan(tangent.min(0))
    return bool(wide.max() >= np.radians(20))


def may_be_from_camera(coords: np.ndarray) -> bool:
    """Whether points (N, 3) lie on one side of the origin, within 60 degrees of the z axis."""
    if coords[:, 2].min() <= 0 <= coords[:, 2].max():
        return False
    tangent = coords[:, :2] / np.abs(coords[:, 2])[:, None]
    return bool((tangent**2).sum(1).max() <= 3.0)


def _rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotation (3, 3) float32 from one unit vector to another (Rodrigues)."""
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -1 + 1e-9:  # half a turn about any axis across
        across = np.eye(3)[np.abs(start).argmin()]
        across -= (across @ start) * start
        across /= np.linalg.norm(across)
        return (2 * np.outer(across, across) - np.eye(3)).astype(np.float32)
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + k + k @ k / (1 + cosine)).astype(np.float32)

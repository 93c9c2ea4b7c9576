"""Background detection: surfaces that support or enclose objects (ground, table, walls, ceiling).

Nothing is tuned for a data set. Lengths scale with the cells that the scene is thinned to, and
the kind of scene follows from the planes found: a room has a floor and a ceiling, a street not.
"""

import numpy as np

from pcrep.preparation.neighbours import Cells
from pcrep.preparation.planes import Plane, dominant_planes
from tspcrep.common.jit import jit

_ALIGNED = 0.8
"""Cosine of 37 degrees, the largest angle between a surface and a plane it runs along."""
_SLOPE = 0.3
"""Slope of the steepest ground."""
_FULL = 0.75
"""Occupied fraction of a room's height from which on there is a wall or a column."""


def is_background(cells: Cells, normal: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Background mask (M,) bool of the cells of a scene with gravity along -z.

    A cell is background if one of these holds:

    - it lies on a plane that bounds the scene and runs along it, or lies behind such a plane;
    - it is level and lies on the ground;
    - the scene is a room, with floor and ceiling, and the cell is in a vertical column that is
      occupied from one to the other.

    normal : (M, 3), sharpened. variance : (M,). See :class:`pcrep.preparation.neighbours.Surface`.
    """
    size, centre = cells.size, cells.centre
    level = np.abs(normal[:, 2]) > _ALIGNED
    height = centre[:, 2] - ground(centre, 8 * size, level & (variance < (size / 4) ** 2))
    low = level & (height < size)
    rough = 4 * np.median(height[low]) if low.any() else 0.0
    found = level & (height < np.clip(rough, size / 4, size))
    floor = ceiling = None
    for plane in _bounding_planes(centre, normal, size):
        distance = plane.distance(centre)
        noise = 1.4826 * float(np.median(np.abs(distance[plane.rows])))
        tolerance = np.float32(np.clip(4 * noise, size / 2, 2 * size))
        along = np.abs(np.einsum("ni,i->n", normal, plane.normal)) > _ALIGNED
        found |= (np.abs(distance) <= tolerance) & along | (distance < -tolerance)
        if plane.normal[2] > 0.9:
            floor = float(np.median(centre[plane.rows, 2]))
        elif plane.normal[2] < -0.9:
            ceiling = float(np.median(centre[plane.rows, 2]))
    if floor is not None and ceiling is not None:
        found |= _fullness(centre, 2 * size, floor, ceiling) > _FULL
    return found


def _bounding_planes(centre: np.ndarray, normal: np.ndarray, size: float) -> list[Plane]:
    """Planes that bound the scene, with normals that point into it.

    Dominant planes with at least 2 % of the cells on them, at most 3 % behind them, and an area of
    at least a fifth of the scene's, seen along the plane's normal: this excludes a table in a room,
    and the lids of boxes of one height, which share a plane. A plane that faces down counts only if
    there is something below at least half of it, which tells a ceiling from a roof seen from the
    air.
    """
    kept = []
    for plane in dominant_planes(centre, normal, 2 * size, share=0.02, most=12):
        distance = plane.distance(centre)
        behind, before = (distance < -2 * size).mean(), (distance > 2 * size).mean()
        if before < behind:
            plane = plane._replace(normal=-plane.normal, offset=-plane.offset)
        if min(before, behind) > 0.03 or _coverage(plane, centre, 3 * size) < 0.2:
            continue
        if plane.normal[2] < -0.7 and _overhang(plane, centre, 3 * size) < 0.5:
            continue
        kept.append(plane)
    return kept


def _coverage(plane: Plane, centre: np.ndarray, tile: float) -> float:
    """Area of a plane relative to that of the scene as it is seen along the normal, by tile.

    Area, and not extent: that of two lids at opposite ends of a floor is the floor's.
    """
    first = np.cross([0.0, 0, 1] if abs(plane.normal[2]) < 0.7 else [1.0, 0, 0], plane.normal)
    first /= np.linalg.norm(first)  # level, for a wall
    axes = np.stack([first, np.cross(plane.normal, first)]).astype(np.float32)
    key = _tiles(np.einsum("ni,ji->nj", centre, axes), tile)
    number = key[:, 0] * (key[:, 1].max() + 1) + key[:, 1]
    return len(np.unique(number[plane.rows])) / len(np.unique(number))


def _overhang(plane: Plane, centre: np.ndarray, tile: float) -> float:
    """Fraction of a plane with something in the lower half of the scene below it, by tile."""
    key = _tiles(centre, tile)
    middle = (np.quantile(centre[:, 2], 0.05) + np.median(centre[plane.rows, 2])) / 2
    lower = np.zeros(key.max(0) + 1, bool)
    lower[tuple(key[centre[:, 2] < middle].T)] = True
    return float(lower[tuple(key[plane.rows].T)].mean())


def _fullness(centre: np.ndarray, tile: float, floor: float, ceiling: float) -> np.ndarray:
    """Occupied fraction (M,) of the height between floor and ceiling at the tile of each cell."""
    key = _tiles(centre, tile)
    levels = max(1, int((ceiling - floor) / (1.5 * tile)))
    level = np.floor((centre[:, 2] - floor) / max(ceiling - floor, 1e-9) * levels).astype(np.int64)
    between = (level >= 0) & (level < levels)
    seen = np.zeros((*(key.max(0) + 1), levels), bool)
    seen[key[between, 0], key[between, 1], level[between]] = True
    return seen.mean(2)[tuple(key.T)]


def ground(centre: np.ndarray, tile: float, level: np.ndarray) -> np.ndarray:
    """Height of the ground below each of (M, 3) points, (M,) float64.

    The lowest level point of each tile of the ground plan, limited by a slope of 30 % from every
    other tile: a lower envelope of cones, which passes below objects that are narrower than high.
    A tile far below the median of its neighbours is an echo and is raised. Where no point is
    level, the ground is the lowest point.

    tile : edge, metres. level : (M,) bool, candidates for ground.
    """
    key = _tiles(centre, tile)
    if not level.any():
        return np.full(len(centre), centre[:, 2].min(), np.float64)
    low = np.full(key.max(0) + 1, np.inf)
    np.minimum.at(low, tuple(key[level].T), centre[level, 2])
    _raise_echoes(low, 1.5 * _SLOPE * tile)
    _envelope(low, _SLOPE * tile)
    return low[tuple(key.T)]


def _tiles(centre: np.ndarray, tile: float) -> np.ndarray:
    return np.floor((centre[:, :2] - centre[:, :2].min(0)) / tile).astype(np.int64)


@jit
def _raise_echoes(low, drop):
    """Raise each tile to ``drop`` below the median of itself and its occupied neighbours."""
    before = low.copy()
    near = np.empty(9)
    for i in range(low.shape[0]):
        for j in range(low.shape[1]):
            count = 0
            for y in range(max(0, i - 1), min(i + 2, low.shape[0])):
                for x in range(max(0, j - 1), min(j + 2, low.shape[1])):
                    if before[y, x] < np.inf:
                        near[count] = before[y, x]
                        count += 1
            if before[i, j] < np.inf:
                low[i, j] = max(before[i, j], np.sort(near[:count])[(count - 1) // 2] - drop)


@jit
def _envelope(low, rise):
    """Limit each tile to its neighbours' height plus ``rise`` per step, sqrt(2) of it diagonally.

    The two passes of a chamfer distance transform, done twice to converge.
    """
    rows, columns = low.shape
    for turn in range(4):
        back = turn % 2
        for n in range(rows):
            for m in range(columns):
                i, j = (rows - 1 - n, columns - 1 - m) if back else (n, m)
                y = i + 1 if back else i - 1
                x = j + 1 if back else j - 1
                if 0 <= x < columns:
                    low[i, j] = min(low[i, j], low[i, x] + rise)
                if 0 <= y < rows:
                    low[i, j] = min(low[i, j], low[y, j] + rise)
                    for x in (j - 1, j + 1):
                        if 0 <= x < columns:
                            low[i, j] = min(low[i, j], low[y, x] + 2**0.5 * rise)

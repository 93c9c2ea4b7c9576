"""What carries and encloses the objects of a scene: table, ground, walls, ceiling, columns.

Nothing is tuned for a data set. Lengths follow the cells that the scene is thinned to, and what
kind of scene it is shows in what is found: a room has a floor and a ceiling, a street has not.
"""

import numpy as np
from numba import njit

from pcrep.preparation.neighbours import Cells
from pcrep.preparation.planes import Plane, dominant_planes

_ALIGNED = 0.8
"""Cosine of the angle, 37 degrees, within which a surface runs along a plane."""
_SLOPE = 0.3
"""Rise of the steepest ground."""
_FULL = 0.75
"""Share of a room's height that is occupied where a wall or a column stands."""


def is_background(cells: Cells, normal: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Which cells (M,) bool carry or enclose the scene; gravity is along -z.

    A cell is background if one of these holds:

    - it lies on a plane that bounds the scene, and runs along it, or lies behind it;
    - it is level and lies on the ground;
    - the scene is a room, with floor and ceiling, and it stands in a column that is occupied from
      one to the other.

    normal (M, 3), variance (M,) : of :class:`pcrep.preparation.neighbours.Surface`, sharpened.
    """
    size, centre = cells.size, cells.centre
    level = np.abs(normal[:, 2]) > _ALIGNED
    height = centre[:, 2] - _ground(centre, 8 * size, level & (variance < (size / 4) ** 2))
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
    """The planes that the scene ends at, each with the normal pointing into the scene.

    Of the dominant planes with 2 % of the cells or more those that have at most 3 % of them
    behind, and that extend over a fifth of the scene's cross-section: so a table in a room is none,
    nor is the lid of the highest box. A ceiling is one only if the scene is below it, and not a
    roof seen from the air: under at least half of it there must be something.
    """
    kept = []
    for plane in dominant_planes(centre, normal, 2 * size, share=0.02, most=12):
        distance = plane.distance(centre)
        behind, before = (distance < -2 * size).mean(), (distance > 2 * size).mean()
        if before < behind:
            plane = plane._replace(normal=-plane.normal, offset=-plane.offset)
        if min(before, behind) > 0.03 or _coverage(plane, centre) < 0.2:
            continue
        if plane.normal[2] < -0.7 and _overhang(plane, centre, 3 * size) < 0.5:
            continue
        kept.append(plane)
    return kept


def _coverage(plane: Plane, centre: np.ndarray) -> float:
    """Extent of a plane over the scene's, along two axes of the plane, multiplied."""
    steep = abs(plane.normal[2]) < 0.7
    first = np.cross([0.0, 0, 1] if steep else [1.0, 0, 0], plane.normal)  # a wall's runs level
    first /= np.linalg.norm(first)
    axes = np.stack([first, np.cross(plane.normal, first)]).astype(np.float32)
    along = np.einsum("ni,ji->nj", centre, axes)
    of_plane, of_scene = (
        np.ptp(np.quantile(rows, [0.05, 0.95], axis=0), axis=0)
        for rows in (along[plane.rows], along)
    )
    return float(np.prod(of_plane / np.maximum(of_scene, 1e-9)))


def _overhang(plane: Plane, centre: np.ndarray, tile: float) -> float:
    """Share of a plane under which, in a tile of its plan, something lies in the lower half."""
    key = _tiles(centre, tile)
    middle = (np.quantile(centre[:, 2], 0.05) + np.median(centre[plane.rows, 2])) / 2
    lower = np.zeros(key.max(0) + 1, bool)
    lower[tuple(key[centre[:, 2] < middle].T)] = True
    return float(lower[tuple(key[plane.rows].T)].mean())


def _fullness(centre: np.ndarray, tile: float, floor: float, ceiling: float) -> np.ndarray:
    """How much of the height between floor and ceiling is occupied where a cell stands, (M,)."""
    key = _tiles(centre, tile)
    levels = max(1, int((ceiling - floor) / (1.5 * tile)))
    level = np.floor((centre[:, 2] - floor) / max(ceiling - floor, 1e-9) * levels).astype(np.int64)
    between = (level >= 0) & (level < levels)
    seen = np.zeros((*(key.max(0) + 1), levels), bool)
    seen[key[between, 0], key[between, 1], level[between]] = True
    return seen.mean(2)[tuple(key.T)]


def _ground(centre: np.ndarray, tile: float, level: np.ndarray) -> np.ndarray:
    """Height of the ground under each of (M, 3) points, (M,) float64.

    The lowest level point of each tile of the plan, and no higher anywhere than a slope of 30 %
    away from another tile's: a lower envelope of cones, which passes under what is narrower than
    it is high. A tile that lies far under its neighbours' median is an echo from below, and is
    raised. Where nothing is level the ground is the lowest point.

    tile : edge, metres. level : (M,) bool, the points that may be ground.
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


@njit(cache=True)
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


@njit(cache=True)
def _envelope(low, rise):
    """Lower each tile to its neighbours' height and ``rise`` a step, diagonally sqrt(2) of it.

    The two passes of a chamfer distance transform; a second pair settles what they leave.
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

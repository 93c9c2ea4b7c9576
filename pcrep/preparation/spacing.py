"""How far apart the points of a scan lie, and the voxels that fit them."""

import numpy as np
from scipy.spatial import cKDTree

_ASKED = 2_000  # points whose neighbour is looked for
_MOST = 500_000  # points that it is looked for among
_APART = 4  # voxels in distances: about four points on a surface share one of half the edge


def spacing(coords: np.ndarray) -> float:
    """Median distance (metres) of points (N, 3) to the nearest other one; 0 for a single point.

    Of a large cloud, the points nearest to its median along the longest axis are looked at.
    """
    if len(coords) > _MOST:
        along = coords[:, np.argmax(np.ptp(coords, axis=0))]
        nearest = np.abs(along - np.median(along)).argpartition(_MOST)[:_MOST]
        coords = coords[nearest]
    coords = np.unique(coords, axis=0)
    if len(coords) < 2:
        return 0.0
    asked = np.random.default_rng(0).permutation(len(coords))[:_ASKED]
    return float(np.median(cKDTree(coords).query(coords[asked], k=2)[0][:, 1]))


def fitting_voxel(distance: float) -> float | None:
    """Edge of a voxel in metres, to two digits, for points of that spacing; None for spacing 0.

    It is four times the spacing, so that voxels of half the edge, to which scenes are thinned, hold
    about one point of a surface each.
    """
    return float(f"{_APART * distance:.2g}") if distance > 0 else None

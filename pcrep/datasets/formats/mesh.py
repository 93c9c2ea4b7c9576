"""Triangle meshes (OBJ, OFF, STL, PLY with faces), read through Open3D and sampled to points."""

from pathlib import Path

import numpy as np

from pcrep.datasets import open3d
from pcrep.datasets.formats import ply
from pcrep.datasets.formats.columns import Columns, Format
from pcrep.datasets.formats.records import MAX_POINTS
from tspcrep.common.errors import UserError

DENSITY = 10_000.0
"""Points per square metre where the user gives none: one in each square centimetre."""
_SEED = 0


def has_faces(path: Path) -> bool:
    """Whether a file is a mesh: by its suffix, or a PLY whose header counts faces."""
    if path.suffix.lower() != ".ply":
        return path.suffix.lower() in FORMAT.suffixes
    return any(e.name == "face" and e.count > 0 for e in ply.layout(path).elements)


def read(
    path: Path, max_points: int = MAX_POINTS, density: float = DENSITY, unit: float = 1.0
) -> Columns:
    """Points on the triangles of a mesh, with the normals and colours that they have there.

    density : points per square metre; unit : metres of a unit of the file. The same file gives the
    same points.

    Raises UserError where Open3D is missing or finds no triangles, where vertices are not finite or
    missing, and for more than ``max_points`` points.
    """
    corners, triangles, colours = open3d.read_mesh(path)
    if not len(triangles):
        raise UserError(f"{path}: holds no triangles that Open3D can read; write the mesh again")
    if triangles.min() < 0 or triangles.max() >= len(corners):
        raise UserError(f"{path}: a face names a vertex that is missing; write the mesh again")
    if not np.isfinite(corners[triangles]).all():
        raise UserError(f"{path}: a vertex of a face is not finite; write the mesh again")
    a, b, c = (corners[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.linalg.norm(across, axis=1).sum() / 2 * unit**2
    wanted = total * density
    if not 0.5 <= wanted <= max_points:
        raise UserError(
            f"{path}: {total:.4g} m2 at {density:g} points per m2 are {wanted:,.0f} points, "
            f"expected 1 to {max_points:,}; give another density, or the unit of the file"
        )
    triangle, weights = sample(np.linalg.norm(across, axis=1), round(wanted), _SEED)
    columns = {"coords": _mixed(corners, triangles[triangle], weights)}
    columns["normal"] = across[triangle] / np.linalg.norm(across[triangle], axis=1)[:, None]
    if len(colours) == len(corners):
        columns["colour"] = _mixed(colours, triangles[triangle], weights).clip(0, 1)
    return columns


def sample(areas: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` places, uniform by area: triangles (N,) and barycentric weights (N, 3).

    Each of ``count`` equal shares of the area gets one (stratified), so that a triangle has as many
    as its area says, give or take two; within it the place is uniform (Osada et al., "Shape
    distributions", 2002, eq. 1). Triangles without area get none.
    """
    random = np.random.default_rng(seed)
    ends = np.cumsum(areas)
    place = (np.arange(count) + random.random(count)) / count * ends[-1]
    last = np.flatnonzero(areas)[-1]
    triangle = np.minimum(np.searchsorted(ends, place, side="right"), last)
    root, share = np.sqrt(random.random(count)), random.random(count)
    return triangle, np.stack([1 - root, root * (1 - share), root * share], axis=1)


def _mixed(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return sum(values[corners[:, i]] * weights[:, i, None] for i in range(3))


FORMAT = Format("a mesh", (".obj", ".off", ".stl"), read)

"""Read a point cloud file of any format.

A new format is a module with a reader and its :class:`columns.Format`, and one name in _FORMATS.
"""

import warnings
from pathlib import Path
from typing import Any

from pcrep.cloud import Cloud
from pcrep.datasets import open3d
from pcrep.datasets.formats import arrays, binary, e57, frames, las, mesh, npy, npz, pcd, ply, text
from pcrep.datasets.formats.beside import read_labels
from pcrep.datasets.formats.columns import Format, to_cloud
from pcrep.datasets.formats.records import MAX_POINTS
from pcrep.datasets.reading import Reading
from tspcrep.common.errors import UserError

_FORMATS = tuple(module.FORMAT for module in (ply, pcd, las, e57, npz, npy, binary, text, mesh))
_BY_SUFFIX = {suffix: format for format in _FORMATS for suffix in format.suffixes}
SUFFIXES = tuple(_BY_SUFFIX)
"""The suffixes of all formats, in lower case."""


def load_points(path: Any, max_points: int = MAX_POINTS, reading: Reading | None = None) -> Cloud:
    """Read the points of a file with all their attributes, or take a point cloud of Open3D.

    ======================  ====================================================================
    .ply, .pcd              colours, normals, intensity, label, instance; splats' colours
    .las, .laz              through laspy: colours, intensity, classification, extra dimensions
    .e57                    through pye57: colours, intensity
    .bin                    float32 records of KITTI, nuScenes, or xyzrgb
    .npz, .npy, folder      arrays called coords, colour, label, instance, ...; or one of (N, C)
    folder of frames        of a depth camera, see :mod:`pcrep.datasets.rgbd`: colours
    .obj, .off, .stl        meshes, sampled through open3d: normals, colours
    .xyz, .pts, .txt, .csv  columns x y z, then colours and more; a first line may name them
    ======================  ====================================================================

    A file with another suffix is read if its first bytes identify the format. What a field may be
    called is in :mod:`names`; columns without names are guessed, with a warning. Labels may lie in
    a file beside the cloud, see :mod:`beside`. ``label`` and ``instance`` are the numbers in the
    file, where ``reading`` does not say otherwise; -1 is none. See :func:`columns.to_cloud` for the
    treatment of far coordinates, of points that are not finite, and of colours.

    path : str or Path, or an ``open3d.geometry.PointCloud``, ``open3d.t.geometry.PointCloud``.
    max_points : from a larger ``.bin``, LAS, binary PLY or binary PCD file, one point in every k is
        read, with a warning, so that memory stays bounded; larger files of other formats are
        refused.
    reading : names of columns, what labels mean, the unit, by default the metre, and the density
        of points sampled from a mesh; a PLY with faces is its vertices unless a density is given.

    Raises UserError where the file is missing, is not of the format of its name, is cut off or
    holds no usable points.
    """
    if open3d.is_open3d(path):
        return open3d.from_open3d(path, reading)
    path, reading = Path(path), reading or Reading()
    path = path if path.name else path.absolute()
    format = find_format(path)
    if format is mesh.FORMAT or (reading.density and format is ply.FORMAT and mesh.has_faces(path)):
        columns = mesh.read(path, max_points, reading.density or mesh.DENSITY, reading.unit)
        told = f"{path}: a mesh, of which {len(columns['coords']):,} points are sampled"
        warnings.warn(f"{told}, {reading.density or mesh.DENSITY:g} per m2", stacklevel=2)
    elif format.unnamed:
        columns = format.read(path, max_points, reading.names())
    elif reading.columns:
        raise UserError(f"{path}: {format.name} names its columns itself: leave --columns out")
    else:
        columns = format.read(path, max_points)
    columns = columns | read_labels(path, len(columns["coords"]), columns.get("row"))
    return reading.labelled(to_cloud(columns, path, reading.unit))


def find_format(path: Path) -> Format:
    """The format of a file, by its first bytes and its suffix; UserError where they disagree."""
    if arrays.is_folder(path):
        return arrays.FORMAT
    if frames.is_frames(path):
        return frames.FORMAT
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; expected a file that can be read, give its path"
        ) from None
    if not start:
        raise UserError(f"{path}: is empty, expected a point cloud; write the file again")
    marked = next((format for format in _FORMATS if start.startswith(format.marks)), None)
    named = _BY_SUFFIX.get(path.suffix.lower())
    if marked and named not in (marked, None):
        raise UserError(
            f"{path}: holds {marked.name}, expected {named.name} from its name; give it the right "
            "suffix"
        )
    if named and named.marks and named.marked and not marked:
        expected = " or ".join(mark.decode("latin1") for mark in named.marks)
        raise UserError(
            f"{path}: begins with {start!r}, expected {expected!r}: this is no {named.name} file; "
            "give it the suffix of its format or write it again"
        )
    if path.suffix.lower() == ".ptx":
        raise UserError(
            f"{path}: PTX is not read, expected one of {', '.join(SUFFIXES)}; save it as E57 or "
            "LAS, in CloudCompare or the scanner's program"
        )
    found = marked or named
    if found is None:
        raise UserError(
            f"{path}: no known point cloud format, expected a name that ends in "
            f"{', '.join(SUFFIXES)}"
        )
    return found

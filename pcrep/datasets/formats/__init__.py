"""Read a point cloud file of any format.

A new format is a module with a reader and its :class:`columns.Format`, and one name in _FORMATS.
"""

from pathlib import Path

from pcrep.cloud import Cloud
from pcrep.datasets.formats import binary, las, npz, pcd, ply, text
from pcrep.datasets.formats.columns import Format, to_cloud
from pcrep.datasets.formats.records import MAX_POINTS
from tspcrep.common.errors import UserError

_FORMATS = tuple(module.FORMAT for module in (ply, pcd, las, npz, binary, text))
_BY_SUFFIX = {suffix: format for format in _FORMATS for suffix in format.suffixes}
SUFFIXES = tuple(_BY_SUFFIX)
"""The suffixes of all formats, in lower case."""


def load_points(path: str | Path, max_points: int = MAX_POINTS) -> Cloud:
    """Read the points of a file with all their attributes.

    ======================  ====================================================================
    .ply, .pcd              colours, normals, intensity, label, instance
    .las, .laz              through laspy: colours, intensity, classification, treeID
    .bin                    float32 records of KITTI (with its .label file), nuScenes, or xyzrgb
    .npz                    arrays called coords, colour, label, instance, ... (or xyz, rgb, ...)
    .xyz, .pts, .txt, .csv  columns x y z, then colours and more; a first line may name them
    ======================  ====================================================================

    A file with another suffix is read if its first bytes identify the format. ``label`` and
    ``instance`` are the numbers in the file. See :func:`columns.to_cloud` for the treatment of far
    coordinates, of points that are not finite, and of colours.

    max_points : from a larger ``.bin``, LAS, binary PLY or binary PCD file, one point in every k is
        read, with a warning, so that memory stays bounded; larger files of other formats are
        refused.

    Raises UserError where the file is missing, is not of the format of its name, is cut off or
    holds no usable points.
    """
    path = Path(path)
    return to_cloud(_format(path).read(path, max_points), path)


def _format(path: Path) -> Format:
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
    if named and named.marks and not marked:
        expected = " or ".join(mark.decode("latin1") for mark in named.marks)
        raise UserError(
            f"{path}: begins with {start!r}, expected {expected!r}: this is no {named.name} file; "
            "give it the suffix of its format or write it again"
        )
    if not (marked or named):
        raise UserError(
            f"{path}: no known point cloud format, expected a name that ends in "
            f"{', '.join(SUFFIXES)}"
        )
    return marked or named

"""Convert the columns of a file to a ``Cloud``, with the same checks for all formats.

Columns are named as the fields of ``Cloud``; coordinates may have any float type.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from tspcrep.common.errors import UserError

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Format:
    """A point cloud format, declared by the module that reads it.

    name : for messages.
    suffixes : in lower case, with the dot.
    read : (path, largest number of points) -> columns.
    marks : first bytes of such a file; empty for formats without a signature.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, int], Columns]
    marks: tuple[bytes, ...] = ()


_FAR = 10_000.0  # metres; float32 counts in steps of 1 mm here, of 0.5 m at 5,000 km
_NEAR = 0.05  # metres
_HUGE = 1e12  # beyond any place on Earth in any unit

# Names of a field in files, in lower case; the first that is present counts.
_NAMES = {
    "coords": ("coords", "coord", "xyz", "points", "positions", "pos"),
    "colour": ("colour", "color", "colours", "colors", "rgb"),
    "intensity": ("intensity", "reflectance"),
    "normal": ("normal", "normals"),
    "label": ("label", "labels", "semantic", "semantic_label", "classification", "class"),
    "instance": ("instance", "instances", "instance_label", "objectid", "treeid"),
}
# The same for one column per component.
_COMPONENTS = {
    "coords": (("x", "y", "z"),),
    "colour": (("red", "green", "blue"), ("r", "g", "b")),
    "normal": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
}


def select(arrays: dict[str, np.ndarray], path: Path) -> Columns:
    """Select the fields of a ``Cloud`` among the named arrays of a file; others are left out.

    Case and CloudCompare's prefix ``scalar_`` are ignored. Raises UserError where coordinates are
    missing or an array has the wrong shape.
    """
    arrays = {name.lower().removeprefix("scalar_"): values for name, values in arrays.items()}
    columns = {}
    for field, names in _NAMES.items():
        if found := [arrays[name] for name in names if name in arrays]:
            columns[field] = found[0]
        for parts in _COMPONENTS.get(field, ()):
            if field not in columns and all(part in arrays for part in parts):
                columns[field] = np.column_stack([arrays[part] for part in parts])
    if "coords" not in columns:
        raise UserError(
            f"{path}: holds {', '.join(arrays) or 'nothing'}, expected coordinates called "
            f"x, y, z or {', '.join(_NAMES['coords'])}"
        )
    count = len(columns["coords"])
    return {name: _shaped(name, values, count, path) for name, values in columns.items()}


def _shaped(field: str, values: np.ndarray, count: int, path: Path) -> np.ndarray:
    width = 3 if field in _COMPONENTS else 1
    if field == "colour" and values.shape == (count, 4):
        values = values[:, :3]  # without opacity
    if values.dtype.kind not in "fiub" or values.shape not in ((count, width), (count,) * width):
        raise UserError(
            f"{path}: {field} has shape {values.shape} and type {values.dtype}, expected "
            f"({count}, {width}) numbers, one row per point"
        )
    return values if width == 3 else values.reshape(count)


def to_cloud(columns: Columns, path: Path) -> Cloud:
    """Cloud of the points with finite coordinates below 1e12.

    Coordinates beyond 10 km, as in a national grid, would lose centimetres in float32: their
    minimum, rounded down to a whole metre, is first subtracted in float64. Colours are scaled to
    0 .. 1 (``_unit_colour``) and normals to unit length. A label or instance that is NaN or beyond
    32 bits becomes -1. Intensities or normals with any non-finite value are left out.

    Warns of the number of points dropped for NaN, infinite or absurd coordinates, and of an extent
    that is unlikely in metres. Raises UserError where there are no points or most would be dropped.
    """
    coords = columns["coords"]
    if not len(coords):
        raise UserError(f"{path}: holds no points, expected at least one; write the file again")
    finite = (np.abs(coords) < _HUGE).all(axis=1)  # NaN is not
    if not finite.all():
        _judge_dropped(int((~finite).sum()), len(finite), path)
        columns = {name: values[finite] for name, values in columns.items()}
        coords = columns["coords"]
    low, high = coords.min(axis=0).astype(np.float64), coords.max(axis=0).astype(np.float64)
    _judge_extent(float((high - low).max()), path)
    if max(np.abs(low).max(), np.abs(high).max()) > _FAR:
        coords = coords - np.floor(low)
    fields = {name: _typed(name, values, path) for name, values in columns.items()}
    fields = {name: values for name, values in fields.items() if values is not None}
    return Cloud(**fields | {"coords": coords.astype(np.float32)}, name=str(path))


def _judge_dropped(dropped: int, total: int, path: Path) -> None:
    if 2 * dropped > total:
        raise UserError(
            f"{path}: {dropped} of {total} points have coordinates that are NaN, infinite or "
            "beyond 1e12, expected less than half; check the sensor's export and the file's columns"
        )
    warnings.warn(
        f"{path}: dropped {dropped} of {total} points, whose coordinates are NaN, infinite or "
        "beyond 1e12",
        stacklevel=4,
    )


def _judge_extent(extent: float, path: Path) -> None:
    if extent > _FAR or 0 < extent < _NEAR:
        warnings.warn(
            f"{path}: is {extent:g} m across if its unit is the metre, as expected; if it is not, "
            "scale the coordinates or the voxel size",
            stacklevel=4,
        )


def _typed(name: str, values: np.ndarray, path: Path) -> np.ndarray | None:
    if name == "colour":
        return _unit_colour(values, path)
    if name in ("label", "instance"):
        return _whole_numbers(name, values, path)
    values = values.astype(np.float32)
    if name == "normal":
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        values = np.divide(values, lengths, out=np.full_like(values, np.nan), where=lengths > 0)
    return values if name == "coords" or np.isfinite(values).all() else None


def _whole_numbers(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    """Labels as int64; NaN and huge floats, which stand for no label, become -1."""
    if values.dtype.kind == "f":
        values = np.where(np.abs(values) < 2**31, values, -1)
        if not (values == np.floor(values)).all():
            raise UserError(f"{path}: {name} holds fractions, expected whole numbers")
    return values.astype(np.int64)


def _unit_colour(colour: np.ndarray, path: Path) -> np.ndarray:
    """Colours as float32 in 0 .. 1; the value of white follows from the largest in the file.

    White is 1 for floats up to 1; 255 for values up to 255, also in 16 bits, as in some LAS files;
    and 65535 for values up to that. Raises UserError beyond.
    """
    low, high = colour.min(), colour.max()
    if not 0 <= low <= high <= 65535:  # NaN too
        raise UserError(
            f"{path}: colours are {low:g} .. {high:g}, expected 0 .. 1, 0 .. 255 or 0 .. 65535"
        )
    white = 1 if high <= 1 and colour.dtype.kind == "f" else 255 if high <= 255 else 65535
    return (colour / np.float32(white)).astype(np.float32)


def judge_labels(cloud: Cloud, classes: tuple[str, ...]) -> Cloud:
    """Return the cloud; raise UserError where a label is not the index of a class."""
    if cloud.label is not None and classes:
        outside = (cloud.label < -1) | (cloud.label >= len(classes))
        if outside.any():
            found = np.unique(cloud.label[outside])
            raise UserError(
                f"{cloud.name}: label {', '.join(map(str, found[:5]))} at {int(outside.sum())} "
                f"points, expected 0 .. {len(classes) - 1} for the {len(classes)} classes, or -1 "
                "where there is none"
            )
    return cloud

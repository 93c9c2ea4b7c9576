"""Convert the columns of a file to a ``Cloud``, with the same checks for all formats.

Columns are named as the fields of ``Cloud``; coordinates may have any float type.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.names import COMPONENTS, NAMES, SPLATS, guessed, plain
from tspcrep.common.errors import UserError

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Format:
    """A point cloud format, declared by the module that reads it.

    name : for messages.
    suffixes : in lower case, with the dot.
    read : (path, largest number of points) -> columns. With ``unnamed``, names of the columns, or
        () where the user gives none, are a third argument.
    marks : first bytes of such a file; empty for formats without a signature.
    marked : whether every file of the format begins with a mark.
    unnamed : whether a file may leave its columns without names.
    write : (source, target, fields) writes ``source`` anew to the open file ``target``, with fields
        of all its rows beside or in place of its own; see :mod:`pcrep.datasets.writing`.
    written : suffix of what it writes; "" for that of the source.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[..., Columns]
    marks: tuple[bytes, ...] = ()
    marked: bool = True
    unnamed: bool = False
    write: Callable[[Path, BinaryIO, Fields], None] | None = None
    written: str = ""


_FAR = 10_000.0  # metres; float32 counts in steps of 1 mm here, of 0.5 m at 5,000 km
_NEAR = 0.05  # metres
_COARSE = 0.01  # metres
_HUGE = 1e12  # beyond any place on Earth in any unit


def select(arrays: dict[str, np.ndarray], path: Path) -> Columns:
    """Select the fields of a ``Cloud`` among the named arrays of a file; others are left out.

    See :mod:`names` for what they may be called. Coordinates with more columns beside them are
    split as :func:`names.guessed` says. Raises UserError where coordinates are missing or an array
    has the wrong shape.
    """
    arrays = {plain(name): values for name, values in arrays.items()}
    if "objectness" in arrays:  # a prepared cloud: its segments are no classes
        arrays.pop("segment", None)
    columns = {}
    for field, names in NAMES.items():
        if found := [arrays[name] for name in names if name in arrays]:
            columns[field] = found[0]
        for parts in COMPONENTS.get(field, ()):
            if field not in columns and all(part in arrays for part in parts):
                columns[field] = np.column_stack([arrays[part] for part in parts])
    if "colour" not in columns and all(name in arrays for name in SPLATS):
        columns["colour"] = _of_splats(np.column_stack([arrays[name] for name in SPLATS]))
    if "coords" not in columns:
        raise UserError(
            f"{path}: holds {', '.join(arrays) or 'nothing'}, expected coordinates called "
            f"x, y, z or {', '.join(NAMES['coords'])}"
        )
    coords = columns["coords"]
    if coords.ndim == 2 and coords.shape[1] > 3 and coords.dtype.kind in "fiu":
        beside = dict(zip(guessed(coords, path), coords.T, strict=True))
        columns = select(beside, path) | {n: v for n, v in columns.items() if n != "coords"}
    count = coords.shape[0] if coords.ndim else 1
    return {name: _shaped(name, values, count, path) for name, values in columns.items()}


def _of_splats(constant: np.ndarray) -> np.ndarray:
    """Colours of Gaussian splats from the first spherical harmonic, whose value is 1/(2 sqrt(pi)).

    Kerbl et al., "3D Gaussian Splatting", 2023.
    """
    return (0.5 + constant / (2 * np.sqrt(np.pi))).clip(0, 1).astype(np.float32)


def _shaped(field: str, values: np.ndarray, count: int, path: Path) -> np.ndarray:
    width = 3 if field in COMPONENTS else 1
    if field == "colour" and values.shape == (count, 4):
        values = values[:, :3]  # without opacity
    if values.dtype.kind not in "fiub" or values.shape not in ((count, width), (count,) * width):
        raise UserError(
            f"{path}: {field} has shape {values.shape} and type {values.dtype}, expected "
            f"({count}, {width}) numbers, one row per point"
        )
    return values if width == 3 else values.reshape(count)


def to_cloud(columns: Columns, path: Path, unit: float = 1.0) -> Cloud:
    """Cloud of the points with finite coordinates below 1e12.

    Coordinates beyond 10 km, as in a national grid, would lose centimetres in float32: their
    minimum, rounded down to a whole metre, is first subtracted in float64, and kept as ``origin``.
    Colours are scaled to 0 .. 1 (``_unit_colour``) and normals to unit length. A label or instance
    that is NaN or beyond 32 bits becomes -1. Intensities or normals with any non-finite value are
    left out. ``row`` numbers the points in the file, where some of it was left out.

    columns : may hold ``row`` (N,), where a reader left points out itself.
    unit : metres of a unit of the coordinates.

    Warns of the number of points dropped for NaN, infinite or absurd coordinates, of an extent that
    is unlikely in metres, and of coordinates that the file itself keeps in steps of a centimetre or
    more. Raises UserError where there are no points or most would be dropped.
    """
    coords = columns["coords"]
    if not len(coords):
        raise UserError(f"{path}: holds no points, expected at least one; write the file again")
    finite = np.all(np.abs(coords) < _HUGE, axis=1)  # NaN is not
    if not finite.all():
        _judge_dropped(int((~finite).sum()), len(finite), path)
        columns = {"row": np.arange(len(finite))} | columns
        columns = {name: values[finite] for name, values in columns.items()}
        coords = columns["coords"]
    _judge_steps(coords.dtype, float(np.abs(coords).max()), path)
    frame = frame_of(coords.min(axis=0), coords.max(axis=0), unit, path)
    row = columns.get("row")
    columns = {name: values for name, values in columns.items() if name != "row"}
    read = {name: typed(name, values, path) for name, values in columns.items()}
    fields: dict[str, Any] = {n: values for n, values in read.items() if values is not None}
    fields["coords"] = frame.apply(coords)
    return Cloud(**fields, name=str(path), origin=frame.origin, row=row, unit=unit)


@dataclass(frozen=True)
class Frame:
    """How the coordinates of a file become metres. origin : (3,) float64 metres, or None."""

    unit: float
    origin: np.ndarray | None

    def apply(self, coords: np.ndarray) -> np.ndarray:
        """Coordinates (N, 3) float32."""
        if self.unit != 1:
            coords = coords.astype(np.float64) * self.unit
        return (coords if self.origin is None else coords - self.origin).astype(np.float32)


def frame_of(low: np.ndarray, high: np.ndarray, unit: float, path: Path) -> Frame:
    """The frame of coordinates between ``low`` and ``high`` (3,), in units of the file.

    Warns of an extent that is unlikely in metres. Raises UserError for those that are not finite.
    """
    low, high = (edge.astype(np.float64) * unit for edge in (low, high))
    if not (np.abs(low) < _HUGE).all() or not (np.abs(high) < _HUGE).all():
        raise UserError(
            f"{path}: has coordinates that are NaN, infinite or beyond 1e12; write it again"
        )
    _judge_extent(float((high - low).max()), path)
    far = max(np.abs(low).max(), np.abs(high).max()) > _FAR
    return Frame(unit, np.floor(low) if far else None)


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


def _judge_steps(kind: np.dtype, farthest: float, path: Path) -> None:
    step = float(np.spacing(kind.type(farthest))) if kind.kind == "f" else 0
    if step >= _COARSE:
        warnings.warn(
            f"{path}: keeps coordinates up to {farthest:.0f} in {8 * kind.itemsize}-bit floats, "
            f"which are steps of {step:.2g} there; export it with 64-bit floats or an offset",
            stacklevel=4,
        )


def typed(name: str, values: np.ndarray, path: Path, white: int | None = None) -> np.ndarray | None:
    """Values of a field of ``Cloud``, or None where they cannot be used.

    white : the value of white in colours, which else follows from the largest.
    """
    if name == "colour" and white is not None:
        return (values / np.float32(white)).astype(np.float32)
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
    elif values.dtype.itemsize == 8:
        return np.where(values.astype(np.float64) < 2**53, values.astype(np.int64), -1)
    return values.astype(np.int64)


def _unit_colour(colour: np.ndarray, path: Path) -> np.ndarray | None:
    """Colours as float32 in 0 .. 1; the value of white follows from the largest in the file.

    White is 1 for floats up to 1; 255 for values up to 255, also in 16 bits, as in some LAS files;
    and 65535 for values up to that. Raises UserError beyond. A colour that is NaN becomes grey,
    with a warning.
    """
    unknown = ~np.isfinite(colour).all(axis=1)
    if unknown.all():
        return None
    if unknown.any():
        warnings.warn(
            f"{path}: has no colour at {int(unknown.sum())} of {len(colour)} points, which are "
            "taken for grey",
            stacklevel=5,
        )
        known = _unit_colour(colour[~unknown], path)
        grey = np.full(colour.shape, 0.5, np.float32)
        grey[~unknown] = known
        return grey
    low, high = colour.min(), colour.max()
    if not 0 <= low <= high <= 65535:  # NaN too
        raise UserError(
            f"{path}: colours are {low:g} .. {high:g}, expected 0 .. 1, 0 .. 255 or 0 .. 65535"
        )
    return typed("colour", colour, path, white_of(float(high), colour.dtype))


def white_of(high: float, kind: np.dtype) -> int:
    """The value of white where the largest is ``high``."""
    return 1 if high <= 1 and kind.kind == "f" else 255 if high <= 255 else 65535


def judge_labels(cloud: Cloud, classes: tuple[str, ...]) -> Cloud:
    """Return the cloud; raise UserError where a label is not the index of a class."""
    if cloud.label is not None and classes:
        outside = (cloud.label < -1) | (cloud.label >= len(classes))
        if outside.any():
            found = np.unique(cloud.label[outside])
            raise UserError(
                f"{cloud.name}: label {', '.join(map(str, found[:5]))} at {int(outside.sum())} "
                f"points, expected 0 .. {len(classes) - 1} for the {len(classes)} classes, or -1 "
                f"for none; --ignore {found[-1]} makes it none, --label-map FILE says which class "
                "a label is"
            )
    return cloud

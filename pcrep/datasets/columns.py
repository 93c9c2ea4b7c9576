"""What every reader ends with: raw columns of a file made a ``Cloud``, or an error in one line."""

import warnings
from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.cloud import Cloud

# float32 counts in steps of 1 mm here, and in half a metre at a northing of 5 million metres.
FAR = 10_000.0
MAX_POINTS = 20_000_000

Columns = dict[str, np.ndarray]  # by the names of Cloud's fields; coords in any float type


def to_cloud(columns: Columns, path: Path) -> Cloud:
    """A cloud of the points of a file whose coordinates are finite.

    Coordinates beyond 10 km, as in a national grid, lose their whole metres before they become
    float32: the minimum, rounded down, is subtracted in float64. Colours are brought to 0 .. 1
    (``unit_colour``). Points with NaN or infinite coordinates are dropped, with a count as a
    warning.

    Raises UserError where there are no points, or most are not finite.
    """
    coords = columns["coords"]
    if not len(coords):
        raise UserError(f"{path}: holds no points, expected at least one; write the file again")
    finite = np.isfinite(coords).all(axis=1)
    if (dropped := int((~finite).sum())) > 0:
        _judge_dropped(dropped, len(finite), path)
        columns = {name: values[finite] for name, values in columns.items()}
        coords = columns["coords"]
    if np.abs(coords).max() > FAR:
        coords = coords.astype(np.float64)
        coords = coords - np.floor(coords.min(axis=0))
    given = {name: _typed(name, values, path) for name, values in columns.items()}
    return Cloud(**given | {"coords": coords.astype(np.float32)}, name=str(path))


def _judge_dropped(dropped: int, total: int, path: Path) -> None:
    if 2 * dropped > total:
        raise UserError(
            f"{path}: {dropped} of {total} points have NaN or infinite coordinates, expected less "
            "than half; check the unit, the sensor's export or the columns of the file"
        )
    warnings.warn(
        f"{path}: dropped {dropped} of {total} points, whose coordinates are not finite",
        stacklevel=4,
    )


def _typed(name: str, values: np.ndarray, path: Path) -> np.ndarray:
    if name == "colour":
        return unit_colour(values, path)
    if name in ("label", "instance", "segment"):
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            raise UserError(f"{path}: {name} holds fractions, expected whole numbers")
        return values.astype(np.int64)
    return values.astype(np.float32)


def unit_colour(colour: np.ndarray, path: Path) -> np.ndarray:
    """Colours as float32 in 0 .. 1. What white is follows from the largest value in the file.

    Up to 1 it is 1, if the numbers are floats; up to 255 it is 255, also where they are stored in
    16 bits, as some LAS files have it; up to 65,535 it is 65,535.
    """
    low, high = colour.min(), colour.max()
    if not 0 <= low <= high <= 65535:  # NaN too
        raise UserError(
            f"{path}: colours are {low:g} .. {high:g}, expected 0 .. 1, 0 .. 255 or 0 .. 65535"
        )
    white = 1 if high <= 1 and colour.dtype.kind == "f" else 255 if high <= 255 else 65535
    return (colour / np.float32(white)).astype(np.float32)


def judge_count(count: int, path: Path, max_points: int) -> None:
    """Raise UserError for a file too large to be held in memory, before it is read."""
    if count > max_points:
        raise UserError(
            f"{path}: holds {count:,} points, expected at most {max_points:,} in one scene; crop "
            "it, cut it into tiles, or thin it to the voxel size"
        )

"""One NumPy array: a row for each point, or a record with named fields."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.arrays import read_array
from tspcrep.common.errors import UserError


def _read(path: Path, max_points: int, names: tuple[str, ...] = ()) -> Columns:
    """Columns of a ``.npy`` of shape (N, C), or of N records with named fields."""
    return columns(read_array(path, mapped=True), path, max_points, names)


def columns(array: np.ndarray, path: Path, max_points: int, names: tuple[str, ...]) -> Columns:
    if array.dtype.names and array.ndim == 1:
        judge_count(len(array), path, max_points)
        return select({name: array[name] for name in array.dtype.names}, path)
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds an array of shape {array.shape} and type {array.dtype}, expected "
            "numbers (N, C), x y z first"
        )
    judge_count(len(array), path, max_points)
    if not names:
        return select({"coords": np.asarray(array)}, path)
    if len(names) != array.shape[1]:
        raise UserError(
            f"{path}: has {array.shape[1]} columns and --columns {len(names)} names "
            f"({' '.join(names)}), expected as many"
        )
    return select({name: array[:, i] for i, name in enumerate(names)}, path)


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """An archive of the array and of those of the fields."""
    array = read_array(path, mapped=True)
    new: dict[str, Any] = fields.arrays(len(array), path)
    np.savez(target, array, **new)


FORMAT = Format(
    "NPY", (".npy",), _read, (b"\x93NUMPY",), unnamed=True, write=_write, written=".npz"
)

"""Batches of rows, as engines of large tables hand them on: Arrow tables, or dicts of arrays.

A row holds a series or a cloud of its own, so a column may be of lists, of unequal length too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from tspcrep.common.errors import UserError

Batch = TypeVar("Batch", pa.Table, dict[str, np.ndarray])


def versioned(path: Path) -> tuple[Path, int]:
    """A file and when it was written, a key under which what it holds can be kept; 0 for none."""
    return path, path.stat().st_mtime_ns if path.is_file() else 0


def names_of(batch: Batch) -> list[str]:
    return list(batch.column_names if isinstance(batch, pa.Table) else batch)


def cells(batch: Batch, name: str) -> list[np.ndarray]:
    """A column of lists, or of lists of lists, as one array for each row.

    Raises
    ------
    UserError
        There is no such column; a row is missing, is no list, or its inner lists are of unequal
        length.
    """
    if name not in names_of(batch):
        raise UserError(
            f"the batch has no column {name!r}, expected one of lists; it has "
            f"{', '.join(names_of(batch)) or 'none'}"
        )
    column = _numpy(batch[name]) if isinstance(batch, pa.Table) else batch[name]
    return [_array(cell, f"row {row} of column {name!r}") for row, cell in enumerate(column)]


def with_columns(batch: Batch, new: Mapping[str, np.ndarray | Sequence[np.ndarray]]) -> Batch:
    """The batch with further columns: (N,), (N, D), or a list of N arrays of any length.

    In an Arrow table (N, D) becomes a column of lists of a fixed size. Raises UserError where a
    name is taken.
    """
    taken = [name for name in new if name in names_of(batch)]
    if taken:
        raise UserError(
            f"the batch has a column {taken[0]!r} already, which is to be written: rename it"
        )
    if isinstance(batch, pa.Table):
        table = batch
        for name, values in new.items():
            table = table.append_column(name, _arrow(values))
        return table
    return batch | {name: _column(values) for name, values in new.items()}


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    if isinstance(column.type, pa.FixedShapeTensorType):
        return np.concatenate([part.to_numpy_ndarray() for part in column.chunks])
    return column.to_numpy()


def _array(cell: object, where: str) -> np.ndarray:
    found = np.asarray(cell)
    if not found.ndim:
        raise UserError(f"{where}: found {cell}, expected a list")
    if found.dtype != object:
        return found
    parts = [_array(part, where) for part in found]
    if len({part.shape for part in parts}) > 1:
        raise UserError(f"{where}: lists of unequal length, expected a rectangle of numbers")
    return np.stack(parts)


def _arrow(values: np.ndarray | Sequence[np.ndarray]) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.array(values)


def _column(values: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    column = np.empty(len(values), object)
    for row, cell in enumerate(values):  # numpy would make a rectangle of equal lengths
        column[row] = cell
    return column

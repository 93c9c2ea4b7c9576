"""Text files of one point per line: XYZ, PTS, CSV, and the rooms of S3DIS."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.names import guessed
from pcrep.datasets.formats.records import MAX_POINTS, judge_count
from pcrep.datasets.formats.tables import Table, cells, find_table, lines_of_points, numbers
from tspcrep.common.errors import UserError

# What the suffix or a count in the first line says of columns without names.
_PTS: dict[int, tuple[str, ...]] = {
    4: ("x", "y", "z", "intensity"),
    6: ("x", "y", "z", "r", "g", "b"),
    7: ("x", "y", "z", "intensity", "r", "g", "b"),
}
_OF_SUFFIX: dict[str, dict[int, tuple[str, ...]]] = {
    ".xyzn": {6: ("x", "y", "z", "nx", "ny", "nz")},
    ".xyzrgb": {6: ("x", "y", "z", "r", "g", "b")},
}


def read(path: Path, max_points: int, names: tuple[str, ...] = ()) -> Columns:
    """Columns of a text file, separated by spaces, tabs, commas or semicolons.

    A line before the numbers may name the columns (``x y z r g b label``, also after ``#`` or
    ``//``) or give the number of points, as in PTS. Lines that begin with ``#`` are remarks.
    Without names, the columns are those of PTS, of the suffix, or guessed
    (:func:`pcrep.datasets.formats.names.guessed`). Empty cells are NaN.

    names : of the columns, in place of what the file says.

    Raises UserError where a first line of words names no coordinates, or a line is too short.
    """
    table = find_table(path, named=bool(names))
    names = names or table.names or ()
    width = table.width(names)
    if names and len(names) != width:
        raise UserError(
            f"{path}: has {width} numbers in a line and {len(names)} names of columns "
            f"({' '.join(names)}), expected as many; name them with --columns"
        )
    if table.declared is not None:
        judge_count(table.declared, path, max_points)
    values = numbers(path, table.start, table.separator, width, max_points, None, table.decimal)
    if table.declared not in (None, len(values)):
        raise UserError(
            f"{path}: holds {len(values)} points, expected {table.declared} from its first line; "
            "it is cut off or of several parts"
        )
    names = names or _unnamed(path, table).get(width) or guessed(values, path)
    return select({name: values[:, column] for column, name in enumerate(names)}, path)


def _unnamed(path: Path, table: Table) -> dict[int, tuple[str, ...]]:
    """Names of columns by their number, where the suffix or a count of points says so."""
    return _PTS if table.declared is not None else _OF_SUFFIX.get(path.suffix.lower(), {})


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """The lines with columns label, confidence, ... behind the others, below a line of names."""
    table = find_table(path, named=True)
    with path.open("rb") as source:
        source.seek(table.start)
        count = sum(1 for _ in lines_of_points(source))
        values = fields.of_rows(count, path)
        width = table.width(fields.names or table.names)
        columns = fields.names or table.names or _names(path, table, width)
        columns = tuple(name or f"c{i + 1}" for i, name in enumerate(columns))
        mark = " " if table.separator == r"\s+" else table.separator
        kept = [name for name in columns if name not in values]
        target.write((mark.join([*kept, *values]) + "\n").encode())
        source.seek(table.start)
        write_lines(source, target, columns, values, table.separator, table.decimal)


def _names(path: Path, table: Table, width: int) -> tuple[str, ...]:
    """What columns without names were taken for."""
    names = _unnamed(path, table).get(width)
    if names:
        return names
    values = numbers(path, table.start, table.separator, width, MAX_POINTS, None, table.decimal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was told when they were read
        return guessed(values, path)


def write_lines(
    source: BinaryIO,
    target: BinaryIO,
    columns: Sequence[str],
    values: dict[str, np.ndarray],
    separator: str = r"\s+",
    decimal: str = ".",
) -> None:
    """Write the next lines of points with ``values`` (N,) behind the other columns.

    columns : names of those in the source, of which any in ``values`` are left out.
    """
    places = [i for i, name in enumerate(columns) if name not in values]
    mark = " " if separator == r"\s+" else separator
    written, count = 0, len(next(iter(values.values())))
    while written < count and (raw := source.readline()):
        line = raw.decode("utf-8-sig", "replace").partition("#")[0].strip("\r\n")
        if not line.strip():
            target.write(raw)
            continue
        old = cells(line, separator)
        new = [_number(column[written]).replace(".", decimal) for column in values.values()]
        target.write((mark.join([*(old[i] for i in places), *new]) + "\n").encode())
        written += 1


def _number(value: np.generic) -> str:
    return f"{value:.9g}" if value.dtype.kind == "f" else str(value)  # all digits of a float32


FORMAT = Format(
    "text",
    (".xyz", ".pts", ".txt", ".csv", ".asc", ".xyzn", ".xyzrgb"),
    read,
    unnamed=True,
    write=_write,
)

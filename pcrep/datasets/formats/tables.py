"""Tables in text: where the numbers begin, what separates them, and the numbers."""

import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from pcrep.datasets.formats.names import has_coords, plain
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.errors import UserError

_CHUNK = 1_000_000  # lines read at once
_REMARK = "#", "//", "%", "!"


@dataclass(frozen=True)
class Table:
    """start : byte of the first line of numbers. first : that line. separator : a regular
    expression. decimal : the mark. names : of the columns, where a line names them. declared :
    number of points, where a line gives it.
    """

    start: int
    first: str
    separator: str
    decimal: str
    names: tuple[str, ...] | None
    declared: int | None

    def width(self, names: tuple[str, ...] | None) -> int:
        """Columns: an empty last cell is one where there is a name for it."""
        row = cells(self.first, self.separator)
        return len(names) if names and len(row) == len(names) else len(_filled(row))


def find_table(path: Path, named: bool = False) -> Table:
    """What the lines before the numbers say; named : that they need not name the columns."""
    names, declared, start = None, None, 0
    with path.open("rb") as file:
        for line in range(100):
            raw = file.readline(1 << 16)
            if not raw:
                raise UserError(f"{path}: holds no points, expected lines of numbers")
            text = _decoded(raw, path).strip()
            separator, decimal = _separator(text)
            if _is_number(text, separator, decimal):
                if len(_filled(cells(text, separator))) > 1:
                    return Table(start, text, separator, decimal, names, declared)
                if not text.isdecimal():
                    raise UserError(f"{path}: {text[:60]!r} in line {line + 1}, expected x y z ...")
                declared = int(text)
            elif text:
                names = _named(text, separator) or names
                if not (names or named or text.startswith(_REMARK)):
                    raise UserError(
                        f"{path}: line {line + 1} is {text[:60]!r}, expected numbers or the names "
                        "of columns, x, y and z among them; name them with --columns"
                    )
            start = file.tell()
    raise UserError(f"{path}: no line of numbers among the first 100, expected x y z ...")


def _decoded(raw: bytes, path: Path) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: is text in UTF-16, expected UTF-8; save it in that encoding")
    if b"\0" in raw:
        raise UserError(
            f"{path}: holds binary data, expected lines of numbers; give it the suffix of its "
            "format"
        )
    return raw.decode("utf-8-sig", "replace")


def _separator(line: str) -> tuple[str, str]:
    """What separates the cells of a line, and the decimal mark."""
    for mark in (";", "\t"):
        if mark in line:
            return (mark if mark == ";" else r"\s+"), ("," if "," in line else ".")
    return ("," if "," in line else r"\s+"), "."


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line; empty ones too, but not between spaces."""
    if separator == r"\s+":
        return line.split()
    return [cell.strip() for cell in line.strip().split(separator)]


def _filled(row: list[str]) -> list[str]:
    """The cells without an empty last one: a line may end in a separator."""
    return row[:-1] if not row[-1] else row


def _is_number(line: str, separator: str, decimal: str) -> bool:
    row = [cell.strip('"').replace(decimal, ".") for cell in cells(line, separator)]
    try:
        return bool([float(cell) for cell in row if cell])
    except ValueError:
        return False


def _named(line: str, separator: str) -> tuple[str, ...] | None:
    """Plain names of columns in a line; None where coordinates are not among them."""
    line = line.lstrip("#/%! ")
    for row in (cells(line, separator), re.split(r"[\s,;]+", line.strip())):
        names = tuple(plain(cell) for cell in _filled(row))
        if has_coords(names):
            return names
    return None


def numbers(
    path: Path,
    start: int,
    separator: str,
    width: int,
    max_points: int,
    rows: int | None = None,
    decimal: str = ".",
    skip: int = 0,
) -> np.ndarray:
    """Numbers (N, width) float64 of the lines from byte ``start`` on, or of ``rows`` of them.

    Numbers beyond ``width`` in a line are left out, and so are lines after ``#`` and the first
    ``skip`` ones. Raises UserError for a line that holds a word or fewer cells; a cell may be NaN
    or, between separators, empty.
    """
    parts, count = [], 0
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.ParserWarning)  # that a line ends in a comma
            _advance(file, start, skip)
            with pd.read_csv(
                file,
                sep=separator,
                header=None,
                names=range(width),
                index_col=False,
                nrows=rows,
                dtype=np.float64,
                decimal=decimal,
                comment="#",
                chunksize=_CHUNK,
                encoding_errors="replace",
            ) as chunks:
                for chunk in chunks:
                    count += len(chunk)
                    judge_count(count, path, max_points)
                    parts.append(chunk.to_numpy())
    except UserError:
        raise
    except pd.errors.EmptyDataError:
        pass
    except ValueError as error:  # pandas' ParserError is one
        raise UserError(
            f"{path}: {' '.join(str(error).split())}; expected {width} numbers per line"
        ) from None
    values = np.concatenate(parts) if parts else np.empty((0, width))
    _judge_short(path, start, skip, separator, np.flatnonzero(np.isnan(values[:, -1])), width)
    return values


def _advance(file: BinaryIO, start: int, skip: int) -> None:
    file.seek(start)
    for _ in range(skip):
        file.readline()


def _judge_short(
    path: Path, start: int, skip: int, separator: str, rows: np.ndarray, width: int
) -> None:
    """Raise UserError where one of the ``rows``, whose last number is NaN, has too few cells.

    The parser gives NaN for a cell that is empty or says so, and for one that is missing.
    """
    if not len(rows):
        return
    with path.open("rb") as file:
        _advance(file, start, skip)
        lines = lines_of_points(file)
        before = -1
        for row in rows:
            line = next(itertools.islice(lines, row - before - 1, None), "")
            before = row
            found = len(line.split()) if separator == r"\s+" else line.count(separator) + 1
            if found < width:
                raise UserError(
                    f"{path}: point {row} has no number in column {width}, expected {width} "
                    "numbers per line; the file is cut off or has another column there"
                )


def lines_of_points(file: BinaryIO) -> Iterator[str]:
    """The next lines with numbers, without remarks."""
    for raw in file:
        line = raw.decode("utf-8", "replace").partition("#")[0].strip("\r\n")
        if line.strip():
            yield line

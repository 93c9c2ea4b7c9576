"""Text files of one point per line: XYZ, PTS, CSV, and the rooms of S3DIS."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.errors import UserError

_CHUNK = 1_000_000  # lines read at once
# Columns where no header line names them. Seven are in the order of PTS.
_USUAL = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    6: ("x", "y", "z", "r", "g", "b"),
    7: ("x", "y", "z", "intensity", "r", "g", "b"),
}


def read(path: Path, max_points: int) -> Columns:
    """Columns of a text file, separated by spaces, tabs, commas or semicolons.

    A line before the numbers may name the columns (``x y z r g b label``, also after ``#`` or
    ``//``) or give the number of points, as in PTS; other lines before the numbers are skipped.
    """
    skip, names, declared, first = _start(path)
    separator = next((mark for mark in ",;" if mark in first), r"\s+")
    width = len(_numbers(first))
    names = names or _USUAL.get(width)
    if names is None or len(names) != width:
        raise UserError(
            f"{path}: {width} columns, expected 3 (x y z), 4 (and intensity), 6 (x y z r g b) or 7 "
            "(x y z intensity r g b); name others in a first line, such as: x y z r g b label"
        )
    if declared is not None:
        judge_count(declared, path, max_points)
    values = table(path, skip, separator, width, max_points)
    if declared not in (None, len(values)):
        raise UserError(
            f"{path}: holds {len(values)} points, expected {declared} from its first line; it is "
            "cut off or of several parts"
        )
    arrays = {name: values[:, column] for column, name in enumerate(names)}
    return select(arrays, path)


def _start(path: Path) -> tuple[int, tuple[str, ...] | None, int | None, str]:
    """Lines to skip, column names, number of points, and the first line of numbers."""
    names, declared = None, None
    with path.open("rb") as file:
        for skip in range(100):
            raw = file.readline(1 << 16)
            if not raw:
                raise UserError(f"{path}: holds no points, expected lines of numbers")
            if b"\0" in raw:
                raise UserError(
                    f"{path}: holds binary data, expected lines of numbers; give it the suffix of "
                    "its format"
                )
            line = raw.decode("utf-8", "replace").strip()
            try:
                numbers = _numbers(line)
            except ValueError:
                words = tuple(word.strip('"').lower() for word in _words(line.lstrip("#/")))
                names = words if {"x", "y", "z"} <= set(words) else names  # or a remark
                continue
            if len(numbers) == 1 and numbers[0].is_integer():
                declared = int(numbers[0])
            elif numbers:
                return skip, names, declared, line
    raise UserError(f"{path}: no line of numbers among the first 100, expected x y z ...")


def _words(line: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", line) if word]


def _numbers(line: str) -> list[float]:
    return [float(word) for word in _words(line)]


def table(
    path: Path,
    skip: int,
    separator: str,
    width: int,
    max_points: int,
    rows: int | None = None,
) -> np.ndarray:
    """Numbers (N, width) of all lines after the first ``skip``, or of ``rows`` of them.

    Numbers beyond ``width`` in a line are left out. Raises UserError for a line that holds a word
    or fewer numbers; rows of ``x y z`` alone may hold NaN.
    """
    parts, count = [], 0
    try:
        with pd.read_csv(
            path,
            sep=separator,
            header=None,
            names=range(width),
            index_col=False,
            skiprows=skip,
            nrows=rows,
            dtype=np.float64,
            chunksize=_CHUNK,
        ) as chunks:
            for chunk in chunks:
                count += len(chunk)
                judge_count(count, path, max_points)
                parts.append(chunk.to_numpy())
    except UserError:
        raise
    except ValueError as error:  # pandas' ParserError is one
        raise UserError(
            f"{path}: {' '.join(str(error).split())}; expected {width} numbers per line"
        ) from None
    values = np.concatenate(parts) if parts else np.empty((0, width))
    short = np.isnan(values[:, -1]) & (width > 3)  # x y z may be NaN, what follows may not
    if short.any():
        raise UserError(
            f"{path}: point {int(short.argmax())} has no number in column {width}, expected "
            f"{width} numbers per line; the file is cut off or has another column there"
        )
    return values


FORMAT = Format("text", (".xyz", ".pts", ".txt", ".csv"), read)

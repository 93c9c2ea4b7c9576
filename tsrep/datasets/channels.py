"""Which columns of a table are channels, and their values."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.numbers import given, is_text, is_time, parsed
from tsrep.datasets.numeric_times import is_counter, words


def note(message: str) -> None:
    """Warn of something about the data."""
    warnings.warn(message, DataWarning, stacklevel=2)


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a message, the first of many."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def channel_names(
    frame: pd.DataFrame, timed: bool, comma: bool, missing: Sequence[str], path: Path
) -> tuple[list[str], list[str]]:
    """The columns of ``frame`` that are channels, and in words those that are left out.

    Left out are text, dates, an id that is the same throughout and, in a table with times (timed),
    a count of rows. comma, missing: see ``tsrep.datasets.numbers``.
    """
    left, kept = [], []
    for name in frame.columns:
        column = frame[name]
        if is_time(column):
            left.append(f"{name!r} ({_kind(column)})")
        elif "id" in words(name) and column.nunique() == 1 and len(column) > 1:
            left.append(f"{name!r} (one id throughout)")
        elif timed and is_counter(column):
            left.append(f"{name!r} (a count of rows)")
        elif is_words(column, comma, missing):
            first = column[given(column, missing)].iloc[0]
            left.append(f"{name!r} (text, such as {str(first)[:40]!r})")
        else:
            kept.append(name)
    if not kept:
        what = f": {listed(left)}" if left else " beside the times"
        raise UserError(f"{path} has no channels, expected a column of numbers{what}")
    return kept, left


def _kind(column: pd.Series) -> str:
    return "durations" if column.dtype.kind == "m" else "dates"


def is_words(column: pd.Series, comma: bool, missing: Sequence[str]) -> bool:
    """Whether a column is text, of which no more than half reads as numbers."""
    if not is_text(column):
        return False
    held = given(column, missing)
    read = ~np.isnan(parsed(column, comma, missing)) & held
    return bool(held.any()) and 2 * read.sum() <= held.sum()


def channel_values(
    column: pd.Series, comma: bool, missing: Sequence[str], path: Path
) -> np.ndarray:
    """(T,) float64, NaN where missing. Raises UserError, naming the row, for text or infinity."""
    name = column.name
    if is_time(column):  # to_numeric would turn dates and durations into nanoseconds
        what = _kind(column)
        raise UserError(f"{path}: column {name!r} holds {what}, expected numbers: leave it out")
    values = parsed(column, comma, missing)
    bad = np.isnan(values) & given(column, missing) & is_text(column)
    if bad.any():
        row = int(bad.argmax())
        raise UserError(
            f"{path}: row {row + 1} of column {name!r} is {column.iloc[row]!r}, expected a number: "
            "correct it, leave it empty, name it with --missing, or leave the column out with "
            "--drop-columns"
        )
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise UserError(
            f"{path}: row {row + 1} of column {name!r} is infinite, expected a finite number: "
            "correct it or leave it empty"
        )
    return values

"""Which column of a long table tells its series apart."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tsrep.datasets.numbers import is_text

_PLAIN = ("unique_id", "series_id", "item_id")
_NAMES = ("id", "series", "store", "station", "ticker")


def find_ids(frame: pd.DataFrame, times: pd.Index) -> str | None:
    """The column that tells the series of a long table apart, where that is plain; else None.

    frame: the columns beside the times. A column named unique_id, series_id or item_id is one.
    Otherwise, where times repeat, it is a column of text, or one called id or alike, that has each
    time once for each of its values. Of several that part the rows in the same way it is the first.
    """
    named = named_id(frame)
    if named is not None:
        return named
    if times.is_monotonic_increasing and times.is_unique:
        return None
    for name in sorted(frame.columns, key=lambda name: str(name).lower() not in _NAMES):
        column = frame[name]
        by_name = str(name).lower() in _NAMES and pd.api.types.is_integer_dtype(column)
        if (by_name or is_text(column)) and _tells_apart(column, times):
            return name
    return None


def named_id(frame: pd.DataFrame) -> str | None:
    """The column that is an id by its name alone."""
    return next((name for name in _PLAIN if name in frame.columns), None)


def row_names(frame: pd.DataFrame) -> str | None:
    """The column that names the rows of a table with one row a series: called unique_id, id or
    alike, of integers or text, none of them twice."""
    for name in frame.columns:
        column, plain = frame[name], str(name).lower()
        whole = pd.api.types.is_integer_dtype(column) or is_text(column)
        if plain in _PLAIN or (plain in _NAMES and whole and column.is_unique):
            return name
    return None


def joined_ids(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """One name a row, with / between the columns joined."""
    parts = [frame[name].astype(str) for name in columns]
    return parts[0] if len(parts) == 1 else parts[0].str.cat(parts[1:], sep="/")


def _tells_apart(column: pd.Series, times: pd.Index) -> bool:
    codes, names = pd.factorize(column)
    if (codes < 0).any() or not 1 < len(names) <= len(column) // 2:
        return False
    pairs = pd.DataFrame({"id": codes, "time": np.asarray(times)})
    return not pairs.duplicated().any()

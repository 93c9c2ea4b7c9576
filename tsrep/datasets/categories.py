"""Columns of text as columns of 0 and 1, one for each value: promotion=none, promotion=leaflet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.channels import listed, note
from tsrep.datasets.numbers import given

MOST = 50
"""Most values of a column; text of more is no category."""


def indicators(column: pd.Series, missing: Sequence[str], path: Path) -> dict[str, np.ndarray]:
    """A column (T,) of 0 and 1 for each value, by ``name=value``, NaN where the value is missing.

    Raises UserError for more than 50 values.
    """
    held = given(column, missing)
    text = np.array([str(value).strip() for value in column], dtype=object)
    values = np.unique(text[held])
    if len(values) > MOST:
        raise UserError(
            f"{path}: column {column.name!r} holds {len(values)} different texts, such as "
            f"{values[0][:40]!r}, expected at most {MOST} to read as categories"
        )
    return {
        f"{column.name}={value}": np.where(held, text == value, np.nan).astype(np.float64)
        for value in values
    }


def expanded(names: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """``names``, those of text replaced by the columns of their values."""
    found: list[str] = []
    for name in names:
        values = [c for c in columns if c.startswith(f"{name}=")]
        found += values if values and name not in columns else [name]
    return tuple(found)


def sources(names: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns of text that ``names`` are values of, among the ``columns`` of a table."""
    texts = [name.partition("=")[0] for name in names if name not in columns and "=" in name]
    return tuple(dict.fromkeys(text for text in texts if text in columns))


def told_apart(
    names: Sequence[str], values: np.ndarray, categories: Sequence[str], path: Path
) -> np.ndarray:
    """Which columns (C,) to keep: not a value that all of ``values (T, C)`` have, or none of them.

    Nothing can be learned of these; they are named in a warning. Other columns are kept.
    """
    level = [name.partition("=")[0] in categories and "=" in name for name in names]
    same = np.nanmax(values, axis=0, initial=-1) == np.nanmin(values, axis=0, initial=2)
    left = np.array(level, dtype=bool) & (same | np.isnan(values).all(axis=0))
    if left.any():
        what = listed([name for name, out in zip(names, left, strict=True) if out])
        note(f"{path}: left out, as the train rows hold no or no other value: {what}")
    return ~left


def with_levels(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """``frame`` with the columns of ``names`` that are values of a column of text in it.

    The values of a text that a forecaster was not fitted with are named in a warning, and are none
    of those that it was.
    """
    found: dict[str, pd.Series] = {}
    for text in dict.fromkeys(name.partition("=")[0] for name in names if "=" in name):
        own = [name for name in names if name.startswith(f"{text}=") and name not in frame.columns]
        if text in frame.columns:
            levels = indicators(frame[text], (), Path("the table"))
        else:
            levels = {c: frame[c].to_numpy() for c in frame.columns if c.startswith(f"{text}=")}
        new = [name for name in levels if name not in names]
        if own and new:
            note(f"the forecaster was fitted without {listed(new)}, which count as no value")
        if levels:
            nothing = 0 * next(iter(levels.values()))  # NaN where the text is missing
            found |= {name: levels.get(name, nothing) for name in own}
    return frame.assign(**found)

"""The past that a forecast is made from, as people hand it over: frames by name, rows by time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.steps import even_steps, following, told


class History(NamedTuple):
    """values: float64 (T, C), NaN where missing. times: (T,) with even steps, None if unknown.

    known: (T + H, F), past: (T, E), each None where none was given.
    """

    values: np.ndarray
    times: pd.Index | None
    known: np.ndarray | None
    past: np.ndarray | None


def even_history(
    history: np.ndarray | pd.DataFrame,
    times: pd.Index | None,
    columns: Sequence[str],
    horizon: int,
    known: np.ndarray | pd.DataFrame | None = None,
    known_columns: Sequence[str] = (),
    past: np.ndarray | pd.DataFrame | None = None,
    past_columns: Sequence[str] = (),
) -> History:
    """A history of the channels ``columns`` on even steps, NaN in rows that were absent.

    A frame is matched by the names of its columns, others are ignored; its dated index stands for
    ``times``. The frame ``known`` is matched by its times too, and may be the history itself and
    the rows after it. Arrays are taken by position.

    Warns with a ``DataWarning`` if rows are filled in. Raises UserError for a frame without one of
    the columns, known inputs without a row that is to be forecast, infinite values, and times that
    are not as many as the rows or have no usual step.
    """
    if times is None and isinstance(history, pd.DataFrame):
        times = _dates(history.index)
    values = _values(history, columns, "history")
    past = None if past is None else _values(past, past_columns, "past")
    if times is None:
        known = None if known is None else _values(known, known_columns, "known")
        return History(values, None, known, past)
    index = pd.Index(times)
    dates = _dates(index)
    if dates is not None:
        index = dates
    if len(index) != len(values):
        raise UserError(
            f"times: found {len(index)}, expected one for each of the {len(values)} steps of the "
            "history"
        )
    grid = told(even_steps(index, "history"), "history")
    if isinstance(known, pd.DataFrame) and _dates(known.index) is not None:
        known = _at_times(known, grid.times.append(following(grid.times, horizon)), len(grid.times))
        known = _values(known, known_columns, "known")
    elif known is not None:
        known = _values(known, known_columns, "known")
        known = np.concatenate([grid.placed(known[: len(index)]), known[len(index) :]])
    past = None if past is None else grid.placed(past)
    return History(grid.placed(values), grid.times, known, past)


def _dates(index: pd.Index) -> pd.DatetimeIndex | None:
    """The timestamps of a dated index, else None."""
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp()
    return index if isinstance(index, pd.DatetimeIndex) else None


def _values(table: np.ndarray | pd.DataFrame, columns: Sequence[str], what: str) -> np.ndarray:
    """(T, C) float64; a frame is matched by name."""
    if isinstance(table, pd.DataFrame):
        absent = [name for name in columns if name not in table.columns]
        if absent:
            raise UserError(
                f"{what} has no column {absent[0]!r}, expected {', '.join(columns)}: it has "
                f"{', '.join(map(str, table.columns[:20]))}"
            )
        table = table[list(columns)]
    values = np.asarray(table, dtype=np.float64)
    if np.isinf(values).any():
        place = np.argwhere(np.isinf(values))[0]
        raise UserError(
            f"{what}: row {place[0] + 1} of column {place[-1] + 1} is infinite, expected a finite "
            "number, or NaN where it is missing"
        )
    return values


def _at_times(known: pd.DataFrame, times: pd.Index, past: int) -> pd.DataFrame:
    """The rows of ``known`` at ``times``, which it must have after the first ``past``."""
    dates = known.set_axis(_dates(known.index))
    absent = times[past:].difference(dates.index)
    if len(absent):
        raise UserError(
            f"known has no row for {absent[0]}, expected one for each step to forecast: add it, or "
            "shorten the horizon"
        )
    return dates[~dates.index.duplicated()].reindex(times)

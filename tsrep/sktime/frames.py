"""sktime's frames and indices as arrays and timestamps."""

import numpy as np
import pandas as pd

from tsrep.datasets.calendar import calendar_features, second_harmonics
from tsrep.datasets.steps import even_steps, told


def values_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Values (T, C) float64 of a frame; ValueError where one is infinite."""
    values = frame.to_numpy(np.float64)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(
            f"{name}: row {row + 1} of column {frame.columns[column]!r} is infinite, expected a "
            "number, or NaN where it is missing"
        )
    return values


def evenly_spaced(
    y: pd.DataFrame, X: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """y, and X at its times, on even steps, NaN in rows that were absent; dates get a frequency.

    Warns with a ``DataWarning`` if rows are filled in. Raises ValueError where the index of y has
    no usual step, see :mod:`tsrep.datasets.steps`.
    """
    index = y.index
    if len(index) < 3 or (isinstance(index, pd.DatetimeIndex) and index.freq is not None):
        return y, X
    periods = isinstance(index, pd.PeriodIndex)
    grid = even_steps(pd.Index(index.asi8) if periods else index, "y")
    whole = grid.times
    if isinstance(whole, pd.DatetimeIndex):
        whole = pd.DatetimeIndex(whole, freq=pd.infer_freq(whole))
    elif periods:
        whole = pd.period_range(index[0], index[-1], freq=index.freq)[:: whole.step]
    if not grid.absent:
        return (y.set_axis(whole) if isinstance(whole, pd.DatetimeIndex) else y), X
    told(grid, "y")
    return y.reindex(whole), None if X is None else X.reindex(whole.union(X.index))


def times_of(index: pd.Index, start: int = 0) -> pd.Index:
    """Timestamps of an index, or numbers of rows where it holds none."""
    if isinstance(index, pd.PeriodIndex):
        return index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex):
        return index
    return pd.RangeIndex(start, start + len(index))


def calendar_of(times: pd.Index, later: pd.Index | None = None) -> np.ndarray:
    """Calendar features (T, K) with their second harmonics."""
    whole = times if later is None else times.append(later)
    features = calendar_features(whole)
    return second_harmonics(features).astype(np.float32)

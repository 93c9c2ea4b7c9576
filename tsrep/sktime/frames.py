"""sktime's frames and indices as arrays and timestamps."""

import numpy as np
import pandas as pd

from tsrep.datasets.calendar import calendar_features, second_harmonics


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


def check_frequency(index: pd.Index) -> None:
    """ValueError where timestamps are uneven."""
    if not isinstance(index, pd.DatetimeIndex) or index.freq is not None or len(index) < 3:
        return
    if pd.infer_freq(index) is None:
        raise ValueError(
            f"the timestamps of y, from {index[0]} to {index[-1]}, have no frequency that can be "
            "inferred, expected even steps: use y.asfreq or y.resample; missing values may stay"
        )


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

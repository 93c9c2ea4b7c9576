"""A small standardised series with its split, for tests of readouts and evaluation."""

import numpy as np
import pandas as pd

from tsrep.datasets.calendar import calendar_features
from tsrep.datasets.series import Scaler, Series, Split


def made_series(channels=1, rows=700, dated=True, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    phase = np.arange(channels)
    values = np.sin(2 * np.pi * t / 24 + phase) + 0.4 * rng.normal(size=(rows, channels))
    times = pd.date_range("2024-01-01", periods=rows, freq="h") if dated else pd.RangeIndex(rows)
    ends = int(rows * 0.6), int(rows * 0.8)
    split = Split(slice(0, ends[0]), slice(*ends), slice(ends[1], rows))
    scaler = Scaler.fit(values[split.train])
    return Series(
        name="made",
        values=scaler.transform(values)[None],
        times=times,
        calendar=calendar_features(times),
        columns=tuple("abc"[:channels]),
        split=split,
        scaler=scaler,
        horizons=(4, 12),
        period=24 if dated else None,
    )


def with_other_test_rows(series):
    """The same series with other values in its test rows."""
    values = series.values.copy()
    values[:, series.split.test] = np.random.default_rng(9).normal(
        3, 5, values[:, series.split.test].shape
    )
    return Series(**{**vars(series), "values": values})

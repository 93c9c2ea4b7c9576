"""A small standardised series with its split, and a small panel of two classes."""

import numpy as np
import pandas as pd

from tsrep.datasets.calendar import calendar_features
from tsrep.datasets.series import Panel, Scaler, Series, Split


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


def panel_of(channels=2, short=False):
    """Two classes that differ in frequency; 20 train and 20 test instances of 30 steps."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    t = np.arange(30)[None, :, None]
    values = np.sin(t * (0.3 + 0.6 * labels[:, None, None]) + rng.uniform(0, 6, (40, 1, channels)))
    values = values.astype(np.float32)
    if short:
        values[::3, 20:] = np.nan
    scaler = Scaler(np.zeros(channels), np.ones(channels))
    return Panel("made", values[:20], labels[:20], values[20:], labels[20:], ("a", "b"), scaler)

"""Timestamps: calendar features, and the season that follows from their step."""

import numpy as np
import pandas as pd

MINUTE, HOUR, DAY, WEEK, YEAR = 60.0, 3600.0, 86400.0, 604800.0, 365.25 * 86400.0

# Length of a step in days -> steps per season: a week of days, a year of weeks, months or quarters.
_LONG_SEASONS = ((0.99, 1.01, 7), (6.9, 7.1, 52), (27.9, 31.1, 12), (89.9, 92.1, 4))


def _step_seconds(times: pd.Index) -> float | None:
    """The usual step between timestamps in seconds: the median, so gaps and months do no harm.

    None for an integer index or fewer than two timestamps.
    """
    if not isinstance(times, pd.DatetimeIndex) or len(times) < 2:
        return None
    units_a_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[times.unit]
    return float(np.median(np.diff(times.asi8))) / units_a_second


def calendar_features(times: pd.Index) -> np.ndarray:
    """Sine and cosine of the phase of each timestamp in every cycle longer than one step.

    The cycles, slowest last: hour (for steps under a minute), day, week, year; each gives the two
    columns sin, cos of 2 pi times the fraction of the cycle that has passed. A cycle that one step
    spans is left out, so daily data has week and year only. The wall clock counts for timestamps
    with a time zone. Nothing is fitted.

    times: (T,). Returns float32 (T, K), K = 0 for an integer index.
    """
    step = _step_seconds(times)
    if step is None:
        return np.zeros((len(times), 0), dtype=np.float32)
    seconds = _seconds_of_day(times)
    days_in_year = 365.0 + times.is_leap_year.astype(np.float64)
    cycles = (
        (step < MINUTE, seconds % HOUR / HOUR),
        (step < DAY * 0.99, seconds / DAY),
        (step < WEEK * 0.99, (times.dayofweek.to_numpy() + seconds / DAY) / 7.0),
        (step < YEAR * 0.99, (times.dayofyear.to_numpy() - 1.0 + seconds / DAY) / days_in_year),
    )
    angles = [2.0 * np.pi * fraction for fits, fraction in cycles if fits]
    features = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    if not features:
        return np.zeros((len(times), 0), dtype=np.float32)
    return np.stack(features, axis=1).astype(np.float32)


def season(times: pd.Index) -> int | None:
    """Season in steps that follows from the frequency, None if there is none.

    A day for steps from a minute to twelve hours (24 hourly, 96 for 15 minutes), a week of days
    (5 business days), a year of weeks, months or quarters.
    """
    step = _step_seconds(times)
    if step is None:
        return None
    if MINUTE <= step <= DAY / 2:
        return round(DAY / step)
    if step == DAY and len(times) >= 14:
        return times.dayofweek.nunique()
    for low, high, steps in _LONG_SEASONS:
        if low <= step / DAY <= high:
            return steps
    return None


def second_harmonics(calendar: np.ndarray) -> np.ndarray:
    """Calendar features (T, K) of sine, cosine pairs -> (T, 2K), with twice each frequency too.

    With the first harmonic only, the univariate error on WTH is .166; with the second it is .153.
    """
    sin, cos = calendar[:, 0::2], calendar[:, 1::2]
    return np.concatenate([calendar, 2 * sin * cos, cos**2 - sin**2], axis=1)


def _seconds_of_day(times: pd.DatetimeIndex) -> np.ndarray:
    fraction = times.microsecond.to_numpy() / 1e6
    return times.hour.to_numpy() * HOUR + times.minute * MINUTE + times.second + fraction

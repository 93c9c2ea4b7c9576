"""Timestamps: parsing, calendar features, and the season that follows from their step."""

import warnings

import numpy as np
import pandas as pd

MINUTE, HOUR, DAY, WEEK, YEAR = 60.0, 3600.0, 86400.0, 604800.0, 365.25 * 86400.0

# Length of a step in days -> steps per season: a week of days, a year of weeks, months or quarters.
_LONG_SEASONS = ((0.99, 1.01, 7), (6.9, 7.1, 52), (27.9, 31.1, 12), (89.9, 92.1, 4))


def parse_dates(column: pd.Series) -> pd.DatetimeIndex | None:
    """Timestamps (T,) of a column of dates or of text that reads as dates; None for any other.

    Text has one format throughout, or is ISO 8601. A day such as 1/2/2010 is read month first, as
    in the United States, unless only day first fits or gives the more even steps. Offsets that
    change within a column (daylight saving) turn all timestamps to UTC. Missing ones become NaT.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.DatetimeIndex(column)
    if pd.api.types.is_numeric_dtype(column) or column.isna().all():
        return None
    formats = ({}, {"dayfirst": True}, {"format": "ISO8601"}, {"format": "ISO8601", "utc": True})
    readings: list[pd.DatetimeIndex] = []
    for options in formats:
        # ISO dates are the same day first; the later formats are for what the first cannot read.
        if readings and "dayfirst" not in options:
            break
        reading = _to_datetime(column, **options)
        if reading is not None:
            readings.append(reading)
    return min(readings, key=_unevenness, default=None)


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

    A day for steps from a minute to twelve hours (24 hourly, 96 for 15 minutes), a week of days, a
    year of weeks, months or quarters.
    """
    step = _step_seconds(times)
    if step is None:
        return None
    if MINUTE <= step <= DAY / 2:
        return round(DAY / step)
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


def _to_datetime(column: pd.Series, **options: object) -> pd.DatetimeIndex | None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # A look at the first rows spares other text columns a guess for every row.
            for rows in (column.dropna().iloc[:8], column):
                times = pd.DatetimeIndex(pd.to_datetime(rows, **options))
                if any("Could not infer format" in str(warning.message) for warning in caught):
                    return None
        except (ValueError, TypeError, OverflowError):
            return None
    return times


def _unevenness(times: pd.DatetimeIndex) -> float:
    """The widest step over the usual one; 1 for even steps."""
    steps = np.abs(np.diff(times.dropna().asi8))
    usual = np.median(steps) if len(steps) else 0
    return float(steps.max() / usual) if usual > 0 else np.inf

"""Which columns of a table hold its times, and how they are written there."""

import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.numeric_times import (
    UNITS,
    counted_steps,
    dates_of_numbers,
    has_name,
    since_1970,
    spreadsheet_days,
    whole_numbers,
)

_NAMES = re.compile(
    "t|ds|date|dates|datetime|datum|zeit|uhrzeit|time|times|timestamp|timestamps|stamp|epoch|ts|"
    "unix|unixtime|unixtimestamp|year|jahr|fecha|month|monat|day|tag|hour|step|steps|index|period|"
    "quarter|quartal|no|nr|row"
)
_CLOCK_NAMES = re.compile("time|hour|hr|hora|zeit|uhrzeit|stunde|clock")
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_QUARTER = re.compile(r"(?P<y>\d{4})[- ]?Q(?P<q>[1-4])|Q(?P<q2>[1-4])[- ]?(?P<y2>\d{4})")
_CLOCK = re.compile(r"(\d{1,2})[:.h](\d{2})(?:[:.](\d{2}(?:\.\d+)?))?")
_ZONE_NAME = re.compile(r".*\d\s+(?!AM$|PM$|UTC$|GMT$)[A-Z]{3,5}$")


class Times(NamedTuple):
    """Times of a table. index: (T,). columns: that hold them. how: in words, "" for plain dates."""

    index: pd.DatetimeIndex | pd.Index
    columns: tuple[str, ...]
    how: str = ""


def find_times(frame: pd.DataFrame, where: str, long: bool = False) -> Times | None:
    """The times of a table, found by the names of its columns and the shape of what they hold.

    In this order: the first column of dates (beside it a column of times of day, where the dates
    repeat), columns year, month, .., a column of quarters, numbers that are dates without
    separators or, with a name for it, seconds since 1970, days of a spreadsheet, years, or an even
    count. long: the table has several series, each with a count of its own. None if there are
    none. Raises UserError where a column of dates stops being one.
    """
    for name in frame.columns:
        dates = _dates(frame[name], where)
        if dates is not None:
            return _with_clock(frame, name, dates) or Times(dates, (name,))
    parts = _part_columns(frame)
    if parts is not None:
        return _of_parts(frame, parts)
    for name in frame.columns:
        found = _quarters(frame[name])
        if found is not None:
            return Times(found, (name,), "quarters")
    for name in frame.columns:
        found = dates_of_numbers(frame[name], has_name(name, _NAMES))
        if found is not None:
            return Times(found[0], (name,), found[1])
    found = counted_steps(frame, long)
    return None if found is None else Times(found[0], (found[1],), found[2])


def read_times(
    frame: pd.DataFrame, columns: Sequence[str], time_format: str | None, where: str
) -> Times:
    """The times in the columns named, joined if there are several.

    time_format: of ``datetime.strptime``, or s, ms, us, ns (since 1970), or excel; None to find it.
    Raises UserError, naming the row, where they cannot be read.
    """
    columns = tuple(columns)
    if time_format is not None:
        return Times(_formatted(frame, columns, time_format, where), columns, time_format)
    if len(columns) > 1:
        return _joined(frame, columns, where)
    column = frame[columns[0]]
    dates = _dates(column, where)
    if dates is not None:
        return Times(dates, columns)
    quarters = _quarters(column)
    if quarters is not None:
        return Times(quarters, columns, "quarters")
    found = dates_of_numbers(column, named=True)
    if found is not None:
        return Times(found[0], columns, found[1])
    return Times(whole_numbers(column, where), columns)


def parse_dates(column: pd.Series) -> pd.DatetimeIndex | None:
    """Timestamps (T,) of a column of dates or of text that reads as dates; None for any other.

    Text has one format throughout, or is ISO 8601. A day such as 1/2/2010 is read month first, as
    in the United States, unless only day first fits or gives the more even steps. Offsets that
    change within a column (daylight saving) turn all timestamps to UTC; names of zones (CEST) are
    left out. Missing ones become NaT.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.PeriodIndex(column).to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.DatetimeIndex(column)
    if pd.api.types.is_numeric_dtype(column) or column.isna().all():
        return None
    if _CLOCK.fullmatch(str(column.dropna().iloc[0]).strip()):
        return None  # a time of day, to which pandas adds a date
    column = _without_zone_names(column)
    formats: tuple[dict[str, Any], ...]
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


def _dates(column: pd.Series, where: str) -> pd.DatetimeIndex | None:
    """``parse_dates`` that names the row where a column of dates stops being one."""
    times = parse_dates(column)
    if times is not None or pd.api.types.is_numeric_dtype(column):
        return times
    given = column.dropna()
    if parse_dates(given.iloc[:8]) is not None:
        good, bad = 8, len(given)
        while bad - good > 1:  # the first `good` rows read as dates, the first `bad` do not
            middle = (good + bad) // 2
            reads = parse_dates(given.iloc[:middle]) is not None
            good, bad = (middle, bad) if reads else (good, middle)
    elif len(given) > 10 and parse_dates(given.iloc[-8:]) is not None:
        bad = 1  # such as a row of units below the header
    else:
        return None
    example = given.iloc[0 if bad > 1 else -1]
    row = column.index.get_loc(given.index[bad - 1]) + 1
    raise UserError(
        f"{where}: row {row} of column {column.name!r} is {given.iloc[bad - 1]!r}, expected a "
        f"date written as {example}: correct it, or take the row out"
    )


def _with_clock(frame: pd.DataFrame, name: str, dates: pd.DatetimeIndex) -> Times | None:
    """Dates that repeat, with the times of day of another column."""
    plain = dates.tz is None and not dates.hasnans and (dates == dates.normalize()).all()
    if not plain or len(dates) < 2 or dates.is_unique:
        return None
    for other in frame.columns:
        clock = None if other == name else _clock(frame[other], has_name(other, _CLOCK_NAMES))
        if clock is not None:
            found = dates + clock
            if found.is_monotonic_increasing or not dates.is_monotonic_increasing:
                return Times(found, (name, other), "a date and a time")
    return None


def _clock(column: pd.Series, named: bool) -> pd.TimedeltaIndex | None:
    """Times of day: 13:45, 13.45.00, or in a column named so the hour, or hour and minute as 1345.

    The hour 24 is midnight of the next day.
    """
    if column.isna().any() or column.dtype.kind in "mM":
        return None
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64)
        if not named or (numbers % 1).any() or numbers.min() < 0 or numbers.max() > 2400:
            return None
        hours = numbers if numbers.max() <= 24 else numbers // 100
        minutes = 0 * numbers if numbers.max() <= 24 else numbers % 100
        return pd.to_timedelta(60 * hours + minutes, unit="min") if minutes.max() < 60 else None
    text = column.astype(str).str.strip()
    if not text.head(8).str.fullmatch(_CLOCK.pattern).all():
        return None
    parts = text.str.extract(f"^{_CLOCK.pattern}$").astype(float)
    if parts[[0, 1]].isna().any(axis=None) or parts[0].max() > 24 or parts[1].max() > 59:
        return None
    seconds = 3600 * parts[0] + 60 * parts[1] + parts[2].fillna(0)
    return pd.TimedeltaIndex(pd.to_timedelta(seconds, unit="s"))


def _part_columns(frame: pd.DataFrame) -> dict[str, str] | None:
    """Columns year and month, and day, hour, minute, second as far as there are."""
    lower = {str(name).lower(): name for name in frame.columns}
    parts = {part: lower[part] for part in _PARTS if part in lower}
    if not {"year", "month"} <= parts.keys():
        return None
    numbers = [frame[name] for name in parts.values()]
    whole = all(
        pd.api.types.is_numeric_dtype(n) and n.notna().all() and not (n % 1).any() for n in numbers
    )
    return parts if whole else None


def _of_parts(frame: pd.DataFrame, parts: dict[str, str]) -> Times | None:
    table = {part: frame[name] for part, name in parts.items() if part in ("year", "month", "day")}
    try:
        dates = pd.to_datetime(pd.DataFrame({"day": 1, **table}))
    except (ValueError, OverflowError):
        return None
    for part in ("hour", "minute", "second"):  # hour 24 is midnight
        if part in parts:
            dates = dates + pd.to_timedelta(frame[parts[part]], unit=part)
    return Times(pd.DatetimeIndex(dates), tuple(parts.values()), ", ".join(parts))


def _joined(frame: pd.DataFrame, columns: tuple[str, ...], where: str) -> Times:
    part = _part_columns(frame[list(columns)])
    if part is not None and len(part) == len(columns):
        found = _of_parts(frame, part)
        if found is not None:
            return found
    if len(columns) == 2:
        read = read_times(frame, columns[:1], None, where).index
        clock = _clock(frame[columns[1]], named=True)
        if isinstance(read, pd.DatetimeIndex) and clock is not None:
            return Times(read + clock, columns, "a date and a time")
    text = _as_text(frame, columns)
    dates = _dates(text, where)
    if dates is None:
        raise UserError(
            f"{where}: columns {', '.join(columns)} together do not hold times, the first is "
            f"{text.iloc[0]!r}: expected a date and a time, or give --time-format"
        )
    return Times(dates, columns, "joined")


def _formatted(
    frame: pd.DataFrame, columns: tuple[str, ...], time_format: str, where: str
) -> pd.DatetimeIndex:
    column = frame[columns[0]] if len(columns) == 1 else _as_text(frame, columns)
    if time_format in UNITS or time_format == "excel":
        numbers = pd.to_numeric(column, errors="coerce")
        values = numbers.fillna(0).to_numpy(np.float64)
        excel = time_format == "excel"
        times = spreadsheet_days(values) if excel else since_1970(values, time_format)
        good = numbers.notna().to_numpy()
    else:
        text = _as_text(frame, columns)
        times = pd.DatetimeIndex(pd.to_datetime(text, format=time_format, errors="coerce"))
        good = times.notna()
    if not good.all():
        row = int((~good).argmax())
        raise UserError(
            f"{where}: row {row + 1} of {' '.join(columns)} is {column.iloc[row]!r}, which is not "
            f"of --time-format {time_format!r}"
        )
    return times


def _as_text(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    parts = []
    for name in columns:
        column = frame[name]
        if pd.api.types.is_float_dtype(column) and not (column.dropna() % 1).any():
            column = column.astype("Int64")
        parts.append(column.astype(str).str.strip())
    return pd.Series([" ".join(row) for row in zip(*parts, strict=True)], name=" ".join(columns))


def _quarters(column: pd.Series) -> pd.DatetimeIndex | None:
    if pd.api.types.is_numeric_dtype(column) or column.dtype.kind in "mM":
        return None
    if isinstance(column.dtype, pd.PeriodDtype):
        return None
    found = [_QUARTER.fullmatch(str(field).strip()) for field in column.head(8)]
    if not found or not all(found):
        return None
    parts = column.astype(str).str.strip().str.extract(f"^(?:{_QUARTER.pattern})$")
    year, quarter = parts["y"].fillna(parts["y2"]), parts["q"].fillna(parts["q2"])
    if year.isna().any():
        return None
    months = (year.astype(int) - 1970) * 12 + 3 * (quarter.astype(int) - 1)
    return pd.DatetimeIndex(months.to_numpy().astype("datetime64[M]").astype("datetime64[s]"))


def _without_zone_names(column: pd.Series) -> pd.Series:
    first = column.dropna().iloc[0]
    if not isinstance(first, str) or not _ZONE_NAME.fullmatch(first):
        return column
    return column.str.replace(r"\s+[A-Z]{3,5}$", "", regex=True)


def _to_datetime(column: pd.Series, **options: Any) -> pd.DatetimeIndex | None:
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

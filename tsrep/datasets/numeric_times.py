"""Times that are written as numbers: 20240131, seconds since 1970, years, counts of steps."""

import re

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError

_COUNTER_NAMES = re.compile("t|step|steps|index|no|nr|row|time|ds|timestamp")
_NAMELESS = frozenset({"", "Unnamed: 0", "index", "__index_level_0__"})  # what pandas writes
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_DIGITS = {
    8: ("YYYYMMDD", "%Y%m%d"),
    10: ("YYYYMMDDHH", "%Y%m%d%H"),
    12: ("YYYYMMDDHHMM", "%Y%m%d%H%M"),
    14: ("YYYYMMDDHHMMSS", "%Y%m%d%H%M%S"),
}
_EXCEL = np.datetime64("1899-12-30", "s")


def words(name: str) -> set[str]:
    """MESS_DATUM and unixTime as mess, datum and unix, time."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", str(name))}


def has_name(name: str, names: re.Pattern) -> bool:
    """Whether one of the words of a column's name is one of ``names``."""
    return any(names.fullmatch(word) for word in words(name))


def is_counter(column: pd.Series) -> bool:
    """Whether a column only counts rows: by its name, and rising by one throughout."""
    if not has_name(column.name, _COUNTER_NAMES) and column.name not in _NAMELESS:
        return False
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any() or len(column) < 2:
        return False
    values = column.to_numpy(np.float64)
    return values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def dates_of_numbers(column: pd.Series, named: bool) -> tuple[pd.DatetimeIndex, str] | None:
    """Dates that are written as numbers, and as which. named: the column is called as times are."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return None
    if column.isna().any() or len(column) == 0:
        return None
    numbers = column.to_numpy(np.float64)
    low, high = numbers.min(), numbers.max()
    whole = not (numbers % 1).any()
    digits = len(f"{int(high)}") if 0 < high < 1e15 else 0
    if whole and digits in _DIGITS and len(f"{int(low)}") == digits and (named or _moves(numbers)):
        how, form = _DIGITS[digits]
        times = pd.to_datetime(column.astype("int64").astype(str), format=form, errors="coerce")
        times = pd.DatetimeIndex(times)
        if not times.hasnans and times.year.min() >= 1800 and times.year.max() <= 2100:
            return times, how
    if not named:
        return None
    for unit, scale in UNITS.items():
        # 1e8 s is the year 1973, 1e10 s the year 2286: the four ranges do not meet.
        if 1e8 * scale <= low and high < 1e10 * scale:
            return since_1970(column.to_numpy(), unit), f"{unit} since 1970"
    named_as = words(column.name)
    if whole and low >= 1000 and high < 3000 and named_as & {"year", "jahr", "date", "time", "ds"}:
        months = (numbers.astype(np.int64) - 1970) * 12
        return pd.DatetimeIndex(months.astype("datetime64[M]").astype("datetime64[s]")), "years"
    dated = named_as & {"date", "datum", "fecha", "day", "datetime"}
    if low >= 2e4 and high < 8e4 and (dated or (not whole and named_as & {"time", "timestamp"})):
        return spreadsheet_days(numbers), "days of a spreadsheet"
    return None


def counted_steps(frame: pd.DataFrame, long: bool) -> tuple[pd.Index, str, str] | None:
    """A column that counts steps, not necessarily each: by its name, whole and rising."""
    for name in frame.columns:
        column = frame[name]
        if is_counter(column):
            how = "" if name in _NAMELESS else "a count of rows"
            return pd.RangeIndex(len(frame)), name, how
        if not has_name(name, _COUNTER_NAMES) or not pd.api.types.is_numeric_dtype(column):
            continue
        if pd.api.types.is_bool_dtype(column) or column.isna().any() or len(column) < 3:
            continue
        numbers = column.to_numpy(np.float64)
        if long and not (numbers % 1).any():
            return pd.Index(numbers.astype(np.int64)), name, ""
        gaps = np.diff(numbers)
        usual = np.median(gaps)
        if usual <= 0 or (gaps <= 0).any():
            continue
        places = (numbers - numbers[0]) / usual
        if np.abs(places - np.round(places)).max() < 1e-3:
            steps = pd.Index(np.round(places).astype(np.int64))
            return steps, name, f"steps of {usual:g}"
    return None


def whole_numbers(column: pd.Series, where: str) -> pd.Index:
    """Whole numbers that rise."""
    name = column.name
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any():
        bad = column.isna().to_numpy()
        row = f"row {bad.argmax() + 1} is empty" if bad.any() else f"the first is {column.iloc[0]}"
        raise UserError(
            f"{where}: column {name!r} does not hold times, {row}: expected dates, or give "
            "--time-format"
        )
    numbers = column.to_numpy(np.float64)
    wrong = np.concatenate([[False], np.diff(numbers) == 0]) | (numbers % 1 != 0)
    if wrong.any():
        at = int(wrong.argmax())
        raise UserError(
            f"{where}: time column {name!r} is neither dates nor rising whole numbers at row "
            f"{at + 1} ({column.iloc[at]}): sort it, or give dates or --time-format"
        )
    return pd.Index(numbers.astype(np.int64))


def since_1970(numbers: np.ndarray, unit: str) -> pd.DatetimeIndex:
    if np.issubdtype(numbers.dtype, np.integer) or not (numbers % 1).any():
        return pd.DatetimeIndex(numbers.astype(np.int64).astype(f"datetime64[{unit}]"))
    return pd.DatetimeIndex(pd.to_datetime(numbers, unit=unit))


def spreadsheet_days(numbers: np.ndarray) -> pd.DatetimeIndex:
    """Days since 1899-12-30, to the second: a spreadsheet writes too few digits for more."""
    return pd.DatetimeIndex(_EXCEL + np.round(numbers * 86400).astype("timedelta64[s]"))


def _moves(numbers: np.ndarray) -> bool:
    gaps = np.diff(numbers)
    return len(gaps) > 0 and bool((gaps > 0).all() or (gaps < 0).all())

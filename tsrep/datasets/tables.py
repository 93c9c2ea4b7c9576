"""Read a CSV or Parquet file as timestamps and numeric columns, with one-line errors."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import parse_dates

# Rows in messages count from 1 and leave the header out.
_NOT_TEXT = "is neither a Parquet file nor CSV in UTF-8: export it as one of them"


def read_table(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    last: bool = False,
    time_column: str | None = None,
) -> tuple[pd.DatetimeIndex | pd.RangeIndex, pd.DataFrame]:
    """Read timestamps (T,) and channels (T, C) as float64, NaN where missing.

    path: Parquet, or CSV in UTF-8 with a header row, comma, semicolon or tab between fields (a
    semicolon goes with a decimal comma where the numbers have one), gzipped or not. columns: the
    channels to keep, in this order; None: every column but the time column. last: keep only the
    last of them. time_column: None takes the first column that parses as dates, or a nameless first
    column that counts rows; without either the index counts rows from 0. A time column may hold
    dates, seconds (milli-, micro-, nanoseconds) since 1970, or evenly spaced integers. Columns that
    are not kept may hold anything.

    Raises UserError for a path that is no such file, an empty one, repeated or unknown column
    names, timestamps that repeat, run backwards or are missing, text or infinity in a channel.
    """
    path = Path(path).expanduser()
    frame = _read_frame(path)
    _check_names(frame, path)
    if len(frame) == 0:
        raise UserError(f"{path} has no rows: expected at least one below the header")
    time_column, times = _take_times(frame, time_column, path)
    others = [name for name in frame.columns if name != time_column]
    wanted = others if columns is None else list(columns)
    for name in wanted:
        check_column(name, others, path)
    if len(set(wanted)) < len(wanted):
        raise UserError(f"columns name one of {', '.join(wanted)} twice: give each once")
    if not wanted:
        raise UserError(f"{path} has no channels: expected a column beside {time_column!r}")
    if last:
        wanted = wanted[-1:]
    return times, pd.DataFrame({name: _numbers(frame[name], path) for name in wanted})


def check_column(name: str, known: Sequence[str], path: str | Path) -> None:
    """Raise UserError, listing the columns there are, where ``name`` is none of them."""
    if name not in known:
        shown = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
        raise UserError(f"{path} has no column {name!r}: its columns are {shown}")


def _read_frame(path: Path) -> pd.DataFrame:
    if path.is_dir():
        raise UserError(f"{path} is a folder: expected a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise UserError(f"{path} is empty: expected a CSV or Parquet file")
        if start == b"PAR1" or path.suffix.lower() in {".parquet", ".pq"}:
            return _read_parquet(path)
        return _read_csv(path, gzipped=start[:2] == b"\x1f\x8b")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected a CSV or Parquet file") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path} cannot be read: {_first_line(reason)}") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UserError(
            f"{path} is not a readable Parquet file ({_first_line(error)}): write it again"
        ) from None
    # pandas keeps a frame's own index (often its timestamps) apart from its columns.
    counts_rows = isinstance(frame.index, pd.RangeIndex)
    return frame if counts_rows else frame.reset_index()


def _read_csv(path: Path, gzipped: bool) -> pd.DataFrame:
    names, row, separator = _first_lines(path, gzipped)
    repeated = [name for i, name in enumerate(names) if name and name in names[:i]]
    if repeated:
        raise UserError(f"{path} has two columns named {repeated[0]!r}: give each its own name")
    numbered = [name for name in names if name] == [str(i) for i in range(sum(map(bool, names)))]
    if not numbered and all(_is_number(name) for name in names):
        raise UserError(
            f"{path} has numbers in its first row: expected a header; add a row of column names"
        )
    if len(row) > len(names):
        # pandas would take the first columns for an index and shift every name.
        raise UserError(
            f"{path} has {len(row)} fields in its first row, expected the {len(names)} of its "
            f"header ({', '.join(names)}): name every column"
        )
    decimal = "," if separator == ";" and any("," in field for field in row) else "."
    try:
        frame = pd.read_csv(
            path,
            sep=separator,
            decimal=decimal,
            compression="gzip" if gzipped else None,
            encoding="utf-8-sig",
            skipinitialspace=True,
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty: expected a header and rows") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} {_NOT_TEXT}") from None
    except pd.errors.ParserError as error:
        raise UserError(f"{path} is not a regular CSV file: {_first_line(error)}") from None
    return frame.rename(columns=str.strip)


def _first_lines(path: Path, gzipped: bool) -> tuple[list[str], list[str], str]:
    """The header's names, the first row's fields, and the separator between them."""
    opened = gzip.open if gzipped else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            start = file.read(65536)
    except UnicodeDecodeError:
        start = "\0"
    if "\0" in start:
        raise UserError(f"{path} {_NOT_TEXT}")
    lines = [line for line in start.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{path} is empty: expected a header and rows")
    separator = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines[:2], delimiter=separator, skipinitialspace=True))
    header = [name.strip() for name in rows[0]]
    return header, rows[1] if len(rows) > 1 else [], separator


def _check_names(frame: pd.DataFrame, path: Path) -> None:
    frame.columns = frame.columns.map(str)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{path} has two columns named {repeated[0]!r}: give each its own name")


def _take_times(
    frame: pd.DataFrame, time_column: str | None, path: Path
) -> tuple[str | None, pd.DatetimeIndex | pd.RangeIndex]:
    """The name of the time column (None: there is none) and its values."""
    if time_column is not None:
        check_column(time_column, list(frame.columns), path)
        times = _parse_dates(frame[time_column], path)
        if times is None:
            times = _parse_integers(frame[time_column], path)
        return time_column, _checked(times, time_column, path)
    for name in frame.columns:
        times = _parse_dates(frame[name], path)
        if times is not None:
            return name, _checked(times, name, path)
    first = frame.columns[0]
    # What DataFrame.to_csv writes for an index that nobody named.
    nameless = first in {"", "Unnamed: 0", "index", "__index_level_0__"}
    if nameless and np.array_equal(frame[first].to_numpy(), np.arange(len(frame))):
        return first, pd.RangeIndex(len(frame))
    return None, pd.RangeIndex(len(frame))


def _parse_dates(column: pd.Series, path: Path) -> pd.DatetimeIndex | None:
    """``parse_dates`` that names the row where a column of dates stops being one."""
    times = parse_dates(column)
    if times is None and parse_dates(column.iloc[:8]) is not None:
        good, bad = 8, len(column)
        while bad - good > 1:  # the first `good` rows read as dates, the first `bad` do not
            middle = (good + bad) // 2
            reads = parse_dates(column.iloc[:middle]) is not None
            good, bad = (middle, bad) if reads else (good, middle)
        raise UserError(
            f"{path}: row {bad} of column {column.name!r} is {column.iloc[bad - 1]!r}, expected a "
            f"date written as in row 1 ({column.iloc[0]}): correct it"
        )
    return times


def _parse_integers(column: pd.Series, path: Path) -> pd.DatetimeIndex | pd.RangeIndex:
    """Seconds (milli-, micro-, nanoseconds) since 1970, or an even count of steps."""
    name = column.name
    if not pd.api.types.is_numeric_dtype(column) or column.isna().any():
        bad = column.isna().to_numpy()
        row = f"row {bad.argmax() + 1} is empty" if bad.any() else f"the first is {column.iloc[0]}"
        raise UserError(f"{path}: column {name!r} does not hold times, {row}: expected dates")
    numbers = column.to_numpy(dtype=np.float64)
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        # 1e8 s is the year 1973, 1e10 s the year 2286: the four ranges do not meet.
        if (numbers >= 1e8 * scale).all() and (numbers < 1e10 * scale).all():
            return pd.DatetimeIndex(pd.to_datetime(column, unit=unit))
    steps = np.diff(numbers)
    step = steps[0] if len(steps) else 1.0
    if (steps != step).any() or step <= 0 or (numbers % 1).any():
        row = int((steps != step).argmax()) + 2 if len(steps) and step > 0 else 2
        raise UserError(
            f"{path}: time column {name!r} is neither dates nor evenly rising integers at row "
            f"{row} ({column.iloc[row - 1]}): sort it, or give dates"
        )
    start = int(numbers[0])
    return pd.RangeIndex(start, start + len(numbers) * int(step), int(step))


def _checked(times: pd.Index, name: str, path: Path) -> pd.DatetimeIndex | pd.RangeIndex:
    if isinstance(times, pd.RangeIndex):
        return times
    if times.isna().any():
        row = int(times.isna().argmax()) + 1
        raise UserError(f"{path}: row {row} has no timestamp in {name!r}: fill or drop the row")
    steps = np.diff(times.asi8)
    if (steps <= 0).any():
        row = int((steps <= 0).argmax()) + 2
        what = "repeats" if steps[row - 2] == 0 else "is earlier than"
        raise UserError(
            f"{path}: the timestamp of row {row} ({times[row - 1]}) {what} that of row {row - 1} "
            f"({times[row - 2]}) in {name!r}: sort the rows and keep one a timestamp"
        )
    return times


def _numbers(column: pd.Series, path: Path) -> np.ndarray:
    """(T,) float64, NaN where missing."""
    name = column.name
    if column.dtype.kind in "mM":  # to_numeric would turn dates and durations into nanoseconds
        raise UserError(f"{path}: column {name!r} holds dates, expected numbers: leave it out")
    try:
        numbers = pd.to_numeric(column, errors="coerce")
        values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise UserError(f"{path}: column {name!r} holds {column.dtype}, not numbers") from None
    bad = np.isnan(values) & column.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise UserError(
            f"{path}: row {row + 1} of column {name!r} is {column.iloc[row]!r}, expected a number: "
            "correct it, leave it empty, or choose other columns"
        )
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise UserError(
            f"{path}: row {row + 1} of column {name!r} is infinite, expected a finite number: "
            "correct it or leave it empty"
        )
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(error: object) -> str:
    return " ".join(str(error).split())[:200]

"""Read a CSV or Parquet file as timestamps with even steps and numeric columns.

    times, frame = read_table("sales.csv", columns=["revenue"])
    table = read_tables("stores.csv")  # of one series, or several, told apart by a column

What is found by itself, filled in or left out is said in one line, as a ``DataWarning``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tsrep.datasets.categories import indicators
from tsrep.datasets.channels import channel_names, channel_values, is_words, listed, note
from tsrep.datasets.files import frame_fields, located, read_fields
from tsrep.datasets.frequencies import clock_changes
from tsrep.datasets.ids import find_ids, joined_ids, named_id
from tsrep.datasets.steps import Grid, even_steps, resampled, told
from tsrep.datasets.times import Times, find_times, read_times


@dataclass(frozen=True)
class TableConfig:
    """How a table is written, where that is not found by itself."""

    time_column: tuple[str, ...] = ()
    """Column of the timestamps, or several to join, such as a date and a time; detected by
    default."""
    time_format: str | None = None
    """How times are written, as in %d.%m.%Y %H:%M; or s, ms, us, ns for numbers since 1970; or
    excel for the days of a spreadsheet."""
    frequency: str | None = None
    """Bring uneven times to this step (15min, h, D, W, MS) by the mean of each; by default the
    usual step of the rows is found, and absent rows are filled in as missing."""
    id_column: tuple[str, ...] = ()
    """Column that tells several series in one table apart, or several columns to join; detected
    where the timestamps repeat."""
    missing: tuple[str, ...] = ()
    """Marks of missing values, such as ? or -999."""
    drop_columns: tuple[str, ...] = ()
    """Columns to leave out."""

    def __post_init__(self):
        for name in ("time_column", "id_column", "missing", "drop_columns"):
            value = getattr(self, name)
            names = () if value is None else (value,) if isinstance(value, str) else value
            object.__setattr__(self, name, tuple(map(str, names)))


class OneSeries(NamedTuple):
    """A series of a table. id: its name, "" alone. times: (T,). values: float64 (T, C)."""

    id: str
    times: pd.DatetimeIndex | pd.RangeIndex
    values: np.ndarray


class Tables(NamedTuple):
    """Series with the same columns, those of two or more rows, in order."""

    columns: tuple[str, ...]
    series: list[OneSeries]


def read_table(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    last: bool = False,
    **table: Any,
) -> tuple[pd.DatetimeIndex | pd.RangeIndex, pd.DataFrame]:
    """Read timestamps (T,) with even steps and channels (T, C) as float64, NaN where missing.

    path: Parquet, or CSV in UTF-8 with a header row, comma, semicolon or tab between fields, a
    decimal point or comma, gzipped or not. columns: the channels to keep, in this order; None:
    every numeric column but those of the times. last: keep only the last of them. table: fields of
    :class:`TableConfig`.

    The usual step of the times is found (see ``tsrep.datasets.steps``), and absent rows are filled
    in with NaN. Times may be dates, a date and a time, years, quarters, numbers such as 20240131 or
    seconds since 1970, or a count; without any the index counts rows from 0. Rows with the newest
    first are turned round. Columns that are not kept may hold anything.

    Warns with a ``DataWarning`` of what was read in a way to be checked, filled in or left out.
    Raises UserError for a path that is no such file, an empty one, repeated or unknown column
    names, timestamps that repeat, run to and fro, are missing or without usual step, several series
    in one table, text or infinity in a channel.
    """
    found = read_tables(path, columns=columns, last=last, **table)
    if len(found.series) > 1:
        raise UserError(
            f"{path} holds {len(found.series)} series, {found.series[0].id!r} and others, expected "
            "one: choose rows, or use what reads several, such as load_any"
        )
    (one,) = found.series
    return one.times, pd.DataFrame(one.values, columns=list(found.columns))


def read_tables(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    last: bool = False,
    categories: Sequence[str] = (),
    **table: Any,
) -> Tables:
    """Read a file or frame of one series, or a long one, with a row for each series and time.

    What tells its series apart is ``id_column``, or is found where timestamps repeat. Rows are
    sorted by time. Each series has its own even steps, all in one frequency. A series of one row is
    named and left out. categories: columns that may be text, which is then read as columns of 0 and
    1 for each value (``tsrep.datasets.categories``). The rest is as in :func:`read_table`. Raises
    UserError where a series holds a timestamp twice, or series have different frequencies.
    """
    (path, frame), config = located(source), TableConfig(**table)
    found = read_fields(path) if frame is None else frame_fields(frame)
    fields = _read(*found, path, columns, last, config, categories)
    names = tuple(fields.frame.columns)
    series = [_one(fields, config, path)] if fields.ids is None else _many(fields, config, path)
    return Tables(names, series)


def widened(tables: Tables, path: str | Path) -> Tables:
    """The series of a long table as the channels of one, on common times, NaN where they have none.

    A channel is called as its series, or series/column where there are several columns. Raises
    UserError where series lie between each other's steps.
    """
    times = tables.series[0].times
    for one in tables.series[1:]:
        if one.times is not times:
            times = times.union(one.times)
    grid = even_steps(times, f"{path}, all series together")
    values = np.full((len(grid.times), len(tables.series), len(tables.columns)), np.nan)
    for i, one in enumerate(tables.series):
        values[grid.places[times.get_indexer(one.times)], i] = one.values
    several = len(tables.columns) > 1
    names = [f"{s.id}/{c}" if several else s.id for s in tables.series for c in tables.columns]
    return Tables(tuple(names), [OneSeries("", grid.times, values.reshape(len(values), -1))])


def check_column(name: str, known: Sequence[str], path: str | Path) -> None:
    """Raise UserError, listing the columns there are, where ``name`` is none of them."""
    if name not in known:
        raise UserError(f"{path} has no column {name!r}: its columns are {listed(known)}")


class _Fields(NamedTuple):
    """found: how the times were found. ids: (T,) or None. frame: the channels, float64."""

    times: pd.Index
    found: Times | None
    ids: pd.Series | None
    id_name: str
    frame: pd.DataFrame


def _read(
    frame: pd.DataFrame,
    comma: bool,
    path: Path,
    columns: Sequence[str] | None,
    last: bool,
    config: TableConfig,
    categories: Sequence[str],
) -> _Fields:
    frame = _kept(frame, path, config)
    found = _times(frame, config, path)
    ids, id_columns = _ids(frame, found, config, path)
    taken = (*(() if found is None else found.columns), *id_columns)
    others = [name for name in frame.columns if name not in taken]
    texts = [c for c in categories if c in others and is_words(frame[c], comma, config.missing)]
    if columns is None:
        timed, rest = found is not None, [name for name in others if name not in texts]
        wanted, left = channel_names(frame[rest], timed, comma, config.missing, path)
        wanted = [*texts, *wanted]
        if left and not last:
            note(f"{path}: left out {listed(left)}")
    else:
        wanted = list(columns)
        for name in wanted:
            check_column(name, others, path)
        if len(set(wanted)) < len(wanted):
            raise UserError(f"columns name one of {', '.join(wanted)} twice: give each once")
    if last:
        wanted = wanted[-1:]
    values: dict[str, np.ndarray] = {}
    for name in wanted:
        if name in texts:
            values |= indicators(frame[name], config.missing, path)
        else:
            values[name] = channel_values(frame[name], comma, config.missing, path)
    times = pd.RangeIndex(len(frame)) if found is None else found.index
    one_series = ids is not None and ids.nunique() < 2
    return _Fields(
        times,
        found,
        None if one_series else ids,
        " and ".join(map(repr, id_columns)),
        pd.DataFrame(values),
    )


def _kept(frame: pd.DataFrame, path: Path, config: TableConfig) -> pd.DataFrame:
    for name in (*config.drop_columns, *config.time_column, *config.id_column):
        check_column(name, list(frame.columns), path)
    return frame.drop(columns=list(config.drop_columns))


def _times(frame: pd.DataFrame, config: TableConfig, path: Path) -> Times | None:
    found: Times | None
    if config.time_column:
        found = read_times(frame, config.time_column, config.time_format, str(path))
    elif config.time_format is not None:
        raise UserError(
            f"time_format {config.time_format!r}: name the column it is of with --time-column"
        )
    else:
        long = bool(config.id_column) or named_id(frame) is not None
        found = find_times(frame.drop(columns=list(config.id_column)), str(path), long)
    if found is not None and found.index.hasnans:
        row = int(found.index.isna().argmax()) + 1
        name = " ".join(found.columns)
        raise UserError(f"{path}: row {row} has no timestamp in {name!r}: fill or drop the row")
    return found


def _ids(
    frame: pd.DataFrame, found: Times | None, config: TableConfig, path: Path
) -> tuple[pd.Series | None, tuple[str, ...]]:
    """The names of the series, one a row, and the columns that they come from."""
    if config.id_column:
        return joined_ids(frame, config.id_column), config.id_column
    if found is None or (_dated(found.index) and clock_changes(found.index) is not None):
        return None, ()
    column = find_ids(frame.drop(columns=list(found.columns)), found.index)
    return (None, ()) if column is None else (joined_ids(frame, (column,)), (column,))


def _one(fields: _Fields, config: TableConfig, path: Path) -> OneSeries:
    if config.frequency is None:
        times, frame = _in_order(fields, path)
    else:
        times, frame = resampled(fields.times, fields.frame, config.frequency)
    grid = even_steps(times, str(path))
    _say(fields.found, grid.times, grid.step, path)
    told(grid, str(path))
    return OneSeries("", grid.times, grid.placed(frame.to_numpy()))


def _many(fields: _Fields, config: TableConfig, path: Path) -> list[OneSeries]:
    codes, names = pd.factorize(fields.ids)
    stamps = fields.times.asi8 if _dated(fields.times) else fields.times.to_numpy()
    order = np.lexsort((stamps, codes))
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    times, values, stamps = fields.times[order], fields.frame.to_numpy()[order], stamps[order]
    series: list[OneSeries] = []
    absent = 0
    steps: dict[str, str] = {}
    grids: dict[bytes, Grid] = {}  # series of the same times share their index
    for name, start, stop in zip(map(str, names), bounds[:-1], bounds[1:], strict=True):
        if stop - start < 2:
            continue
        part, rows = times[start:stop], values[start:stop]
        where = f"{path}, series {name!r}"
        if config.frequency is None:
            _check_once(part, stamps[start:stop], where)
        else:
            part, frame = resampled(part, pd.DataFrame(rows), config.frequency)
            rows = frame.to_numpy()
        key = stamps[start:stop].tobytes()
        if key not in grids:
            grids[key] = even_steps(part, where)
        grid = grids[key]
        if len(grid.times) > 1:
            steps.setdefault(grid.step, name)
        absent += grid.absent
        series.append(OneSeries(name, grid.times, grid.placed(rows)))
    _check_one_step(steps, path)
    if not config.id_column:
        note(f"{path}: {len(names)} series, told apart by column {fields.id_name}")
    single = [str(names[i]) for i in np.flatnonzero(np.diff(bounds) < 2)]
    if single:
        note(f"{path}: left out, as it has one row: series {listed(single)}")
    step, total = next(iter(steps)), sum(len(one.times) for one in series)
    _say(fields.found, times[np.argsort(stamps, kind="stable")], step, path)
    if absent:
        note(f"{path}: {absent} of {total} {step} have no row and are filled in as missing")
    return series


def _in_order(fields: _Fields, path: Path) -> tuple[pd.Index, pd.DataFrame]:
    """Times that rise, and the rows in their order."""
    times, frame = fields.times, fields.frame
    if fields.found is None:  # rows that are counted
        return times, frame
    steps = np.diff(times.asi8 if _dated(times) else times.to_numpy())
    if (steps > 0).all() or (_dated(times) and clock_changes(times) is not None):
        return times, frame
    if (steps < 0).all():
        note(f"{path}: the newest row is the first; rows are taken the other way round")
        return times[::-1], frame.iloc[::-1].reset_index(drop=True)
    row = int((steps <= 0).argmax()) + 2
    what = "repeats" if steps[row - 2] == 0 else "is earlier than"
    name = " ".join(fields.found.columns)
    raise UserError(
        f"{path}: the timestamp of row {row} ({times[row - 1]}) {what} that of row {row - 1} "
        f"({times[row - 2]}) in {name!r}: sort the rows and keep one a timestamp, or, where the "
        "table holds several series, name the columns that tell them apart with --id-column"
    )


def _check_once(times: pd.Index, stamps: np.ndarray, where: str) -> None:
    repeats = np.diff(stamps) == 0
    if repeats.any():
        raise UserError(
            f"{where}: holds {times[int(repeats.argmax())]} twice, expected each time once: a "
            "second column may tell its series apart; join both with --id-column"
        )


def _check_one_step(steps: dict[str, str], path: Path) -> None:
    """steps: the first series of each frequency."""
    if not steps:
        raise UserError(f"{path} holds no series of two or more rows")
    if len(steps) > 1:
        (usual, first), (other, second) = list(steps.items())[:2]
        raise UserError(
            f"{path}: series {first!r} has {usual}, series {second!r} has {other}, expected one "
            "frequency: choose rows, or give --frequency"
        )


def _say(found: Times | None, times: pd.Index, step: str, path: Path) -> None:
    """How times were read that are no plain dates."""
    if found is not None and found.how:
        what = "column " if len(found.columns) == 1 else "columns "
        what += " and ".join(map(repr, found.columns))
        note(f"{path}: time: {what} ({found.how}), {step} from {times[0]} to {times[-1]}")


def _dated(times: pd.Index) -> bool:
    return isinstance(times, pd.DatetimeIndex)

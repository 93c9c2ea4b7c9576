"""Series and labelled panels, ready to learn from: split, standardised, with their calendar.

series = load("ETTh1", univariate=True)       # a named set
series = load("sales.csv", target="revenue")  # any CSV or Parquet file
panel = load_classification("BasicMotions")   # UEA/UCR, through sktime
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from tsrep.calendar import calendar_features, season
from tsrep.named import HOURLY_HORIZONS, NAMED, QUARTER_HOURLY_HORIZONS, NamedSet, find
from tsrep.tables import check_column, read_table


@dataclass(frozen=True)
class Split:
    """Rows of the three parts, as slices of the time axis with start and stop, in time order."""

    train: slice
    valid: slice
    test: slice


@dataclass(frozen=True, eq=False)
class Scaler:
    """Standardisation by channel. mean, std: (C,) float64."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> "Scaler":
        """Mean and standard deviation (of the population) of each channel, NaN left aside.

        values: (..., C). Raises UserError, with its number, for a channel without a number or with
        a single value throughout.
        """
        rows = np.asarray(values, dtype=np.float64).reshape(-1, np.shape(values)[-1])
        for channel, column in enumerate(rows.T):
            _check_varies(column, f"channel {channel}")
        return cls(*_moments(rows))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(..., C) in the data's units -> float32 (..., C) with mean 0 and deviation 1."""
        self._check(values)
        return ((np.asarray(values, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """(..., C) standardised -> float64 (..., C) in the data's units."""
        self._check(values)
        return np.asarray(values, dtype=np.float64) * self.std + self.mean

    def _check(self, values: np.ndarray) -> None:
        # Without this, one channel would broadcast against the scales of all.
        if np.ndim(values) == 0 or np.shape(values)[-1] != len(self.mean):
            raise ValueError(
                f"values have shape {np.shape(values)}, expected (..., {len(self.mean)}): "
                "the channels that the scaler was fitted on, last"
            )


@dataclass(frozen=True, eq=False)
class Series:
    """A series to pretrain on and to forecast.

    name: of the set or file. values: float32 (N, T, C), standardised with ``scaler``, NaN where
    missing. times: (T,). calendar: float32 (T, K), see ``tsrep.calendar``. columns: the C channel
    names. split: rows of train, validation and test; rows behind ``split.test`` are unused.
    scaler: fitted on the train rows alone. horizons: forecast lengths in steps. period: season in
    steps, None where the data suggests none.
    """

    name: str
    values: np.ndarray
    times: pd.DatetimeIndex | pd.RangeIndex
    calendar: np.ndarray
    columns: tuple[str, ...]
    split: Split
    scaler: Scaler
    horizons: tuple[int, ...]
    period: int | None

    @property
    def channels(self) -> int:
        return self.values.shape[-1]


def load(
    source: str | Path,
    *,
    target: str | None = None,
    univariate: bool = False,
    columns: Sequence[str] | None = None,
    time_column: str | None = None,
    root: str | Path | None = None,
) -> Series:
    """Load a named set, or any CSV or Parquet file, as one standardised series.

    source: a name (ETTh1, ETTh2, ETTm1, WTH, mitdb) or a path. target: keep this channel alone.
    univariate: without ``target``, keep the published target of a named set or the last column of a
    file. columns: keep these channels. time_column: see ``tables.read_table``. root: folder to
    search for named sets, before ``$TSPCREP_DATA`` and the user cache.

    Named sets have their published split and horizons; a file is split 60/20/20 % in time order,
    and its rows are taken as evenly spaced steps. Raises UserError for input that cannot be used.
    """
    named = NAMED.get(str(source))
    if named is None:
        _check_is_path(source)
    path = Path(source).expanduser() if named is None else find(str(source), root)
    if columns is None and named is not None:
        columns = named.channels
    times, frame = read_table(path, columns=columns, time_column=time_column)
    if named is not None and len(frame) != named.rows:
        raise UserError(
            f"{path} has {len(frame)} rows, {source} as published has {named.rows}: "
            f"fetch it again with: python tools/prepare_data.py --names {source}"
        )
    if target is None and univariate:
        target = frame.columns[-1] if named is None else named.target
    if target is not None:
        check_column(target, list(frame.columns), path)
        frame = frame[[target]]
    split = _split(len(frame), named, path)
    scaler = _fit_scaler(frame, split.train, path)
    values = scaler.transform(frame.to_numpy())[None]  # (1, T, C)
    period = season(times) if named is None else named.period
    return Series(
        name=path.stem if named is None else str(source),
        values=values,
        times=times,
        calendar=calendar_features(times),
        columns=tuple(frame.columns),
        split=split,
        scaler=scaler,
        horizons=_fitting_horizons(split, period) if named is None else named.horizons,
        period=period,
    )


def check_length(series: Series, look_back: int, horizon: int) -> None:
    """Raise UserError where a series is too short to learn and test forecasts on.

    Training takes look-back and horizon from the train rows. Validation and test need the horizon
    alone: the look-back of their first forecasts reaches into earlier rows.
    """
    needed = look_back + horizon
    rows = series.values.shape[1]
    what = f"look-back {look_back} + horizon {horizon} = {needed} rows"
    if rows < needed:
        raise UserError(
            f"{series.name} has {rows} rows, expected at least {what}: shorten one or add rows"
        )
    for part, least in (("train", needed), ("valid", horizon + 1), ("test", horizon + 1)):
        part_rows = getattr(series.split, part)
        length = part_rows.stop - part_rows.start
        if length < least:
            what = what if part == "train" else f"horizon {horizon} + 1 = {least} rows"
            raise UserError(
                f"the {part} part of {series.name} has {length} of its {rows} rows, expected at "
                f"least {what}: shorten the horizon or the look-back, or add rows"
            )


def _check_is_path(source: str | Path) -> None:
    """Raise UserError for what is neither a named set nor an existing path."""
    text = str(source)
    if Path(text).expanduser().exists():
        return
    close = difflib.get_close_matches(text.lower(), [name.lower() for name in NAMED], n=1)
    hint = next((f"did you mean {name}? " for name in NAMED if name.lower() in close), "")
    raise UserError(
        f"{text} does not exist: {hint}expected a CSV or Parquet file or one of {', '.join(NAMED)}"
    )


def _split(rows: int, named: NamedSet | None, path: Path) -> Split:
    if named is not None and named.counts is not None:
        train, valid, test = named.counts
        ends = train, train + valid, train + valid + test
    else:
        ends = int(rows * 0.6), int(rows * 0.8), rows
    if not 0 < ends[0] < ends[1] < ends[2]:
        raise UserError(f"{path} has {rows} rows, expected at least 5 to split 60/20/20")
    return Split(slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2]))


def _fit_scaler(frame: pd.DataFrame, train: slice, path: Path) -> Scaler:
    for name in frame.columns:
        column = frame[name].to_numpy()
        if np.isnan(column).all():
            raise UserError(f"{path}: column {name!r} has no number: leave it out")
        _check_varies(column[train], f"{path}: column {name!r}, train rows 1 to {train.stop},")
    mean, std = _moments(frame.to_numpy()[train])
    return Scaler(mean, std)


def _check_varies(column: np.ndarray, what: str) -> None:
    """Raise UserError for a channel that cannot be standardised. column: (T,)."""
    seen = column[~np.isnan(column)]
    if seen.size == 0:
        raise UserError(f"{what} has no number, expected some to standardise with: leave it out")
    if seen.min() == seen.max():
        raise UserError(f"{what} is constant ({seen[0]:g}), expected it to vary: leave it out")


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, C) -> mean (C,), std (C,)."""
    return np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)


def _fitting_horizons(split: Split, period: int | None) -> tuple[int, ...]:
    """The usual horizons that leave validation and test at least as many forecasts as steps."""
    longest = min(split.valid.stop - split.valid.start, split.test.stop - split.test.start) // 2
    usual = QUARTER_HOURLY_HORIZONS if period == 96 else HOURLY_HORIZONS
    return tuple(horizon for horizon in usual if horizon <= longest) or (max(1, longest),)

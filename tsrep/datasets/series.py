"""Data sets in memory: a series to forecast, or a panel of labelled series to classify."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from tspcrep.common.errors import DataWarning, UserError


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
    def fit(
        cls,
        values: np.ndarray,
        names: Sequence[str] | None = None,
        where: str = "values",
        *,
        keep_constant: bool = False,
    ) -> "Scaler":
        """Mean and standard deviation (of the population) of each channel; NaN is ignored.

        A channel is constant if its deviation is no more than rounding may leave, 1e-12 of its
        largest absolute value.

        values: (..., C). names: of the channels, for messages (None: their numbers). where: what
        the values are, for messages. keep_constant: a constant channel keeps its unit (deviation 1)
        instead of being refused. Raises UserError for a channel without a number, constant, or of
        extreme size.
        """
        rows = np.asarray(values, dtype=np.float64).reshape(-1, np.shape(values)[-1])
        labels = range(rows.shape[1]) if names is None else map(repr, names)
        constant = [
            _is_constant(column, f"channel {label} of {where}", keep_constant)
            for label, column in zip(labels, rows.T, strict=True)
        ]
        return cls(np.nanmean(rows, axis=0), np.where(constant, 1.0, np.nanstd(rows, axis=0)))

    @property
    def zero(self) -> np.ndarray:
        """(C,), the standardised values of 0 in the data's units."""
        return -self.mean / self.std

    def part(self, channels: slice | Sequence[int]) -> "Scaler":
        """The scaler of some of the channels, in this order."""
        return Scaler(self.mean[channels], self.std[channels])

    def beside(self, other: "Scaler") -> "Scaler":
        """The scaler of these channels and those of another behind them."""
        pairs = (self.mean, other.mean), (self.std, other.std)
        return Scaler(*map(np.concatenate, pairs))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(..., C) in the data's units -> float32 (..., C) with mean 0 and deviation 1."""
        self._check_channels(values)
        return ((np.asarray(values, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """(..., C) standardised -> float64 (..., C) in the data's units."""
        self._check_channels(values)
        return np.asarray(values, dtype=np.float64) * self.std + self.mean

    def _check_channels(self, values: np.ndarray) -> None:
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
    missing. times: (T,). calendar: float32 (T, K), see ``tsrep.datasets.calendar``. columns: the C
    channel names. split: rows of train, validation and test; rows behind ``split.test`` are unused.
    scaler: fitted on the train rows only. horizons: forecast lengths in steps. period: season in
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

    @property
    def train(self) -> np.ndarray:
        """The train rows of ``values``."""
        return self.values[:, self.split.train]


@dataclass(frozen=True, eq=False)
class Collection:
    """Series of unequal length with the same columns and frequency, from one long table.

    name: of the file. ids: (N,), what tells the series apart. series: (N,), each split and
    standardised by itself; a constant channel keeps its unit. horizons: forecast lengths in steps,
    those that fit a series of median length.
    """

    name: str
    ids: tuple[str, ...]
    series: tuple[Series, ...]
    horizons: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.series[0].columns

    @property
    def channels(self) -> int:
        return self.series[0].channels

    @property
    def period(self) -> int | None:
        return max(self.series, key=lambda one: len(one.times)).period

    @property
    def train(self) -> np.ndarray:
        """The train rows of all series, float32 (N, T, C), NaN behind the end of shorter ones."""
        return stacked([one.train[0] for one in self.series])


@dataclass(frozen=True, eq=False)
class Panel:
    """Labelled series to classify.

    name: of the set. train, test: float32 (N, T, C), standardised with ``scaler``, NaN where
    missing and behind the end of series that are shorter than T, the longest of both parts.
    train_labels, test_labels: int64 (N,), positions in ``classes``. classes: names of the labels,
    sorted. scaler: fitted on train only; a constant channel keeps its unit. Channels have no names
    and no season is known.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    scaler: Scaler
    columns: ClassVar[tuple[str, ...]] = ()
    period: ClassVar[None] = None

    @property
    def channels(self) -> int:
        return self.train.shape[-1]


def check_length(series: Series, look_back: int, horizon: int) -> None:
    """Raise UserError where a series is too short to learn and test forecasts on.

    Training takes look-back and horizon from the train rows. Validation and test need the horizon
    and one row to start from: the look-back of their first forecasts reaches into earlier rows.
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


def _is_constant(column: np.ndarray, what: str, allowed: bool) -> bool:
    """Whether a channel (T,) is constant; UserError where it cannot be standardised."""
    seen = column[~np.isnan(column)]
    if seen.size == 0:
        raise UserError(f"{what} has no number, expected some to standardise with: leave it out")
    with np.errstate(over="ignore", under="ignore"):
        std = seen.std()
    low, high = seen.min(), seen.max()
    if not std < np.inf:
        raise UserError(
            f"{what} lies between {low:g} and {high:g}, whose variance is no number: "
            "leave marks of missing values empty, or change the unit"
        )
    constant = low == high or bool(std <= 1e-12 * max(abs(low), abs(high)))
    if constant and not allowed:
        raise UserError(
            f"{what} is constant ({low:g}, or to rounding), expected it to vary: leave it out"
        )
    return constant


def warn_of_axes(values: np.ndarray) -> None:
    """Warn where ``values (N, T, C)`` have so many channels that they may be (N, C, T).

    That is 16 or more, and 8 times as many as steps.
    """
    _, steps, channels = values.shape
    if channels >= max(16, 8 * steps):
        warnings.warn(
            f"found {steps} steps of {channels} channels, as axes are (series, steps, channels): "
            "if they are (series, channels, steps), swap the last two",
            DataWarning,
            stacklevel=3,
        )


def stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Series (T_n, C) of unequal length as one float32 (N, T, C), NaN behind their ends."""
    longest = max(map(len, parts))
    values = np.full((len(parts), longest, parts[0].shape[1]), np.nan, np.float32)
    for row, part in zip(values, parts, strict=True):
        row[: len(part)] = part
    return values


def filled(values: np.ndarray) -> np.ndarray:
    """(T, C) float64, each missing value replaced by the last one seen, or 0 before the first."""
    values = np.asarray(values, dtype=np.float64)
    seen = ~np.isnan(values)
    if seen.all():
        return values
    rows = np.where(seen, np.arange(len(values))[:, None], 0)
    rows = np.maximum.accumulate(rows, axis=0)
    return np.nan_to_num(np.take_along_axis(values, rows, axis=0), nan=0.0)

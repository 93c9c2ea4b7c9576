"""The usual step of timestamps: a fixed time, some days of each week, or months."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

_DAY = np.timedelta64(1, "D")
_LEEWAY = 4 * _DAY
"""Months: by so much may the place within the month vary, as the last business day does."""


class Step(Protocol):
    """A usual step. Places are whole numbers, 0 for the first timestamp."""

    @property
    def name(self) -> str: ...

    def places(self, times: pd.Index) -> np.ndarray: ...

    def times(self, places: np.ndarray) -> pd.Index: ...


def usual_step(times: pd.Index) -> Step | None:
    """The usual step of two or more rising timestamps; None where there is none.

    A local clock without zone that is put back in autumn may repeat an hour.
    """
    if not isinstance(times, pd.DatetimeIndex):
        return _fixed(times, times.to_numpy().astype(np.int64))
    if times.tz is None:
        changes = clock_changes(times)
        if changes is not None:
            found = _fixed(times, times.asi8 - changes)
            return None if found is None else _Clock(found, *_turns(found, times, changes))
        return _months(times) or _week_days(times) or _fixed(times, times.asi8)
    found = _fixed(times, times.asi8)
    if found is not None and found.step < _units(times, _DAY):
        return found
    local = usual_step(times.tz_localize(None))  # days of 23 and 25 hours
    return found if local is None else _Zoned(local, times.tz)


def clock_changes(times: pd.DatetimeIndex) -> np.ndarray | None:
    """By how much a local clock is ahead of how it was at the first row, (T,), in units of times.

    None if it was never put back. It is put back, and forth, by an hour in the small hours of a
    Sunday; all other steps must rise.
    """
    gaps = np.diff(times.asi8)
    if times.tz is not None or len(gaps) < 3 or (gaps > 0).all():
        return None
    step, hour = int(np.median(gaps)), _units(times, np.timedelta64(1, "h"))
    then = times[1:]
    small_hours = (then.dayofweek == 6) & (then.hour <= 4)
    back, forth = small_hours & (gaps == step - hour), small_hours & (gaps == step + hour)
    if ((gaps <= 0) & ~back).any() or back.sum() > times[-1].year - times[0].year + 1:
        return None
    return np.concatenate([[0], np.cumsum(forth.astype(int) - back.astype(int))]) * hour


_NAMED = (
    ("weeks", np.timedelta64(1, "W")),
    ("days", np.timedelta64(1, "D")),
    ("hours", np.timedelta64(1, "h")),
    ("minutes", np.timedelta64(1, "m")),
)


def step_name(step: np.timedelta64) -> str:
    """In words: hours, 15 minutes, weeks."""
    for name, unit in _NAMED:
        if step >= unit and step % unit == np.timedelta64(0):
            count = int(step / unit)
            return name if count == 1 else f"{count} {name}"
    seconds = step / np.timedelta64(1, "s")
    return "seconds" if seconds == 1 else f"{seconds:g} seconds"


@dataclass(frozen=True)
class _Fixed:
    """Steps of a fixed number of units from ``start``. like: an index with unit and zone."""

    like: pd.Index
    start: int
    step: int

    @property
    def name(self) -> str:
        if isinstance(self.like, pd.DatetimeIndex):
            return step_name(np.timedelta64(self.step, self.like.unit))
        return "steps" if self.step == 1 else f"steps of {self.step}"

    def places(self, times: pd.Index) -> np.ndarray:
        dated = isinstance(times, pd.DatetimeIndex)
        stamps = times.as_unit(self.like.unit).asi8 if dated else times.to_numpy().astype(np.int64)
        return (stamps - self.start) // self.step

    def times(self, places: np.ndarray) -> pd.Index:
        stamps = self.start + self.step * np.asarray(places)
        if isinstance(self.like, pd.DatetimeIndex):
            return dated_like(stamps, self.like)
        return pd.RangeIndex(stamps[0], stamps[-1] + self.step, self.step)


@dataclass(frozen=True)
class _Clock:
    """Fixed steps of a local clock. turns: first place of each reading of it; ahead: by how much.

    known: the timestamps it was read from, as an hour that comes twice has no one place.
    """

    even: _Fixed
    turns: np.ndarray
    ahead: np.ndarray
    known: pd.DatetimeIndex
    known_places: np.ndarray

    @property
    def name(self) -> str:
        return self.even.name

    def places(self, times: pd.Index) -> np.ndarray:
        return self.known_places[-len(times) :]

    def times(self, places: np.ndarray) -> pd.Index:
        ahead = self.ahead[np.searchsorted(self.turns, places, side="right") - 1]
        return dated_like(self.even.times(places).asi8 + ahead, self.known)


@dataclass(frozen=True)
class _WeekDays:
    """The days of each week that ``mask`` marks, Monday first."""

    start: np.datetime64
    mask: tuple[bool, ...]
    of_day: np.timedelta64

    @property
    def name(self) -> str:
        usual = self.mask == (True,) * 5 + (False,) * 2
        return "business days" if usual else f"days ({sum(self.mask)} a week)"

    def places(self, times: pd.Index) -> np.ndarray:
        days = times.to_numpy().astype("datetime64[D]")
        return np.busday_count(self.start, days, weekmask=self.mask)

    def times(self, places: np.ndarray) -> pd.Index:
        days = np.busday_offset(self.start, places, weekmask=self.mask)
        return pd.DatetimeIndex(days.astype("datetime64[s]") + self.of_day)


@dataclass(frozen=True)
class _Months:
    """Every ``step`` months, ``offset`` after the start of the month, or of the next one."""

    first: int
    step: int
    next_month: bool
    offset: np.timedelta64

    @property
    def name(self) -> str:
        usual = {1: "months", 3: "quarters", 12: "years"}
        return usual.get(self.step, f"{self.step} months")

    def places(self, times: pd.Index) -> np.ndarray:
        return (_month_numbers(times) - self.first) // self.step

    def times(self, places: np.ndarray) -> pd.Index:
        months = self.first + self.step * np.asarray(places)
        found = _month_start(months + self.next_month) + self.offset
        last_day = _month_start(months + 1) - _DAY + self.offset % _DAY  # of a day 30 in February
        return pd.DatetimeIndex(np.minimum(found, last_day))


@dataclass(frozen=True)
class _Zoned:
    """Steps of the local clock of a zone."""

    local: Step
    zone: object

    @property
    def name(self) -> str:
        return self.local.name

    def places(self, times: pd.Index) -> np.ndarray:
        return self.local.places(times.tz_localize(None))

    def times(self, places: np.ndarray) -> pd.Index:
        local = pd.DatetimeIndex(self.local.times(places))
        # An hour that the clock skips or repeats is the first that there is.
        repeats = np.ones(len(local), dtype=bool)
        return local.tz_localize(self.zone, ambiguous=repeats, nonexistent="shift_forward")


def _fixed(times: pd.Index, stamps: np.ndarray) -> _Fixed | None:
    gaps = np.diff(stamps)
    step = int(np.sort(gaps)[(len(gaps) - 1) // 2])
    if step <= 0 or (gaps <= 0).any() or (gaps % step).any():
        return None
    return _Fixed(times[:1], int(stamps[0]), step)


def _turns(even: _Fixed, times: pd.DatetimeIndex, changes: np.ndarray) -> tuple:
    """The other fields of :class:`_Clock`."""
    places = (times.asi8 - changes - even.start) // even.step
    first = np.flatnonzero(np.diff(changes, prepend=changes[0] - 1))
    return places[first], changes[first], times, places


def _week_days(times: pd.DatetimeIndex) -> _WeekDays | None:
    stamps = times.to_numpy()
    days = stamps.astype("datetime64[D]")
    of_day = stamps - days
    if (
        (of_day != of_day[0]).any()
        or days[-1] - days[0] < 13 * _DAY
        or (np.diff(days) < _DAY).any()
    ):
        return None
    mask = tuple(bool(found) for found in np.isin(np.arange(7), times.dayofweek))
    if not 2 <= sum(mask) <= 6:
        return None
    found = _WeekDays(days[0], mask, of_day[0])
    return found if np.median(np.diff(found.places(times))) == 1 else None


def _months(times: pd.DatetimeIndex) -> _Months | None:
    stamps, months = times.to_numpy(), _month_numbers(times)
    if np.median(np.diff(stamps)) < 27 * _DAY:
        return None
    gaps = np.diff(months)
    step = int(np.sort(gaps)[(len(gaps) - 1) // 2])
    if step < 1 or (gaps < 1).any() or (gaps % step).any():
        return None
    offsets = [stamps - _month_start(months + later) for later in (0, 1)]
    spreads = [np.ptp(offset) for offset in offsets]
    best = int(spreads[1] < spreads[0])
    if spreads[best] > _LEEWAY:
        return None
    return _Months(int(months[0]), step, bool(best), np.sort(offsets[best])[len(stamps) // 2])


def _month_numbers(times: pd.DatetimeIndex) -> np.ndarray:
    return times.to_numpy().astype("datetime64[M]").astype(np.int64)


def _month_start(months: np.ndarray) -> np.ndarray:
    return np.asarray(months).astype("datetime64[M]").astype("datetime64[s]")


def dated_like(stamps: np.ndarray, like: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Dates of the unit and zone of ``like``."""
    found = pd.DatetimeIndex(stamps.astype(f"datetime64[{like.unit}]"))
    return found if like.tz is None else found.tz_localize("UTC").tz_convert(like.tz)


def _units(times: pd.DatetimeIndex, duration: np.timedelta64) -> int:
    return int(duration / np.timedelta64(1, times.unit))

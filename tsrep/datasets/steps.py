"""Even steps: the usual step of timestamps, and the rows that it lacks.

    grid = even_steps(times, "sales.csv")
    values = grid.placed(values)  # NaN in the rows that were absent
    later = following(times, 24)  # the 24 timestamps after the last

A usual step is a fixed time (hours, 15 minutes, weeks), the same days of each week (business days),
or months, quarters and years, by their first, last or any other day.
"""

import itertools
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.frequencies import dated_like, step_name, usual_step

_EQUAL, _OTHER = 12, 24
"""So many equal steps, or any, in a row that are not the usual one are a change of frequency. With
every third row absent at random, either happens less than once in a million rows."""


class Grid(NamedTuple):
    """Even steps. times: (G,). places: (T,), where the rows given stand among them. step: name."""

    times: pd.Index
    places: np.ndarray
    step: str

    @property
    def absent(self) -> int:
        """Number of steps without a row."""
        return len(self.times) - len(self.places)

    def placed(self, values: np.ndarray) -> np.ndarray:
        """``values (T, ...)`` as float64 (G, ...), NaN in the rows that were absent."""
        found = np.full((len(self.times), *np.shape(values)[1:]), np.nan)
        found[self.places] = values
        return found


def even_steps(times: pd.Index, where: str) -> Grid:
    """The usual step of rising timestamps, and the place of each row on it.

    times: (T,) dates or whole numbers. where: what they are of, for messages. Raises UserError,
    naming the row, where there is no usual step, where it changes on the way, or where more steps
    would be absent than there are rows.
    """
    dated = isinstance(times, pd.DatetimeIndex)
    if len(times) < 2:
        first = times if dated or not len(times) else pd.RangeIndex(times[0], times[0] + 1)
        return Grid(first, np.arange(len(times)), "rows")
    step = usual_step(times)
    if step is None:
        raise UserError(f"{where}: {_first_uneven(times)}: {_REMEDY}")
    places = step.places(times)
    _check_no_change(places, times, where)
    count = int(places[-1]) + 1
    if count > 2 * len(times):
        raise UserError(
            f"{where}: {count - len(times)} of {count} {step.name} between {times[0]} and "
            f"{times[-1]} have no row, expected at most half: {_REMEDY}"
        )
    if dated and count == len(times):
        return Grid(times, places, step.name)
    full = step.times(np.arange(count))
    if dated:  # a row keeps its own timestamp
        stamps = full.as_unit(times.unit).asi8.copy()
        stamps[places] = times.asi8
        full = dated_like(stamps, times)
    return Grid(full, places, step.name)


def told(grid: Grid, what: str) -> Grid:
    """``grid``; a ``DataWarning`` says how many rows of ``what`` are filled in, if any."""
    if grid.absent:
        warnings.warn(
            f"{what}: {grid.absent} of {len(grid.times)} {grid.step} have no row and are filled in "
            "as missing",
            DataWarning,
            stacklevel=3,
        )
    return grid


def following(times: pd.Index, count: int, like: pd.Index | None = None) -> pd.Index:
    """The ``count`` timestamps that follow even ones.

    like: longer times of the same step, where ``times`` are too few to tell it. Raises UserError if
    they have no step.
    """
    like = times if like is None else like
    if len(like) < 2:
        raise UserError(f"found {len(like)} timestamps, expected at least 2 to know their step")
    if isinstance(like, pd.RangeIndex):
        start = times[-1] + like.step
        return pd.RangeIndex(start, start + count * like.step, like.step)
    step = usual_step(like)
    if step is None:
        raise UserError(f"{_first_uneven(like)}: {_REMEDY}")
    last = int(step.places(times[-1:])[0])
    return step.times(np.arange(last + 1, last + 1 + count))


def resampled(
    times: pd.DatetimeIndex, frame: pd.DataFrame, frequency: str
) -> tuple[pd.DatetimeIndex, pd.DataFrame]:
    """The mean of each step of ``frequency``, NaN where it has no row.

    frequency: of pandas, such as h, 15min, D, MS. Raises UserError for another, and where there are
    no dates.
    """
    if not isinstance(times, pd.DatetimeIndex):
        raise UserError(f"frequency {frequency}: the table has no dates to be brought to it")
    try:
        found = frame.set_axis(times).resample(frequency).mean()
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"frequency {frequency!r} cannot be used ({reason}): expected one of pandas, such as "
            "15min, h, D, W, MS"
        ) from None
    index = pd.DatetimeIndex(found.index, freq=None)
    return index, found.reset_index(drop=True)


_REMEDY = "give a --frequency to bring it to, such as h or D, or mend the rows"


def _check_no_change(places: np.ndarray, times: pd.Index, where: str) -> None:
    gaps = np.diff(places)
    runs = np.flatnonzero(np.diff(gaps, prepend=np.nan, append=np.nan) != 0)
    others = np.flatnonzero(np.diff(gaps != 1, prepend=False, append=False))
    longest = [(start, stop) for start, stop in itertools.pairwise(runs) if gaps[start] != 1]
    for found, least in (
        (longest, _EQUAL),
        (list(zip(others[::2], others[1::2], strict=True)), _OTHER),
    ):
        for start, stop in found:
            if stop - start >= least:
                at = start if start else stop
                raise UserError(
                    f"{where}: the step changes at row {at + 1} ({times[at]}), expected one "
                    f"throughout: cut the table there, or {_REMEDY}"
                )


def _first_uneven(times: pd.Index) -> str:
    """The first row that is no whole number of usual steps after the one before."""
    stamps = times.asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy()
    gaps = np.diff(stamps)
    step = np.sort(gaps)[(len(gaps) - 1) // 2]
    uneven = (gaps % step != 0) if step > 0 else gaps <= 0
    row = int(uneven.argmax()) + 1
    usual = step
    if isinstance(times, pd.DatetimeIndex):
        usual = step_name(np.timedelta64(step, times.unit))
    return (
        f"times have no usual step: row {row + 1} ({times[row]}) follows {times[row - 1]}, where "
        f"the median step is {usual}"
    )

"""The windows of many series of unlike times, and the moments of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tspcrep.common.probes import Moments
from tsrep.forecasting.candidates import Layout
from tsrep.forecasting.moments import summed_moments

_BLOCKS = 6
"""Blocks of origins, in the last third of them."""
_ORIGINS = 1000
"""Most origins of a block that errors are measured at."""


@dataclass(frozen=True, eq=False)
class Group:
    """Series of the same times. values: (T, C), standardised. seen: (T, C). calendar: (T, K)."""

    stamps: np.ndarray
    values: np.ndarray
    seen: np.ndarray
    calendar: np.ndarray

    def before(self, stamp: int | None) -> int:
        """Number of rows before a time; all for None."""
        return len(self.stamps) if stamp is None else int(np.searchsorted(self.stamps, stamp))


class GlobalWindows:
    """The windows of all series that are whole: rows [calendar (K), lags (L)]."""

    def __init__(self, groups: Sequence[Group], lags: int, horizon: int):
        self.groups = [g for g in groups if len(g.stamps) >= lags + horizon]
        self.lags, self.horizon = lags, horizon
        self.calendar = self.groups[0].calendar.shape[1] if self.groups else 0

    def layout(self, size: int) -> Layout:
        return Layout(self.calendar, 0, size)

    def columns(self, size: int) -> np.ndarray:
        """Columns of the calendar and of the last ``size`` lags."""
        lags = self.calendar + np.arange(self.lags - size, self.lags)
        return np.concatenate([np.arange(self.calendar), lags])

    def blocks(self) -> list[tuple[int, int | None]]:
        """First time, and the time behind the last, of blocks of as many origins each."""
        found = [
            np.repeat(g.stamps[self.lags - 1 : len(g.stamps) - self.horizon], g.values.shape[1])
            for g in self.groups
        ]
        if not found:
            return []
        stamps = np.sort(np.concatenate(found))
        places = np.linspace(2 * len(stamps) // 3, len(stamps), _BLOCKS + 1).astype(int)[:-1]
        first = [int(stamp) for stamp in np.unique(stamps[places])]
        return list(zip(first, [*first[1:], None], strict=True))

    def can_judge(self, block: tuple[int, int | None]) -> bool:
        """Whether there is an origin in a block, and a window before it, targets and all."""
        before = any(g.before(block[0]) >= self.lags + self.horizon for g in self.groups)
        return before and any(len(self._origins(g, block)) for g in self.groups)

    def _origins(self, group: Group, block: tuple[int, int | None]) -> np.ndarray:
        """Rows of a group in a block that have a whole window."""
        stop = min(group.before(block[1]), len(group.stamps) - self.horizon)
        return np.arange(max(self.lags - 1, group.before(block[0])), stop)

    def moments(self, start: int | None, stop: int | None) -> Moments | None:
        """Of windows whose last target is before ``stop`` and, if given, not before ``start``."""
        parts = []
        for group in self.groups:
            first = self.lags - 1
            if start is not None:
                first = max(first, group.before(start) - self.horizon)
            origins = np.arange(first, group.before(stop) - self.horizon)
            parts.append((group.values, group.calendar, origins))
        return summed_moments(parts, self.lags, self.horizon)

    def sampled(self, block: tuple[int, int | None], steps: np.ndarray) -> tuple:
        """Rows x (n, K + L) of origins of a block, evenly drawn, and the truth (n, m)."""
        places = []
        for k, group in enumerate(self.groups):
            sides = self._origins(group, block), np.arange(group.values.shape[1])
            row, channel = (grid.ravel() for grid in np.meshgrid(*sides, indexing="ij"))
            places.append(np.stack([np.full(len(row), k), row, channel]))
        found = np.concatenate(places, axis=1)
        drawn = np.linspace(0, found.shape[1] - 1, min(_ORIGINS, found.shape[1])).round()
        group_of, row, channel = found[:, drawn.astype(int)]
        x, truth = [], []
        for k in np.unique(group_of):
            group, at = self.groups[k], group_of == k
            lags = sliding_window_view(group.values, self.lags, axis=0)
            own = lags[row[at] - self.lags + 1, channel[at]]
            x.append(np.concatenate([group.calendar[row[at]], own], axis=1))
            later = row[at][:, None] + steps
            ahead = group.values[later, channel[at][:, None]]
            truth.append(np.where(group.seen[later, channel[at][:, None]], ahead, np.nan))
        return np.concatenate(x), np.concatenate(truth)

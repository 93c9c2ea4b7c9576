"""Rolling origins: forecasts of blocks of rows, each by candidates fitted on the rows before it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tspcrep.common.probes import Moments
from tsrep.forecasting.candidates import Candidate, LagRidge, Layout, Map, map_of
from tsrep.forecasting.choice import BLEND, HELPS, Choice, choose
from tsrep.forecasting.moments import part, window_moments
from tsrep.forecasting.probe import Columns, Inputs

_BLOCKS = 3
"""Blocks of the train rows, and of the validation rows."""
_ROWS = 240
"""Rows that the blocks of a short series span at least, but not its first third."""
_STEPS = 24
"""Steps of a horizon that errors are measured at, evenly spaced."""
_ERRORS = 400_000
"""Approximate number of errors of a candidate, which says how many origins a block has."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows before ``stop`` to fit on, and the origins ``starts`` (n,) to forecast from."""

    stop: int
    starts: np.ndarray


class Windows:
    """The windows of a series: rows [calendar, vectors, lags], and their moments."""

    def __init__(self, inputs: Inputs, lags: int):
        self.inputs, self.vectors = inputs, Columns(inputs)
        values = inputs.values.astype(np.float64)
        self.channels = values.shape[1]
        self.padded = np.concatenate([np.repeat(values[:1], lags - 1, axis=0), values])
        self.lags = sliding_window_view(self.padded, lags, axis=0)  # (T, C, L)
        self.layout = Layout(inputs.calendar.shape[1], self.vectors.size, lags)
        split = inputs.split
        rows = split.valid.stop - split.train.start
        # Windows of the first rows reach back to where the first value stands for those missing.
        self.first = split.train.start + max(inputs.drop, min(lags - 1, rows // 8))

    def beside(self, channel: int, rows: slice | np.ndarray) -> np.ndarray:
        """Calendar and vectors (n, K + D)."""
        vectors = self.vectors.standardised(channel, rows)
        return np.concatenate([self.inputs.calendar[rows], vectors], axis=1).astype(np.float64)

    def rows(self, channel: int, starts: np.ndarray) -> np.ndarray:
        return np.concatenate([self.beside(channel, starts), self.lags[starts, channel]], axis=1)

    def moments(self, starts: np.ndarray, horizon: int, apart: bool) -> list[Moments]:
        """Moments of consecutive origins with the next values, by channel or of all together."""
        pad, every = self.layout.lags - 1, slice(0, int(starts[-1]) + 1)
        table = self.padded[: int(starts[-1]) + pad + horizon + 1]

        def of(values: np.ndarray, channel: int) -> Moments:
            beside = np.concatenate(
                [np.zeros((pad, sum(self.layout[:2]))), self.beside(channel, every)]
            )
            return window_moments(values, beside, starts + pad, self.layout.lags, horizon)

        if not apart and self.layout.vectors == 0:
            return [of(table, 0)]
        found = [of(table[:, c : c + 1], c) for c in range(self.channels)]
        return found if apart else [_sum(found)]

    def ahead(self, starts: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """The values ``steps`` after each origin (n, m, C), NaN where they are missing."""
        at = starts[:, None] + steps
        values = self.inputs.values[at].astype(np.float64)
        if self.inputs.seen is not None:
            values[~self.inputs.seen[at]] = np.nan
        return values


def blocks_of(windows: Windows, horizon: int) -> list[Block]:
    """Blocks of origins in the last third of the rows, half of them in the validation rows.

    Those of fewer than 720 rows begin earlier: a third of them holds too few independent errors for
    an interval (see :meth:`tsrep.forecasting.intervals.Spread.of`).
    """
    split = windows.inputs.split
    start, stop = split.train.start, split.valid.stop - horizon
    rows = split.valid.stop - start
    early = split.valid.stop - max(rows // 3, min(2 * rows // 3, _ROWS))
    count = 2 * _BLOCKS * windows.channels * min(horizon, _STEPS)
    found = []
    for first, last in ((early, split.valid.start), (split.valid.start, stop)):
        for low, high in _cuts(first, last):
            if low - horizon + 1 - windows.first >= 2:  # two origins to fit on
                size = min(high - low, max(16, _ERRORS // count), 128)
                starts = np.linspace(low, high - 1, size).round().astype(int)
                found.append(Block(low, starts))
    return found


def _cuts(first: int, stop: int) -> list[tuple[int, int]]:
    ends = np.linspace(first, max(first, stop), _BLOCKS + 1).astype(int)
    return [(int(a), int(b)) for a, b in pairwise(ends) if b > a]


def steps_of(horizons: Sequence[int]) -> np.ndarray:
    """Steps (m,), rising, at which errors are measured."""
    found = [np.linspace(1, h, min(h, _STEPS)).round().astype(int) for h in horizons]
    return np.unique(np.concatenate(found))


def within(steps: np.ndarray, horizon: int) -> np.ndarray:
    """Places in ``steps`` of those of a horizon."""
    return np.flatnonzero(np.isin(steps, steps_of((horizon,))))


class Tried:
    """Candidates and their errors in blocks that they were not fitted on.

    starts: (N,), the origins of all blocks. errors: by candidate, (S settings, N, m, C) at
    ``steps``, forecast less truth.
    """

    def __init__(self, windows: Windows, blocks: Sequence[Block], steps: np.ndarray):
        self.windows, self.blocks, self.steps = windows, list(blocks), steps
        self.starts = np.concatenate([block.starts for block in blocks])
        self.candidates: list[Candidate] = []
        self.errors: list[np.ndarray] = []

    def add(self, candidates: Sequence[Candidate]) -> None:
        """Fit each on the rows before every block, and forecast it."""
        found: list[list[np.ndarray]] = [[] for _ in candidates]
        apart = any(c.apart for c in candidates)
        windows, steps = self.windows, self.steps
        seen: list[Moments] = []
        horizon, fitted_to = int(steps[-1]), windows.first
        for block in self.blocks:
            starts = np.arange(
                fitted_to, block.stop - horizon + 1
            )  # whose values are known by then
            if len(starts):
                new = windows.moments(starts, horizon, apart)
                new = [part(m, slice(None), steps - 1) for m in new]
                seen = [a + b for a, b in zip(seen, new, strict=True)] if seen else new
                fitted_to = int(starts[-1]) + 1
            x = [windows.rows(c, block.starts) for c in range(windows.channels)]
            truth = windows.ahead(block.starts, steps)
            for candidate, own in zip(candidates, found, strict=True):
                ahead = _forecasts(candidate, seen, steps, windows.layout, x)  # (S, n, m, C)
                own.append((ahead - truth).astype(np.float32))
        self.candidates += candidates
        self.errors += [np.concatenate(own, axis=1) for own in found]

    def choose(self, horizon: int, before: Mapping[str, np.ndarray] | None = None) -> Choice:
        """The choice for a horizon; ``before``: errors (N, m, C) of simpler forecasts, by name."""
        before, at = before or {}, within(self.steps, horizon)
        names = [*before, *(c.name for c in self.candidates)]
        errors = [*(e[None] for e in before.values()), *(e[:, :, at] for e in self.errors)]
        block = np.repeat(np.arange(len(self.blocks)), [len(b.starts) for b in self.blocks])
        # Windows a horizon apart share no value to forecast.
        independent = (self.starts[-1] - self.starts[0]) / horizon + 1
        # What was learned must earn its place.
        blend = HELPS if before else BLEND
        return choose(names, errors, block, independent, blend)

    def best_ridge(self, horizons: Sequence[int]) -> LagRidge:
        """The ridge of least error relative to the first candidate, over all horizons."""
        places = [within(self.steps, h) for h in horizons]

        def errors(k: int) -> np.ndarray:
            squares = [np.square(self.errors[k][:, :, at]) for at in places]
            return np.array([np.nanmean(s, axis=(1, 2, 3)).min() for s in squares])

        scale = errors(0) + 1e-12
        found = [(k, c) for k, c in enumerate(self.candidates) if isinstance(c, LagRidge)]
        return min(found, key=lambda one: float((errors(one[0]) / scale).sum()))[1]

    def late(self) -> list[Block]:
        """The blocks in the validation rows."""
        start = self.windows.inputs.split.valid.start
        return [block for block in self.blocks if block.stop >= start]


def _forecasts(
    candidate: Candidate,
    seen: list[Moments],
    steps: np.ndarray,
    layout: Layout,
    x: list[np.ndarray],
) -> np.ndarray:
    """Forecasts (S, n, m, C) from rows ``x`` by channel, by a candidate fitted to ``seen``."""
    groups = seen if candidate.apart else [_sum(seen)]
    maps = [list(candidate.maps(moments, steps, layout)) for moments in groups]
    by_channel = [
        np.stack([rows @ m.weight + m.bias for m in maps[c if len(maps) > 1 else 0]])
        for c, rows in enumerate(x)
    ]
    return np.stack(by_channel, axis=3)


def fit(windows: Windows, parts: list[tuple[Candidate, int, float]], horizon: int) -> list[Map]:
    """A blend of candidates, each (candidate, setting, share), fitted on train and validation rows.

    Returns a map per channel, or one for all.
    """
    starts = np.arange(windows.first, windows.inputs.split.valid.stop - horizon)
    steps = np.arange(1, horizon + 1)
    seen = windows.moments(starts, horizon, any(c.apart for c, _, _ in parts))
    found: list[list[Map]] = [[] for _ in seen]
    for candidate, setting, share in parts:
        groups = seen if candidate.apart else [_sum(seen)]
        maps = [map_of(candidate, setting, g, steps, windows.layout) for g in groups]
        for c, own in enumerate(found):
            m = maps[c if len(maps) > 1 else 0]
            own.append(Map(share * m.weight, share * m.bias))
    return [
        Map(sum((m.weight for m in rest), first.weight), sum((m.bias for m in rest), first.bias))
        for first, *rest in found
    ]


def _sum(moments: list[Moments]) -> Moments:
    total = moments[0]
    for one in moments[1:]:
        total = total + one
    return total

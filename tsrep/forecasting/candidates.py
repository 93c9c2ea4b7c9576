"""The forecasts that a forecaster chooses from, simplest first, each a linear map of a window.

A window is a row ``x = [calendar (K), vector (D), lags (L)]`` of an origin, the last value at its
end. A candidate is fitted from the moments of earlier windows and gives a map for each of its
settings, such as penalties: ``y = x w + b`` with weight (K + D + L, m) and bias (m,), for the m
steps asked for. A mean of such forecasts is a map of the same form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

from tspcrep.common.probes import Moments, RidgePath
from tsrep.forecasting.moments import part, since_last

PENALTIES = tuple(10.0 ** np.arange(-1, 6))
"""Ridge penalties to choose from, for rows of deviation 1."""
_SMOOTHING = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
_HALF_FORGOTTEN = (0.5, 0.2, 0.05)
"""Weights of the newest value in the smoothed levels that a regression reads."""
_POOLED = (1e-3, 1e-1, 1e1)
"""Penalties, for each window, on the distance of a step's coefficients from those of all steps."""


class Layout(NamedTuple):
    """Number of columns of a window: calendar features, vector, lags."""

    calendar: int
    vectors: int
    lags: int

    @property
    def size(self) -> int:
        return sum(self)


class Map(NamedTuple):
    """y = x weight + bias, (d, m) and (m,)."""

    weight: np.ndarray
    bias: np.ndarray


class Candidate(Protocol):
    """name: for tables. apart: fitted to each channel by itself, else to all together."""

    @property
    def name(self) -> str: ...

    @property
    def apart(self) -> bool: ...

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        """A map for each setting, fitted to ``moments``, whose targets are ``steps`` (m,)."""
        ...


def map_of(
    candidate: Candidate, setting: int, moments: Moments, steps: np.ndarray, layout: Layout
) -> Map:
    """The map of one setting; those behind it are not made."""
    return next(islice(candidate.maps(moments, steps, layout), setting, None))


@dataclass(frozen=True)
class Persistence:
    """The last value."""

    name: str = "persistence"
    apart: bool = False

    def maps(self, moments: Moments | None, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        yield _of_lags(_last(steps, layout.lags), layout)


@dataclass(frozen=True)
class SeasonalNaive:
    """The last value seen at the same phase of the season."""

    period: int
    apart: bool = False

    @property
    def name(self) -> str:
        return f"seasonal naive {self.period}"

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        yield _of_lags(_phase_means(steps, layout.lags, self.period, 1), layout)


@dataclass(frozen=True)
class Mean:
    """The mean of all values before."""

    name: str = "mean"
    apart: bool = False

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        weight = np.zeros((layout.size, len(steps)))
        yield Map(weight, np.full(len(steps), moments.y_mean.mean()))


@dataclass(frozen=True)
class Drift:
    """The line through the last value and an earlier one, over the whole window or a part of it."""

    name: str = "drift"
    apart: bool = False

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        for share in (1, 2, 4):
            span = max(1, (layout.lags - 1) // share)
            rows = _last(steps, layout.lags) * (1 + steps[:, None] / span)
            rows[:, -1 - span] -= steps / span
            yield _of_lags(rows, layout)


@dataclass(frozen=True)
class Smoothing:
    """Simple exponential smoothing."""

    name: str = "exponential smoothing"
    apart: bool = False

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        for newest in _SMOOTHING:
            level = _smoothed(layout.lags, newest)
            yield _of_lags(np.repeat(level[None], len(steps), axis=0), layout)


@dataclass(frozen=True)
class PhaseMeans:
    """The mean of the last seasons at the same phase."""

    period: int
    apart: bool = False

    @property
    def name(self) -> str:
        return f"phase means {self.period}"

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        for seasons in (2, 3, 5, 10, 20):
            yield _of_lags(_phase_means(steps, layout.lags, self.period, seasons), layout)


@dataclass(frozen=True)
class SimpleRegression:
    """A regression of each step on simple forecasts of it.

        y_{t+h} - y_t = sum_i a_hi (f_i(t, h) - y_t) + c_h y_t + b_h

    f_i are exponentially smoothed levels, the mean of the window and, for each period, the last
    value at the same phase, the mean of all seasons of the window at that phase, and the mean of
    the last season. The coefficients of a step are drawn to those of all steps together. level:
    whether there is c, which pulls the forecast to the mean of all values.
    """

    periods: tuple[int, ...]
    level: bool = True
    apart: bool = False
    name: str = "regression on simple forecasts"

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        lags = slice(layout.size - layout.lags, layout.size)
        seen = part(moments, lags, slice(None))
        reads = self._forecasts(steps, layout.lags)  # (m, q, L)
        reads[:, :, -1] -= 1
        if self.level:
            reads = np.concatenate([reads, _last(steps, layout.lags)[:, None]], axis=1)
        products = reads @ seen.xx  # (m, q, L)
        gram = products @ reads.transpose(0, 2, 1)
        cross = np.einsum("mql,lm->mq", reads, seen.xy) - products[:, :, -1]
        units = np.eye(gram.shape[1]) * moments.rows
        shared = np.linalg.solve(gram.mean(0) + 1e-3 * units, cross.mean(0))
        for penalty in _POOLED:
            pulled = cross + penalty * moments.rows * shared
            found = np.linalg.solve(gram + penalty * units, pulled[..., None])[..., 0]
            rows = np.einsum("mq,mql->ml", found, reads)
            rows[:, -1] += 1
            weight = _of_lags(rows, layout).weight
            yield Map(weight, moments.y_mean - moments.x_mean @ weight)

    def _forecasts(self, steps: np.ndarray, lags: int) -> np.ndarray:
        """The simple forecasts as weights of the lags (m, q, L), each of sum 1."""
        levels = [_smoothed(lags, newest) for newest in _HALF_FORGOTTEN]
        levels.append(np.full(lags, 1 / lags))
        levels += [_smoothed(lags, 0.0, period) for period in self.periods]
        found = [np.repeat(level[None], len(steps), axis=0) for level in levels]
        for period in self.periods:
            found += [_phase_means(steps, lags, period, seasons) for seasons in (1, lags)]
        return np.stack(found, axis=1)


@dataclass(frozen=True)
class LagRidge:
    """A ridge on the last values, as they are or less the last one, and on what stands beside.

    calendar: read the calendar of the origin. vectors: scale of the representation, 0 leaves it
    out; a ridge penalises a block of scale s by 1/s^2. phases: periods whose phase means stand in
    place of the values before the last ``look_back``.
    """

    look_back: int
    since_last: bool
    calendar: bool = False
    vectors: float = 0.0
    phases: tuple[int, ...] = ()
    apart: bool = False

    @property
    def name(self) -> str:
        beside = {
            "less the last": self.since_last,
            "phase means " + " ".join(map(str, self.phases)): bool(self.phases),
            "calendar": self.calendar,
            f"vectors x {self.vectors:g}": self.vectors > 0,
            "by channel": self.apart,
        }
        return ", ".join([f"ridge {self.look_back}", *(n for n, used in beside.items() if used)])

    def maps(self, moments: Moments, steps: np.ndarray, layout: Layout) -> Iterator[Map]:
        if self.since_last:
            moments = since_last(moments, layout.lags)
        reads, scale = self._reads(layout)
        if reads.ndim == 1:  # columns as they are
            seen = part(moments, reads, slice(None))
        else:
            seen = _image(moments, reads)
        path = RidgePath(seen, scale)
        for penalty in PENALTIES:
            model = path.model(penalty)
            weight = np.zeros((layout.size, len(steps)))
            if reads.ndim == 1:
                weight[reads] = model.weight
            else:
                weight = reads.T @ model.weight
            if self.since_last:
                weight[-1] += 1 - weight[layout.size - layout.lags :].sum(axis=0)
            yield Map(weight, model.bias)

    def _reads(self, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """The columns (q,), or the combinations of columns (q, d), that it reads; their scale."""
        columns = np.arange(layout.size)
        end = layout.size
        blocks = [
            columns[: layout.calendar * self.calendar],
            columns[layout.calendar : layout.calendar + layout.vectors * (self.vectors > 0)],
            columns[end - self.look_back :],
        ]
        reads, scale = np.concatenate(blocks), np.ones(sum(map(len, blocks)))
        scale[len(blocks[0]) : len(blocks[0]) + len(blocks[1])] = self.vectors
        if self.phases:
            means = [
                _phase_means(np.arange(1, p + 1), layout.lags, p, layout.lags) for p in self.phases
            ]
            rows = np.zeros((sum(map(len, means)), layout.size))
            rows[:, end - layout.lags :] = np.concatenate(means)
            reads = np.concatenate([np.eye(layout.size)[reads], rows])
            scale = np.concatenate([scale, np.ones(len(rows))])
        return reads, scale


def simple(periods: Sequence[int], lags: int, level: bool) -> list[Candidate]:
    """Candidates of a parameter or none; level: those that pull to the mean of all values, too."""
    seen = [p for p in periods if p <= lags]
    return [
        Persistence(),
        *(SeasonalNaive(p) for p in seen),
        *([Mean()] if level else []),
        Drift(),
        Smoothing(),
        *(PhaseMeans(p) for p in seen if 2 * p <= lags),
    ]


def ridges(periods: Sequence[int], lags: int, level: bool) -> list[Candidate]:
    """Regressions on the lags alone, those of few columns first; level: as in :func:`simple`."""
    seen = tuple(p for p in periods if 2 * p <= lags)
    found: list[Candidate] = [SimpleRegression(seen, level)]
    for look_back in look_backs(periods, lags):
        found += [LagRidge(look_back, True), *([LagRidge(look_back, False)] if level else [])]
        if seen and look_back < min(seen) * 2:
            found.append(LagRidge(look_back, True, phases=seen))
    return found


def look_backs(periods: Sequence[int], lags: int) -> list[int]:
    """Look-backs to choose from: 8, 24, 72, 216, 648, in whole seasons where they hold any."""
    found = set()
    for size in (8, 24, 72, 216, 648):
        season = max((p for p in periods if p <= 1.5 * size), default=1)
        found.add(season * max(1, round(size / season)))
    return sorted(size for size in found if size <= lags) or [lags]


def _last(steps: np.ndarray, lags: int) -> np.ndarray:
    rows = np.zeros((len(steps), lags))
    rows[:, -1] = 1.0
    return rows


def _smoothed(lags: int, newest: float, length: int | None = None) -> np.ndarray:
    """Weights (L,) of the lags, falling by ``1 - newest`` a step, within the last ``length``."""
    age = np.arange(lags)[::-1]
    weight = (1 - newest) ** age * (age < (length or lags))
    return weight / weight.sum()


def _phase_means(steps: np.ndarray, lags: int, period: int, seasons: int) -> np.ndarray:
    """Weights (m, L) of the lags in the mean of the last ``seasons`` values at a step's phase."""
    age = np.arange(lags)[::-1]
    alike = (age[None] + steps[:, None]) % period == 0
    newest = alike & (np.cumsum(alike[:, ::-1], axis=1)[:, ::-1] <= seasons)
    return newest / newest.sum(axis=1, keepdims=True)


def _of_lags(rows: np.ndarray, layout: Layout) -> Map:
    """The map whose weights of the lags are ``rows (m, L)``, without a bias."""
    before = np.zeros((layout.size - layout.lags, len(rows)))
    return Map(np.concatenate([before, rows.T]), np.zeros(len(rows)))


def _image(moments: Moments, reads: np.ndarray) -> Moments:
    """Moments of the combinations ``reads (q, d)`` of the columns."""
    return Moments(
        moments.rows,
        reads @ moments.x_mean,
        moments.y_mean,
        reads @ moments.xx @ reads.T,
        reads @ moments.xy,
        moments.yy,
    )

"""One forecaster of many series, in closed form: the moments of their windows add up.

    model = fit_global(series, horizon=28)        # pandas series, dated, of any lengths
    model.forecast(series[0])                     # (28,), in the units of that series
    model.quantiles(series[0], (0.1, 0.9))        # (28, 2)

Every series is scaled by itself. It may be another one than those of the fit, and as short as one
step: each number of lags that a history may fill has its own choice among the candidates of
:mod:`tsrep.forecasting.candidates`, made by rolling origins as in
:mod:`tsrep.forecasting.product`, with blocks of the same time for all series.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tspcrep.common.errors import UserError
from tspcrep.common.probes import Moments
from tsrep.datasets.calendar import calendar_features, season, second_harmonics
from tsrep.datasets.series import filled
from tsrep.forecasting.candidates import (
    Candidate,
    LagRidge,
    Layout,
    Map,
    Persistence,
    look_backs,
    map_of,
    ridges,
    simple,
)
from tsrep.forecasting.choice import LEAST_BLOCKS, Choice, choose
from tsrep.forecasting.global_windows import GlobalWindows, Group
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.moments import part
from tsrep.forecasting.periods import find_periods
from tsrep.forecasting.rolling import steps_of
from tsrep.forecasting.unit_root import returns_to_its_level

LONGEST = 336
"""Largest number of lags to read."""
_LOOKED_AT = 50
"""Series, the longest, in which periods and a level are looked for."""
_FEW = 8
"""Steps below which a series does not tell its own deviation."""


@dataclass(frozen=True, eq=False)
class Rung:
    """The forecast of a history of at least ``look_back`` steps.

    map: from [calendar of the last step (K), last values (look_back)], standardised, to (H,).
    spread: of its errors, standardised. choice: shares and errors of the candidates.
    """

    look_back: int
    map: Map
    spread: Spread
    choice: Choice | None


@dataclass(frozen=True, eq=False)
class GlobalForecaster:
    """A fitted forecaster of any series of one frequency, see :func:`fit_global`.

    horizon: H in steps. rungs: by rising look-back. relative: usual deviation of a series over its
    absolute mean, for those of less than 8 steps. times: the longest of the fit, whose frequency is
    that of the forecasts.
    """

    horizon: int
    rungs: tuple[Rung, ...]
    relative: float
    times: pd.Index

    def forecast(self, history: pd.Series) -> np.ndarray:
        """The H steps (H,) that follow a history of even steps; NaN are missing.

        Raises UserError for a history without a number, or with an infinite one.
        """
        return self._ahead(history)[0]

    def quantiles(self, history: pd.Series, levels: Sequence[float]) -> np.ndarray:
        """Quantiles (H, Q) of the following steps: the forecast and quantiles of its errors."""
        if any(not 0 < q < 1 for q in levels):
            raise UserError(f"quantiles: found {tuple(levels)}, expected numbers in (0, 1)")
        ahead, unit, rung = self._ahead(history)
        return ahead[:, None] + unit * rung.spread.quantiles(levels, self.horizon)[:, 0]

    def _ahead(self, history: pd.Series) -> tuple[np.ndarray, float, Rung]:
        known = trimmed(history)
        values = filled(known.to_numpy(np.float64)[:, None])[:, 0]
        mean, unit = _scale(values, self.relative)
        rung = next((r for r in self.rungs[::-1] if r.look_back <= len(values)), self.rungs[0])
        first = np.repeat(values[:1], max(0, rung.look_back - len(values)))
        lags = (np.concatenate([first, values])[-rung.look_back :] - mean) / (unit or 1.0)
        calendar = len(rung.map.weight) - rung.look_back
        # Some times beside the last tell its frequency.
        now = _calendar(self.times[-4:].append(known.index[-1:]))[-1, :calendar]
        x = np.concatenate([now, lags])
        return (x @ rung.map.weight + rung.map.bias) * unit + mean, unit, rung


def fit_global(series: Sequence[pd.Series], horizon: int) -> GlobalForecaster:
    """Choose and fit one forecaster to all series.

    The moments of a least-squares fit on the windows of all series are the sum of those of each, so
    that the cost hardly depends on the number of windows; series with the same times are summed at
    once.

    Parameters
    ----------
    series : with dates, or numbers of steps, that are even and of one frequency. Missing values are
        replaced by the last one before.
    horizon : H in steps.

    Raises UserError if no series holds a number, for an infinite one, or a horizon below 1.
    """
    if horizon < 1:
        raise UserError(f"horizon: found {horizon}, expected at least 1 step")
    usable = [trimmed(one) for one in series if one.notna().any()]
    if not usable:
        raise UserError("no series holds a number, expected some to fit a forecaster to")
    relative, times = _relative(usable), max((one.index for one in usable), key=len)
    periods, lags, level = _shape(usable)
    windows = GlobalWindows(_groups(usable, relative), lags, horizon)
    blocks = windows.blocks()
    early = GlobalWindows(
        _groups(usable, relative, blocks[0][0] if blocks else None), lags, horizon
    )
    blocks = [block for block in blocks if early.can_judge(block)]
    if len(blocks) < LEAST_BLOCKS:
        only = _persistence(usable, relative, horizon)
        return GlobalForecaster(horizon, (only,), relative, times)
    dated = windows.calendar > 0
    tried = {size: _candidates(periods, size, level, dated) for size in _sizes(periods, lags)}
    steps = steps_of((horizon,))
    chosen = _choices(early, blocks, tried, steps)
    moments = windows.moments(None, None)
    assert moments is not None  # a block that can be judged has a window before it
    rungs = []
    for size, candidates in tried.items():
        found = chosen[size]
        errors = -found.residuals
        spread = Spread.of(errors, np.arange(len(errors)), steps)
        whole = _fitted(windows, moments, size, candidates, found)
        rungs.append(Rung(size, whole, spread, found))
    return GlobalForecaster(horizon, tuple(rungs), relative, times)


def trimmed(one: pd.Series) -> pd.Series:
    """A series without missing values at its ends.

    Raises UserError where no number is left, or one is infinite.
    """
    values = one.to_numpy(np.float64)
    seen = np.flatnonzero(~np.isnan(values))
    if not len(seen):
        raise UserError(f"series {one.name!r} holds no number, expected at least one")
    if np.isinf(values).any():
        raise UserError(
            f"series {one.name!r} is infinite at {one.index[int(np.isinf(values).argmax())]}, "
            "expected a finite number, or NaN where it is missing"
        )
    return one.iloc[seen[0] : seen[-1] + 1]


def _choices(
    windows: GlobalWindows,
    blocks: Sequence[tuple[int, int | None]],
    tried: dict[int, list[Candidate]],
    steps: np.ndarray,
) -> dict[int, Choice]:
    """The choice for each number of lags."""
    errors: dict[int, list[list[np.ndarray]]] = {k: [[] for _ in c] for k, c in tried.items()}
    seen: Moments | None = None
    start: int | None = None
    sizes: list[int] = []
    for block in blocks:
        new = windows.moments(start, block[0])
        if new is not None:
            new = part(new, slice(None), steps - 1)
            seen = new if seen is None else seen + new
        assert seen is not None  # a block that can be judged has a window before it
        start = block[0]
        x, truth = windows.sampled(block, steps)
        sizes.append(len(x))
        for size, candidates in tried.items():
            columns = windows.columns(size)
            known, rows = part(seen, columns, slice(None)), x[:, columns]
            for candidate, own in zip(candidates, errors[size], strict=True):
                maps = candidate.maps(known, steps, windows.layout(size))
                ahead = np.stack([rows @ m.weight + m.bias for m in maps])
                own.append((ahead - truth)[..., None].astype(np.float32))
    block_of = np.repeat(np.arange(len(sizes)), sizes)
    return {
        size: choose(
            [c.name for c in candidates],
            [np.concatenate(own, axis=1) for own in errors[size]],
            block_of,
        )
        for size, candidates in tried.items()
    }


def _fitted(
    windows: GlobalWindows, moments: Moments, size: int, candidates: list[Candidate], choice: Choice
) -> Map:
    """The chosen blend, fitted to all windows."""
    known = part(moments, windows.columns(size), slice(None))
    steps, weight, bias = np.arange(1, windows.horizon + 1), np.zeros(()), np.zeros(())
    for candidate in candidates:
        share = choice.shares.get(candidate.name, 0.0)
        if share > 0:
            setting = choice.settings[candidate.name]
            own = map_of(candidate, setting, known, steps, windows.layout(size))
            weight, bias = weight + share * own.weight, bias + share * own.bias
    return Map(weight, bias)


def _candidates(periods: Sequence[int], size: int, level: bool, dated: bool) -> list[Candidate]:
    """Candidates that read ``size`` lags, simplest first; dated: at the end with the calendar."""
    found = [*simple(periods, size, level), *ridges(periods, size, level)]
    beside = [replace(c, calendar=True) for c in found if isinstance(c, LagRidge) and c.since_last]
    return [*found, *(beside if dated else [])]


def _sizes(periods: Sequence[int], lags: int) -> list[int]:
    """Numbers of lags that have a forecast of their own."""
    return sorted({2, *(size for size in look_backs(periods, lags) if size >= 2), lags})


def _shape(series: Sequence[pd.Series]) -> tuple[tuple[int, ...], int, bool]:
    """Periods, the number of lags, and whether the series return to a level."""
    lengths = sorted(map(len, series))
    usual = lengths[len(lengths) // 2]
    longest = sorted((one for one in series if len(one) >= usual), key=len)[-_LOOKED_AT:]
    table = np.stack([one.to_numpy(np.float64)[-usual:] for one in longest], axis=1)
    scaled = table - np.nanmean(table, axis=0)
    scaled = filled(scaled / np.maximum(np.nanstd(table, axis=0), 1e-12))
    periods = find_periods(scaled, usual // 3) if usual > 1 else ()
    known = season(longest[-1].index)
    if known and 2 <= known <= usual // 3 and known not in periods:
        periods = (known, *periods)
    lags = max(2, min(LONGEST, usual // 4), *(p for p in periods if p <= LONGEST))
    return periods, lags, returns_to_its_level(scaled, periods)


def _groups(series: Sequence[pd.Series], relative: float, stop: int | None = None) -> list[Group]:
    """Series with the same times, together, scaled by their rows before a time; all for None.

    Left out are those that are constant, or have no row, before it. What a series does later may be
    far larger: its unit is at least a tenth of the deviation of all its rows.
    """
    alike: dict[tuple, list[pd.Series]] = {}
    for one in series:
        alike.setdefault((len(one), one.index[0], one.index[-1]), []).append(one)
    groups = []
    for members in alike.values():
        index = members[0].index
        stamps = index.asi8 if isinstance(index, pd.DatetimeIndex) else index.to_numpy()
        rows = len(stamps) if stop is None else int(np.searchsorted(stamps, stop))
        raw = np.stack([one.to_numpy(np.float64) for one in members], axis=1)
        scales = [(*_scale(own[:rows], relative), np.nanstd(own)) for own in raw.T]
        mean, unit, whole = np.array(scales).T
        used = unit > 0
        unit = np.maximum(unit, 0.1 * whole)[used]
        if used.any():
            values = filled((raw[:, used] - mean[used]) / unit)
            groups.append(Group(stamps, values, ~np.isnan(raw[:, used]), _calendar(index)))
    return groups


def _persistence(series: Sequence[pd.Series], relative: float, horizon: int) -> Rung:
    """The last value, for series too short to choose by, with the spread of their steps."""
    moves = []
    for one in series:
        values = one.to_numpy(np.float64)
        moves.append(np.diff(values) / (_scale(values, relative)[1] or 1.0))
    found = np.concatenate(moves)
    found = found[~np.isnan(found)]
    errors = (found if len(found) else np.ones(1))[:, None, None]
    spread = Spread.of(errors, np.arange(len(errors)), np.array([1]))
    only = next(iter(Persistence().maps(None, np.arange(1, horizon + 1), Layout(0, 0, 1))))
    return Rung(1, only, spread, None)


def _scale(values: np.ndarray, relative: float) -> tuple[float, float]:
    """Mean and deviation of values (T,), NaN where missing; a constant has deviation 0.

    Of less than 8, the deviation is the usual one, or 1 where the mean is 0.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 0.0
    mean, deviation = float(known.mean()), float(known.std())
    if len(known) < _FEW:
        return mean, relative * abs(mean) or 1.0
    return mean, deviation if deviation > 1e-12 * abs(mean) else 0.0


def _relative(series: Sequence[pd.Series]) -> float:
    """Median of deviation over absolute mean, of series of at least 8 steps; 1 without any."""
    found = []
    for one in series:
        values = one.to_numpy(np.float64)
        mean = abs(float(np.nanmean(values)))
        if len(one) >= _FEW and mean > 0:
            found.append(float(np.nanstd(values)) / mean)
    return float(np.median(found)) if found else 1.0


def _calendar(index: pd.Index) -> np.ndarray:
    return second_harmonics(calendar_features(index)).astype(np.float64)

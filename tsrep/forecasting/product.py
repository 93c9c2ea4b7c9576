"""The product forecaster: one choice among simple forecasts, ridges and a representation.

Every candidate is a linear map of the window before an origin, and so is a blend of them. Each is
fitted on the rows before a block and forecasts that block, for several blocks of the train and
validation rows (rolling origins); :func:`tsrep.forecasting.choice.choose` then takes the simplest
within one standard error of the best, or a blend of those. The choice is fitted again on all these
rows. Where channels are positive and their changes grow with their level, all of this is done on a
logarithm, too, and the scale of less error is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tsrep.forecasting.candidates import (
    Candidate,
    LagRidge,
    Layout,
    Map,
    Persistence,
    ridges,
    simple,
)
from tsrep.forecasting.choice import LEAST_BLOCKS, Choice, helps, mean_squares
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.log_scale import LogScale, find_log_scale
from tsrep.forecasting.periods import find_periods
from tsrep.forecasting.probe import Columns, Inputs
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.rolling import Tried, Windows, blocks_of, fit, steps_of, within
from tsrep.forecasting.unit_root import returns_to_its_level

LONGEST = 720
"""Largest number of lags that a forecast reads, but for a longer period."""
_SCALES = (0.1, 0.3, 1.0)
"""Scales of the representation to choose from."""
LINEAR = "linear path"
"""Name of the choice without a representation, where that stands beside one."""
LOG = "log scale"
"""Name of the choice on a logarithm, beside that on the values as they are."""


@dataclass(frozen=True, eq=False)
class Product:
    """The fitted map of one horizon, as plain arrays.

        y_{t+h} - y_t = w_h' [lags - y_t ; vector ; calendar ; y_t] + b_h

    mean, deviation: (D,), of the vectors without their level. maps: weight (d, H) and bias (H,) per
    channel, or one pair for all. scale: of y, which is the logarithm in some channels.
    """

    ARRAYS: ClassVar = ("mean", "deviation", "weight", "bias", "scale")
    """Names of the arrays to save."""

    look_back: int
    mean: np.ndarray
    deviation: np.ndarray
    maps: list[tuple[np.ndarray, np.ndarray]]
    scale: LogScale

    @classmethod
    def of(cls, look_back: int, arrays: Mapping[str, np.ndarray]) -> "Product":
        """Build it from its :meth:`arrays`."""
        mean, deviation, weight, bias, scale = (arrays[name] for name in cls.ARRAYS)
        maps = list(zip(weight, bias, strict=True))
        return cls(look_back, mean, deviation, maps, LogScale(scale))

    @classmethod
    def from_maps(cls, maps: Sequence[Map], layout: Layout, vectors: Columns) -> "Product":
        """From maps of raw windows; lags without any weight are not read.

        vectors: the representation, which has no weight if the layout is without it.
        """
        calendar, beside = layout.calendar, layout.calendar + layout.vectors
        used = [np.flatnonzero(m.weight[beside:].any(axis=1)) for m in maps]
        first = min((int(u[0]) for u in used if len(u)), default=layout.lags - 1)
        found = []
        for weight, bias in maps:
            lags = weight[beside + first :]
            level = lags.sum(axis=0, keepdims=True) - 1  # as y_t is subtracted from all and added
            own = weight[calendar:beside] if layout.vectors else np.zeros((vectors.size, len(bias)))
            rows = [lags[:-1], own, weight[:calendar], level]
            found.append((np.concatenate(rows).astype(np.float32), bias.astype(np.float32)))
        scale = LogScale.identity(vectors.inputs.values.shape[1])
        return cls(layout.lags - first, vectors.mean, vectors.deviation, found, scale)

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies in float32, by the names of ``ARRAYS``: weight (maps, d, H), bias (maps, H)."""
        weight, bias = (np.stack(part) for part in zip(*self.maps, strict=True))
        found = (self.mean, self.deviation, weight, bias, self.scale.table)
        pairs = zip(self.ARRAYS, found, strict=True)
        return {name: np.array(array, dtype=np.float32) for name, array in pairs}

    def forecast(self, inputs: Inputs) -> Forecast:
        """The forecast from rows of ``inputs``, of this series or a continuation of it."""
        values = self.scale.forward(inputs.values).astype(np.float32)
        size = self.look_back
        # Before the first value, the first value: a lag of difference 0.
        first = np.repeat(values[:1], size - 1, axis=0)
        lags = sliding_window_view(np.concatenate([first, values]), size, axis=0)
        vectors = Columns(inputs, (self.mean, self.deviation))

        def forecast(starts: np.ndarray) -> np.ndarray:
            ahead = []
            for channel in range(values.shape[1]):
                last = values[starts, channel : channel + 1]
                columns = [
                    lags[starts, channel, :-1] - last,
                    vectors.standardised(channel, starts),
                    inputs.calendar[starts],
                    last,
                ]
                weight, bias = self.maps[channel if len(self.maps) > 1 else 0]
                ahead.append(np.concatenate(columns, axis=1) @ weight + bias + last)
            return self.scale.inverse(np.stack(ahead, axis=2))

        return forecast


@dataclass(frozen=True, eq=False)
class Fitted:
    """A product and how it was chosen.

    choice: among all candidates without a representation. above: between that, the ``linear path``,
    and ridges with the representation; None where there is none. starts: (N,), origins of the
    residuals of each choice, the last of them those of ``above``. steps: (m,), of the residuals.
    missed: (N, m, C), forecast less truth in blocks that it was not fitted on, on the scale of the
    values. scales: mean squared errors of what was chosen on each scale, {} where there is but one.
    """

    product: Product
    choice: Choice
    above: Choice | None
    starts: np.ndarray
    steps: np.ndarray
    missed: np.ndarray
    scales: dict[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the candidates by name, those of the linear path multiplied out."""
        found = _shares(self.choice, self.above)
        return {f"log, {name}": s for name, s in found.items()} if self._logarithmic else found

    @property
    def error(self) -> float:
        """Mean squared error of the chosen forecast on rows that it was not fitted on."""
        return float(np.nanmean(np.square(self.missed)))

    @property
    def by_block(self) -> np.ndarray:
        """Mean squared errors of the blocks (B,)."""
        block = self.decided.block
        return np.array([mean_squares(self.missed[None, block == b])[0] for b in np.unique(block)])

    @property
    def independent(self) -> float:
        """Number of blocks whose errors are as good as independent."""
        starts = self.starts[-len(self.missed) :]
        return (starts[-1] - starts[0]) / self.steps[-1] + 1

    @property
    def residuals(self) -> tuple[np.ndarray, np.ndarray]:
        """Truth less forecast (N, m, C) in blocks that it was not fitted on, and origins (N,).

        On the scale of the product.
        """
        found = self.decided.residuals
        return -found, self.starts[-len(found) :]

    @property
    def spread(self) -> Spread:
        """Distribution of the errors of the chosen forecast, on the scale of the product."""
        return Spread.of(*self.residuals, self.steps)

    @property
    def _logarithmic(self) -> bool:
        return bool(self.product.scale.used.any())

    @property
    def decided(self) -> Choice:
        """The choice whose forecast it is."""
        return _decided(self.choice, self.above)

    def table(self) -> dict[str, Any]:
        """The choice for ``result.json``: shares, and the error of each candidate."""
        errors = {} if self._logarithmic else dict(self.choice.errors)
        if self.above is not None:
            errors |= {f"{name}, validation rows": e for name, e in self.above.errors.items()}
        return {"shares": self.shares, "error": self.error, "errors": {**errors, **self.scales}}


def product(
    inputs: Inputs,
    horizons: Sequence[int],
    season: int | None = None,
    zero: np.ndarray | None = None,
) -> dict[int, Forecast]:
    """Forecasts of :func:`fit_product`."""
    fitted = fit_product(inputs, horizons, season, zero=zero)
    return {horizon: found.product.forecast(inputs) for horizon, found in fitted.items()}


def without_vectors(inputs: Inputs) -> Inputs:
    """The same inputs without a representation."""
    return replace(inputs, vectors=inputs.vectors[..., :0], level_channels=0)


def fit_product(
    inputs: Inputs,
    horizons: Sequence[int],
    season: int | None = None,
    longest: int = LONGEST,
    zero: np.ndarray | None = None,
) -> dict[int, Fitted]:
    """Choose and fit a forecast for each horizon, see the module's head.

    The representation, if ``inputs`` has one, was learned on train rows: it is judged on blocks of
    validation rows alone, beside what was chosen without it.

    Parameters
    ----------
    season : period in steps that is known, such as that of the calendar; others are found.
    longest : number of lags to read at most.
    zero : (C,), the standardised values that stand for 0 in the units of the data, where these have
        one; a logarithm is tried of channels that are positive.
    """
    plain = _fit(inputs, horizons, season, longest)
    if zero is None:
        return plain
    values = inputs.values[: inputs.split.valid.stop]
    scale = find_log_scale(values, zero, season)
    if not scale.used.any():
        return plain
    logs = replace(inputs, values=scale.forward(inputs.values).astype(np.float32))
    logged = _fit(logs, horizons, season, longest)
    return {h: _of_less_error(plain[h], logged[h], inputs.values, scale) for h in horizons}


def _of_less_error(plain: Fitted, logged: Fitted, values: np.ndarray, scale: LogScale) -> Fitted:
    """The fit on the values as they are, unless that on their logarithm helps."""
    starts = logged.starts[-len(logged.missed) :]
    truth = values[starts[:, None] + logged.steps].astype(np.float64)
    missed = scale.inverse(scale.forward(truth) + logged.missed) - truth
    logged = replace(logged, product=replace(logged.product, scale=scale), missed=missed)
    scales = {"as it is": plain.error, LOG: logged.error}
    return replace(logged if less_error(logged, plain) else plain, scales=scales)


def less_error(one: Fitted, other: Fitted) -> bool:
    """Whether a fit helps in place of another one, in the blocks that both have."""
    errors, others = one.by_block, other.by_block
    count = min(len(errors), len(others))
    gained = others[-count:] - errors[-count:]
    return count >= LEAST_BLOCKS and helps(gained, min(one.independent, other.independent))


def _fit(
    inputs: Inputs, horizons: Sequence[int], season: int | None, longest: int
) -> dict[int, Fitted]:
    """:func:`fit_product` on one scale."""
    rows = inputs.split.valid.stop - inputs.split.train.start
    periods = _periods(inputs, season, rows // 3)
    lags = max(2, min(longest, rows // 4), *(p for p in periods if p <= longest))
    windows, steps = Windows(without_vectors(inputs), lags), steps_of(horizons)
    blocks = blocks_of(windows, max(horizons))
    if len(blocks) < LEAST_BLOCKS:
        return {h: _persistence(inputs, windows, h) for h in horizons}
    tried = Tried(windows, blocks, steps)
    known = inputs.values[inputs.split.train.start : inputs.split.valid.stop]
    level = returns_to_its_level(known, periods)
    tried.add([*simple(periods, lags, level), *ridges(periods, lags, level)])
    tried.add(_variants(tried.best_ridge(horizons), windows))
    chosen = {h: tried.choose(h) for h in horizons}
    beside, late = Windows(inputs, lags), tried.late()
    vectors: Tried | None = None
    added: list[LagRidge] = []
    if beside.layout.vectors and late:
        base = replace(tried.best_ridge(horizons), phases=())
        vectors = Tried(beside, late, steps)
        added = [replace(base, vectors=scale) for scale in _SCALES]
        vectors.add(added)
    found = {}
    for h in horizons:
        linear, above = chosen[h], None
        if vectors:
            above = vectors.choose(h, {LINEAR: linear.chosen[-len(vectors.starts) :]})
        shares = _shares(linear, above)
        settings = {**linear.settings, **(above.settings if above else {})}
        candidates: list[Candidate] = [*tried.candidates, *added]
        parts = [(c, settings[c.name], shares[c.name]) for c in candidates if c.name in shares]
        reads = beside if any(c.name in shares for c in added) else windows
        maps = fit(reads, parts, h)
        fitted = Product.from_maps(maps, reads.layout, beside.vectors)
        own = steps[within(steps, h)]
        missed = _decided(linear, above).residuals
        found[h] = Fitted(fitted, linear, above, tried.starts, own, missed, {})
    return found


def _periods(inputs: Inputs, season: int | None, longest: int) -> tuple[int, ...]:
    known = inputs.values[inputs.split.train.start : inputs.split.valid.stop]
    found = find_periods(known, longest)
    if season and 2 <= season <= longest and season not in found:
        return (season, *found)
    return found


def _variants(base: LagRidge, windows: Windows) -> list[LagRidge]:
    """The ridge with the calendar, and one for each channel, where there are such."""
    calendar = (False, True) if windows.layout.calendar else (False,)
    apart = (False, True) if windows.channels > 1 else (False,)
    found = [replace(base, calendar=c, apart=a) for a in apart for c in calendar]
    return [one for one in found if one != base]


def _persistence(inputs: Inputs, windows: Windows, horizon: int) -> Fitted:
    """The last value, for a series too short to choose by; its errors are those of all rows."""
    split, only = inputs.split, Persistence()
    rows = split.valid.stop - split.train.start
    steps = steps_of((max(1, min(horizon, rows // 2)),))
    starts = np.arange(split.train.start, max(split.train.start + 1, split.valid.stop - steps[-1]))
    residuals = np.zeros((1, len(steps), windows.channels))
    if rows > 1:
        residuals = inputs.values[starts, None] - windows.ahead(starts, steps)
    error = float(np.nanmean(np.square(residuals)))
    one, none = {only.name: 1.0}, {only.name: 0}
    choice = Choice(
        one,
        none,
        {only.name: error},
        {only.name: 0},
        residuals,
        residuals,
        np.zeros(len(residuals), dtype=int),
    )
    maps = list(only.maps(None, np.arange(1, horizon + 1), windows.layout))
    fitted = Product.from_maps(maps, windows.layout, Columns(inputs))
    return Fitted(fitted, choice, None, starts, steps, residuals, {})


def _shares(linear: Choice, above: Choice | None) -> dict[str, float]:
    """Shares by name, those of the linear path multiplied out."""
    if above is None:
        return linear.shares
    path = above.shares.get(LINEAR, 0.0)
    shares = {name: path * share for name, share in linear.shares.items()} if path else {}
    return {**shares, **{n: s for n, s in above.shares.items() if n != LINEAR}}


def _decided(linear: Choice, above: Choice | None) -> Choice:
    """The choice whose forecast is taken."""
    return linear if above is None or above.shares.keys() == {LINEAR} else above

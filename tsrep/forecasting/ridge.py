"""The product forecaster in closed form: a linear path from the lags, a representation on top.

Normalised lags, calendar and level are the inputs of the best simple models. The vectors of an
encoder are added to them, and are used where they lower the error on validation rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tspcrep.common.probes import Moments, RidgeModel, RidgePath
from tsrep.datasets.series import Series, filled
from tsrep.forecasting.probe import FREE, Columns, Inputs, moments_ahead
from tsrep.forecasting.protocol import Forecast

T = TypeVar("T")
PRODUCT_PENALTIES = tuple(10.0 ** np.arange(-1, 5.5, 0.5))
OFF = 1e-3
"""Scale of a block of columns that is left out: it multiplies their penalty by a million."""
_SHARPNESS = 0.05
"""A setting whose validation error is 5 % above the least has 1/e of its weight."""
# Something is used if the validation error with it, over that without it, is below:
_CLEARLY = 0.98  # for the level
_SEASONAL = 0.95  # for the calendar, to call a series seasonal
_HELPS = 0.99  # for the effect of known inputs


@dataclass(frozen=True)
class _Setting:
    """A choice of column blocks for the product, and of maps per channel or shared."""

    calendar: bool
    level: bool  # whether the level may pull the forecast back to the (seasonal) mean
    by_channel: bool  # one ridge per channel, or one for all


def product(
    inputs: Inputs,
    horizons: Sequence[int],
    look_back: int = 336,
    representation: Sequence[float] = (OFF, 0.3),
) -> dict[int, Forecast]:
    """A ridge on last-value-normalised lags, representation, calendar and level.

        y_{t+h} - y_t = w_h' [lags - y_t ; s r(t) ; calendar ; level]

    Parameters
    ----------
    look_back : lags of the linear path.
    representation : scales s of the standardised representation to choose from. A ridge penalises
        a block of scale s by 1/s^2; ``OFF`` leaves the linear path alone, from which the forecaster
        therefore starts.

    For each setting, scale and penalty with the least validation error are taken; the forecast is
    the mean over settings, weighted by ``exp(-(error / least error - 1) / .05)``. A mean of
    linear maps is one linear map.

    The level may pull a forecast back to the mean only where that lowers the validation error by
    2 %, and only for seasonal series, whose validation error the calendar lowers by 5 %. Other
    series may drift, and then a mean of train rows is misleading even if it happens to help on
    validation rows.
    """
    fitted = fit_product(inputs, horizons, look_back, representation)
    return {horizon: found.forecast(inputs) for horizon, found in fitted.items()}


def linear_look_back(series: Series) -> int:
    """Lags of the linear path: 336 (two weeks of hours), at most an eighth of the train rows."""
    return min(336, max(2, (series.split.train.stop - series.split.train.start) // 8))


@dataclass(frozen=True, eq=False)
class Product:
    """The fitted product forecaster of one horizon, as plain arrays.

    mean, deviation: (D,), of the vectors without their level. maps: weight (d, H) and bias (H,) per
    channel, or one pair for all.
    """

    ARRAYS: ClassVar = ("mean", "deviation", "weight", "bias")
    """Names of the arrays to save."""

    look_back: int
    mean: np.ndarray
    deviation: np.ndarray
    maps: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, look_back: int, arrays: Mapping[str, np.ndarray]) -> "Product":
        """Build it from its :meth:`arrays`."""
        mean, deviation, weight, bias = (arrays[name] for name in cls.ARRAYS)
        return cls(look_back, mean, deviation, list(zip(weight, bias, strict=True)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies in float32, by the names of ``ARRAYS``: weight (maps, d, H), bias (maps, H)."""
        weight, bias = (np.stack(part) for part in zip(*self.maps, strict=True))
        found = (self.mean, self.deviation, weight, bias)
        pairs = zip(self.ARRAYS, found, strict=True)
        return {name: np.array(array, dtype=np.float32) for name, array in pairs}

    def forecast(self, inputs: Inputs) -> Forecast:
        """The forecast from rows of ``inputs``, of this series or a continuation of it."""
        design = _Design(inputs, self.look_back, (self.mean, self.deviation))
        return lambda starts: design.forecast(self.maps, starts)


def fit_product(
    inputs: Inputs,
    horizons: Sequence[int],
    look_back: int = 336,
    representation: Sequence[float] = (OFF, 0.3),
    refit: bool = False,
) -> dict[int, Product]:
    """Fit :func:`product`; returns a :class:`Product` per horizon, which forecasts later rows too.

    refit: fit the chosen settings again, on train and validation rows together.
    """
    design = _Design(inputs, look_back)
    found = _maps(design, horizons, representation, refit)
    standard = design.vectors.mean, design.vectors.deviation
    return {horizon: Product(look_back, *standard, maps) for horizon, maps in found.items()}


def _effect_of(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes (F, C) of ``values (T, C)`` on ``known (T, F)``, both standardised.

    A ridge of penalty 1 on the changes from row to row, because levels that drift together would
    look like an effect. Missing values are replaced by the last one seen.
    """
    x, y = np.diff(known, axis=0), np.diff(filled(values), axis=0)
    return np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)


def fit_beside(
    fit: Callable[[np.ndarray], tuple[T, float]],
    values: np.ndarray,
    known: np.ndarray,
    train: slice,
) -> tuple[T, np.ndarray]:
    """Fit a model to ``values (T, C)``, less the linear effect of ``known (T, F)`` if that helps.

    fit : maps values to a model and its validation error. Returns the model and the effect (F, C),
    which is zero unless removing it lowers the error by 1 %.
    """
    effect = _effect_of(known[train], values[train])
    plain, error = fit(values)
    beside, least = fit((values - known @ effect).astype(np.float32))
    if least < _HELPS * error:
        return beside, effect
    return plain, np.zeros_like(effect)


def _maps(
    design: "_Design",
    horizons: Sequence[int],
    representation: Sequence[float],
    refit: bool = False,
) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    """For each horizon, one map per channel, or one for all."""
    fits: dict[int, dict[_Setting, list[_Fit]]] = {
        horizon: {setting: [] for setting in design.settings()} for horizon in horizons
    }

    def add(parts: list[list[Moments]], by_channel: bool) -> None:
        for horizon, *moments in zip(horizons, *parts, strict=True):
            for setting, found in fits[horizon].items():
                if setting.by_channel == by_channel:
                    found.append(_fit(design, setting, representation, *moments))

    total: list[list[Moments]] = []
    for channel in range(design.channels):
        parts = design.moments(channel, horizons, refit)
        add(parts, by_channel=True)
        total = _sum(total, parts) if total else parts
    add(total, by_channel=False)
    return {horizon: _average(_admitted(found)) for horizon, found in fits.items()}


@dataclass(frozen=True, eq=False)
class _Fit:
    error: float  # validation MSE
    model: RidgeModel


class _Design:
    """The columns [lags - last | representation | calendar | level] of a channel."""

    def __init__(
        self,
        inputs: Inputs,
        look_back: int,
        standard: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self.inputs, self.channels = inputs, inputs.values.shape[1]
        self.values = inputs.values.astype(np.float32)
        self.vectors = Columns(inputs, standard)
        # Before the first value, the first value: a lag of difference 0.
        first = np.repeat(self.values[:1], look_back - 1, axis=0)
        self.lags = sliding_window_view(np.concatenate([first, self.values]), look_back, axis=0)
        self.sizes = [look_back - 1, self.vectors.size, inputs.calendar.shape[1], 1]

    def settings(self) -> list[_Setting]:
        combinations = [(False, False)]
        if self.inputs.calendar.shape[1]:
            combinations += [(True, False), (True, True)]
        by_channel = (False, True) if self.channels > 1 else (False,)
        return [_Setting(*pair, each) for pair in combinations for each in by_channel]

    def columns(self, channel: int, rows: slice | np.ndarray) -> np.ndarray:
        """(n, d) of the origins ``rows``."""
        last = self.values[rows, channel : channel + 1]
        return np.concatenate(
            [
                self.lags[rows, channel, :-1] - last,
                self.vectors.standardised(channel, rows),
                self.inputs.calendar[rows],
                last,
            ],
            axis=1,
        )

    def moments(
        self, channel: int, horizons: Sequence[int], refit: bool = False
    ) -> list[list[Moments]]:
        """Moments of train rows, validation rows and, with ``refit``, both joined, by horizon."""
        own = self.values[:, channel : channel + 1]
        split = self.inputs.split
        start = split.train.start + self.sizes[0]  # all lags are there
        parts = [slice(start, split.train.stop), split.valid]
        if refit:
            parts.append(slice(start, split.valid.stop))
        return [
            moments_ahead(self.columns(channel, rows), own[rows], horizons, base=True)
            for rows in parts
        ]

    def scales(self, setting: _Setting, representation: float) -> np.ndarray:
        blocks = [
            1.0,
            representation,
            1.0 if setting.calendar else OFF,
            FREE if setting.level else OFF,
        ]
        return np.repeat(blocks, self.sizes)

    def forecast(self, maps: list[tuple[np.ndarray, np.ndarray]], starts: np.ndarray) -> np.ndarray:
        parts = []
        for channel in range(self.channels):
            weight, bias = maps[channel if len(maps) > 1 else 0]
            ahead = self.columns(channel, starts) @ weight + bias
            parts.append(ahead + self.values[starts, channel : channel + 1])
        return np.stack(parts, axis=2)


def _fit(
    design: _Design,
    setting: _Setting,
    representation: Sequence[float],
    train: Moments,
    valid: Moments,
    whole: Moments | None = None,
) -> _Fit:
    """The fit with the scale of the representation and the penalty of least validation error.

    whole: moments of the rows to fit it on again.
    """

    def candidates() -> Iterator[_Fit]:
        for scale in representation:
            path = RidgePath(train, design.scales(setting, scale))
            errors = path.mse(valid, PRODUCT_PENALTIES)
            k = int(errors.argmin())
            yield _Fit(float(errors[k]), path.model(PRODUCT_PENALTIES[k]))

    best = min(candidates(), key=lambda fit: fit.error)
    if whole is None:
        return best
    return _Fit(best.error, RidgePath(whole, best.model.scale).model(best.model.alpha))


def _admitted(fits: dict[_Setting, list[_Fit]]) -> dict[_Setting, list[_Fit]]:
    """The settings with the level if it may be used, see :func:`product`, else those without."""

    def least(calendar: bool, level: bool) -> float:
        found = [f for s, f in fits.items() if (s.calendar, s.level) == (calendar, level)]
        return min(map(_error, found), default=np.inf)

    seasonal = least(True, False) < _SEASONAL * least(False, False)
    level = seasonal and least(True, True) < _CLEARLY * least(True, False)
    return {setting: found for setting, found in fits.items() if setting.level == level}


def _average(fits: dict[_Setting, list[_Fit]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The mean map over settings, (weight (d, H), bias (H,)), per channel or one for all."""
    errors = np.array([_error(found) for found in fits.values()])
    errors = errors + 1e-12  # a series may be forecast without any error
    shares = np.exp(-(errors / errors.min() - 1) / _SHARPNESS)
    shares /= shares.sum()
    maps = []
    for channel in range(max(len(found) for found in fits.values())):
        models = [found[channel if len(found) > 1 else 0].model for found in fits.values()]
        weight = sum(s * m.weight for s, m in zip(shares, models, strict=True))
        bias = sum(s * m.bias for s, m in zip(shares, models, strict=True))
        maps.append((weight.astype(np.float32), bias.astype(np.float32)))
    return maps


def _error(found: list[_Fit]) -> float:
    return float(np.mean([fit.error for fit in found]))


def _sum(first: list[list[Moments]], second: list[list[Moments]]) -> list[list[Moments]]:
    return [
        [a + b for a, b in zip(old, new, strict=True)]
        for old, new in zip(first, second, strict=True)
    ]

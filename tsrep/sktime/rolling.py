"""Forecasts of any length from the product forecaster, applied recursively in blocks of steps."""

import math
from dataclasses import dataclass

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Split, filled
from tsrep.datasets.windows import targets
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.forecasting.baselines import DROP
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.ridge import Product, fit_product

LEAST_ROWS = 8
"""Rows below which nothing is fitted: the forecast is then the last value."""


@dataclass(frozen=True)
class Plan:
    """How the rows of a series are divided for fitting.

    split: train and validation rows; test is empty. look_back: lags of the linear path. block:
    steps forecast at once; longer horizons are forecast recursively.
    """

    split: Split
    look_back: int
    block: int


def plan(rows: int, horizon: int, look_back: int | None) -> Plan:
    """The plan for a series of ``rows`` rows, which may be short.

    A block is the horizon, but at most an eighth of the rows. Validation is a sixth of the rows
    plus a block. The look-back is at most a quarter of the rows, by default up to 336.
    """
    if look_back is not None and look_back < 1:
        raise UserError(f"look_back: found {look_back}, expected at least 1 lag")
    block = max(1, min(horizon, rows // 8))
    start = rows - (block + max(1, rows // 6))
    lags = max(1, min(look_back or 336, rows // 4))
    return Plan(Split(slice(0, start), slice(start, rows), slice(rows, rows)), lags, block)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A fitted forecaster of a standardised series in blocks of steps, with its error quantiles.

    spread: distribution of the errors on validation rows. window: steps that the encoder sees, None
    for its whole receptive field.
    """

    encoder: Encoder
    window: int | None
    product: Product
    spread: Spread

    @property
    def error(self) -> float:
        """Mean squared error on validation rows."""
        return float(np.mean(self.spread.deviation**2))

    def forecast(self, values: np.ndarray, calendar: np.ndarray, steps: int) -> np.ndarray:
        """The next ``steps`` after ``values (T, C)``, NaN where missing: (steps, C) float64.

        calendar: (T + steps, K). After the first block, earlier forecasts take the place of values.
        """
        rows = len(values)
        while len(values) < rows + steps:
            ahead = self._block(values, calendar[: len(values)])
            values = np.concatenate([values, ahead.astype(values.dtype)])
        return values[rows : rows + steps].astype(np.float64)

    def _block(self, values: np.ndarray, calendar: np.ndarray) -> np.ndarray:
        """The next block (block, C)."""
        lags = self.product.look_back
        last = _last_vectors(self.encoder, values, self.window)  # (C or 1, 1, D)
        inputs = Inputs(
            filled(values)[-lags:].astype(np.float32),
            np.repeat(last, lags, axis=1),
            calendar[-lags:],
            Split(slice(0, lags), slice(lags, lags), slice(lags, lags)),
            self.encoder.level_channels,
        )
        return self.product.forecast(inputs)(np.array([lags - 1]))[0]


def fit_blocks(
    encoder: Encoder, values: np.ndarray, calendar: np.ndarray, plan: Plan, window: int
) -> Blocks:
    """Fit the product forecaster to a standardised series.

    values: (T, C), NaN where missing. calendar: (T, K). window: maximal number of steps that a
    Transformer sees; other encoders see their whole receptive field. Maps fitted on train rows give
    the errors on validation rows, by which penalties and scales are chosen; the final maps are
    fitted to all rows.
    """
    seen = min(window, len(values)) if encoder.memory_grows else None
    if len(values) < LEAST_ROWS:
        return _persistence(encoder, values, calendar, seen)
    complete = filled(values).astype(np.float32)
    train, valid = plan.split.train, plan.split.valid
    reach = encoder.receptive_field
    drop = min(max(DROP, reach if math.isfinite(reach) else window), train.stop // 4)
    inputs = Inputs(
        complete,
        _vectors(encoder, values, seen),
        calendar,
        plan.split,
        encoder.level_channels,
        drop,
    )
    block = plan.block
    tried = fit_product(inputs, (block,), plan.look_back)[block]
    starts = slice(valid.start, valid.stop - block)
    ahead = tried.forecast(inputs)(np.arange(starts.start, starts.stop))
    errors = targets(values, starts, block) - ahead  # (n, block, C), NaN where missing
    product = fit_product(inputs, (block,), plan.look_back, refit=True)[block]
    return Blocks(encoder, seen, product, Spread.of(errors))


def _vectors(encoder: Encoder, values: np.ndarray, window: int | None) -> np.ndarray:
    """Vectors of each step of ``values (T, C)``: (C, T, D), or (1, T, D) if channels are joint."""
    return encode(encoder, np.concatenate(encoder.apart(values[None])), window=window)


def _last_vectors(encoder: Encoder, values: np.ndarray, window: int | None) -> np.ndarray:
    """The last of :func:`_vectors`, (C or 1, 1, D), computed from the rows it depends on."""
    reach = window or encoder.receptive_field
    if math.isfinite(reach):
        values = values[-reach:]
    if window:  # as the windows of ``encode`` begin: missing values before the first
        values = np.pad(values, [(window - len(values), 0), (0, 0)], constant_values=np.nan)
    return _vectors(encoder, values, None)[:, -1:]


def _persistence(
    encoder: Encoder, values: np.ndarray, calendar: np.ndarray, window: int | None
) -> Blocks:
    """The forecaster that repeats the last value."""
    level = encoder.level_channels
    size = encoder.dim - level
    nothing = np.zeros((size + calendar.shape[1] + 1, 1), dtype=np.float32)
    maps = [(nothing, np.zeros(1, dtype=np.float32))]
    standard = np.zeros(size, dtype=np.float32), np.ones(size, dtype=np.float32)
    errors = np.diff(filled(values), axis=0)[:, None]  # (T - 1, 1, C)
    return Blocks(encoder, window, Product(1, *standard, maps), Spread.of(errors))

"""Forecasts of any length from the product forecaster, applied recursively in blocks of steps."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Split, filled
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.forecasting.baselines import DROP
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.product import LONGEST, Fitted, Product, fit_product, less_error


@dataclass(frozen=True)
class Plan:
    """How the rows of a series are divided for fitting.

    split: train and validation rows; test is empty. look_back: most lags to read, None for the
    default. block: steps forecast at once; longer horizons are forecast recursively.
    """

    split: Split
    look_back: int | None
    block: int


def plan(rows: int, horizon: int, look_back: int | None) -> Plan:
    """The plan for a series of ``rows`` rows, which may be short.

    A block is the horizon, but at most a quarter of the rows. Validation, on which the encoder is
    judged, is a sixth of the rows plus a block.
    """
    if look_back is not None and look_back < 1:
        raise UserError(f"look_back: found {look_back}, expected at least 1 lag")
    block = max(1, min(horizon, rows // 4))
    start = max(1, rows - (block + max(1, rows // 6)))
    return Plan(Split(slice(0, start), slice(start, rows), slice(rows, rows)), look_back, block)


@dataclass(frozen=True, eq=False)
class Blocks:
    """A fitted forecaster of a standardised series in blocks of steps, with its error quantiles.

    window: steps that the encoder sees, None for its whole receptive field. spread: distribution of
    its errors on rows that it was not fitted on, on the scale of the product. fitted: how it was
    chosen.
    """

    encoder: Encoder
    window: int | None
    fitted: Fitted
    spread: Spread

    @property
    def product(self) -> Product:
        return self.fitted.product

    @property
    def choice(self) -> dict[str, Any]:
        """See :meth:`tsrep.forecasting.product.Fitted.table`."""
        return self.fitted.table()

    def less_error(self, other: "Blocks") -> bool:
        """Whether it is to be taken in place of another one, by rows that neither was fitted on."""
        return less_error(self.fitted, other.fitted)

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
    encoder: Encoder,
    values: np.ndarray,
    calendar: np.ndarray,
    plan: Plan,
    window: int,
    season: int | None = None,
    zero: np.ndarray | None = None,
) -> Blocks:
    """Choose and fit the product forecaster of a standardised series.

    values: (T, C), NaN where missing. calendar: (T, K). window: maximal number of steps that a
    Transformer sees; other encoders see their whole receptive field. season: in steps. zero: see
    :func:`tsrep.forecasting.product.fit_product`.
    """
    seen = min(window, len(values)) if encoder.memory_grows else None
    reach = encoder.receptive_field
    drop = min(max(DROP, reach if math.isfinite(reach) else window), plan.split.train.stop // 4)
    inputs = Inputs(
        filled(values).astype(np.float32),
        _vectors(encoder, values, seen),
        calendar,
        plan.split,
        encoder.level_channels,
        drop,
        ~np.isnan(values),
    )
    longest = plan.look_back or LONGEST
    found = fit_product(inputs, (plan.block,), season, longest, zero)[plan.block]
    return Blocks(encoder, seen, found, found.spread)


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

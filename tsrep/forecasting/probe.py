"""Forecasts from a frozen representation alone: the protocol of TS2Vec, CoST and AutoTCL.

:mod:`tsrep.forecasting.product` chooses among forecasts, for use in practice. Both return a
:data:`tsrep.forecasting.protocol.Forecast` and make every choice on validation rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tspcrep.common.probes import (
    PENALTIES,
    Moments,
    RidgeModel,
    choose_scaled_ridge,
    nested_moments,
)
from tsrep.datasets import Split
from tsrep.datasets.windows import targets
from tsrep.forecasting.baselines import DROP
from tsrep.forecasting.protocol import Forecast

FREE = 10.0
"""Scale of columns that the penalty should hardly touch."""
FAINT = 0.1
"""Scale of columns that are to have little weight."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a readout: arrays on the same T rows of a series.

    values: (T, C), standardised, without NaN. vectors: (C, T, D), or (1, T, D) if all channels
    share them. calendar: (T, K). level_channels: how many of the last of the D carry the level.
    drop: first train rows to leave out, for want of context. seen: (T, C), which values are no
    replacement of a missing one; None for all.
    """

    values: np.ndarray
    vectors: np.ndarray
    calendar: np.ndarray
    split: Split
    level_channels: int = 0
    drop: int = DROP
    seen: np.ndarray | None = None

    @property
    def train(self) -> slice:
        """Train rows to forecast from, without the first ``drop``."""
        return slice(self.split.train.start + self.drop, self.split.train.stop)

    def of_channel(self, channel: int) -> np.ndarray:
        return self.vectors[channel if len(self.vectors) > 1 else 0]

    def level(self, channel: int, rows: slice | np.ndarray) -> np.ndarray:
        """The last columns of the vectors (n, level_channels), which carry the level."""
        return self.of_channel(channel)[rows, self.vectors.shape[2] - self.level_channels :]


class Columns:
    """The vectors without their level, standardised on train rows or by ``standard``."""

    def __init__(self, inputs: Inputs, standard: tuple[np.ndarray, np.ndarray] | None = None):
        self.inputs = inputs
        self.size = inputs.vectors.shape[2] - inputs.level_channels
        self.mean, self.deviation = standard or self._of_train_rows()

    def _of_train_rows(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate(self.inputs.vectors[:, self.inputs.train, : self.size])
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean, rows.std(axis=0, dtype=np.float64).astype(np.float32) + 1e-6

    def standardised(self, channel: int, rows: slice | np.ndarray) -> np.ndarray:
        return (self.inputs.of_channel(channel)[rows, : self.size] - self.mean) / self.deviation


def probe(
    inputs: Inputs, horizons: Sequence[int], alphas: Sequence[float] = PENALTIES
) -> dict[int, Forecast]:
    """A ridge per channel from the vector and the calendar of the origin to the next values.

    The penalty, one of the papers' 13, and the scale of the calendar, ``FREE`` or ``FAINT``, are
    those of least sqrt(MSE) + MAE on validation rows. The papers feed the calendar to the encoder;
    here it is given to the ridge, in every system alike. Vectors are standardised on train rows;
    the level is scaled by ``FREE``, so that the penalty hardly touches it.
    """
    columns, valid = Columns(inputs), inputs.split.valid
    sizes = [columns.size, inputs.level_channels, inputs.calendar.shape[1]]
    scales = [np.repeat([1.0, FREE, calendar], sizes) for calendar in (FREE, FAINT)]
    models: dict[int, list[RidgeModel]] = {horizon: [] for horizon in horizons}

    def design(channel: int, rows: slice | np.ndarray) -> np.ndarray:
        beside = [inputs.level(channel, rows), inputs.calendar[rows]]
        return np.concatenate([columns.standardised(channel, rows), *beside], axis=1)

    for channel in range(inputs.values.shape[1]):
        own = inputs.values[:, channel : channel + 1]
        moments = _moments_ahead(design(channel, inputs.train), own[inputs.train], horizons)
        for horizon, moment in zip(horizons, moments, strict=True):
            rows = slice(valid.start, valid.stop - horizon)
            x, labels = design(channel, rows), targets(own, rows, horizon)[..., 0]
            models[horizon].append(choose_scaled_ridge(moment, x, labels, scales, alphas))

    def forecast(horizon: int, starts: np.ndarray) -> np.ndarray:
        ahead = [model.predict(design(c, starts)) for c, model in enumerate(models[horizon])]
        return np.stack(ahead, axis=2)

    return {h: partial(forecast, h) for h in horizons}


def _moments_ahead(x: np.ndarray, own: np.ndarray, horizons: Sequence[int]) -> list[Moments]:
    """Moments of ``x (n, d)`` with the next values of ``own (n, 1)`` inside the same n rows."""
    starts = [slice(0, len(own) - horizon) for horizon in horizons]
    return nested_moments(
        x, [targets(own, s, h)[..., 0] for s, h in zip(starts, horizons, strict=True)]
    )

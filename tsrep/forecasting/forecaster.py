"""The forecaster that a user runs, chosen from simple ones to a network's vectors.

    model = load_forecaster("runs/etth1")
    model.predict(history, times)                        # (T, C) in the data's units -> (H, C)
    model.predict_quantiles(history, (0.1, 0.9), times)  # (H, C, 2)

It is fitted by :func:`tsrep.forecasting.fitting.fit_forecaster`, and saved and loaded by
:mod:`tsrep.forecasting.files`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import calendar_features, second_harmonics
from tsrep.datasets.histories import even_history
from tsrep.datasets.series import Scaler, Split, filled
from tsrep.forecasting.exogenous import with_effect
from tsrep.forecasting.intervals import LEVELS, Spread
from tsrep.forecasting.log_scale import LogScale
from tsrep.forecasting.network import Forecaster, median, predictions, width
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.product import Product
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.task import (
    ForecastData,
    Names,
    Task,
    network_forecasts,
    window_vectors,
    windows_ending_at,
)


class SeriesForecaster(nn.Module):
    """A forecaster that :func:`tsrep.forecasting.fitting.fit_forecaster` fitted to one series.

        product: y_{t+h} - u = y_t - u + w_h' [lags ; s network(window) ; calendar ; level] + b_h
        alone:   y = network(window)

    u is the linear effect of the inputs that are known ahead.

    names: columns that are forecast and read. scalers: of the series, and of [known, past].
    horizons: steps, rising; a forecast may be of any length up to the longest, and is cut from that
    of the next longer horizon. products: by horizon, {} if the network forecasts alone. calendar:
    K, number of calendar features that the products read.

    choices: by horizon, the shares of what was chosen and the errors of all candidates, see
    :meth:`tsrep.forecasting.product.Fitted.table`; {} if the network forecasts alone.
    """

    effect: Tensor

    def __init__(
        self,
        names: Names,
        scalers: tuple[Scaler, Scaler],
        horizons: Sequence[int],
        network: Forecaster,
        products: dict[int, Product],
        calendar: int,
    ):
        super().__init__()
        self.names = names
        self.scaler, self.inputs_scaler = scalers
        self.horizons, self.calendar = tuple(horizons), calendar
        self.network = network
        channels = len(names.columns)
        paths = {str(h): _Path(h, channels, products.get(h)) for h in self.horizons}
        self.paths = nn.ModuleDict(paths)
        self.register_buffer("effect", torch.zeros(len(names.known), channels))
        self.choices: dict[str, dict[str, Any]] = {}

    @property
    def alone(self) -> bool:
        """Whether the network forecasts without a product."""
        return all(self.path(h).look_back is None for h in self.horizons)

    @property
    def look_back(self) -> int:
        """Number of steps of history that a forecast reads."""
        read = (self.path(h).look_back or 0 for h in self.horizons)
        return max(self.network.config.steps, *read)

    def path(self, horizon: int) -> "_Path":
        """The fitted arrays that serve a horizon."""
        found = self.paths[str(next(h for h in self.horizons if h >= horizon))]
        assert isinstance(found, _Path)
        return found

    def forecasts(self, data: ForecastData, rows: slice | None = None) -> dict[int, Forecast]:
        """Standardised forecasts of every horizon from all origins of ``rows`` (default: test)."""
        task = data.task(self.horizons)
        rows = rows or task.split.test
        if self.alone:
            return network_forecasts(self.network, task, rows)
        vectors = window_vectors(self.network, task, rows)
        return {h: self._product_forecast(h, task, data.calendar, vectors) for h in self.horizons}

    def predict(
        self,
        history: np.ndarray,
        times: pd.DatetimeIndex | None = None,
        horizon: int | None = None,
        known: np.ndarray | None = None,
        past: np.ndarray | None = None,
    ) -> np.ndarray:
        """The next values (H, C), in the data's units.

        Parameters
        ----------
        history : (T, C), T at least ``look_back``, NaN where missing; columns ``names.columns``.
        times : (T,), of the history; required if the fitted series had timestamps.
        horizon : H in steps, the longest by default.
        known : (T + H, F), columns ``names.known``, of the history and of the steps to forecast.
        past : (T, E), columns ``names.past``.

        Raises
        ------
        UserError
            The horizon is beyond the longest; the number of columns is another; the history is too
            short; an input is missing; times have another frequency.
        """
        horizon = self._horizon(horizon)
        ahead, _ = self._ahead(history, times, horizon, known, past)
        return self.scaler.inverse(ahead)

    def predict_quantiles(
        self,
        history: np.ndarray,
        quantiles: Sequence[float],
        times: pd.DatetimeIndex | None = None,
        horizon: int | None = None,
        known: np.ndarray | None = None,
        past: np.ndarray | None = None,
    ) -> np.ndarray:
        """Quantiles (H, C, Q) of the next values, in the data's units, Q in the order asked for.

        The forecast plus quantiles of its errors on rows that it was not fitted on, see
        :class:`tsrep.forecasting.intervals.Spread`. If the network forecasts quantiles, errors are
        divided by the distance of the outermost ones, so that intervals widen where it expects
        larger errors: the locally weighted conformal inference of Lei et al. (2018, sec. 5.2).
        """
        if any(not 0 < q < 1 for q in quantiles):
            raise UserError(f"quantiles: found {tuple(quantiles)}, expected numbers in (0, 1)")
        horizon = self._horizon(horizon)
        ahead, unit = self._ahead(history, times, horizon, known, past)
        errors = self.path(horizon).spread.quantiles(quantiles)[:horizon]
        found = self.path(horizon).log_scale.around(ahead, unit[..., None] * errors)  # (H, C, Q)
        return self.scaler.inverse(found.transpose(2, 0, 1)).transpose(1, 2, 0)

    def widths(self, data: ForecastData, rows: slice) -> dict[int, Forecast]:
        """Distance between the network's outermost quantiles, by origin of ``rows``; else 1."""
        if len(self.network.config.quantiles) < 2:
            return {h: _ones(h, len(self.names.columns)) for h in self.horizons}
        return network_forecasts(self.network, data.task(self.horizons), rows, width)

    def _ahead(self, history, times, horizon, known, past) -> tuple[np.ndarray, np.ndarray]:
        """The standardised forecast, and the width of the network's quantiles: (H, C) each."""
        names = self.names
        history, times, known, past = even_history(
            history, times, names.columns, horizon, known, names.known, past, names.past
        )
        values, known, past = self._checked(history, known, past, horizon)
        calendar = self._calendar(times, len(values))
        count = len(values)
        here = slice(count - 1, count)
        task = Task(values, Split(here, here, here), self.horizons, known, past)
        config = self.network.config
        unit = np.ones(1)
        if self.alone or config.quantiles:
            data = windows_ending_at(self.network, task, here, max(self.horizons))
            outputs = predictions(self.network, data)
            ahead, unit = median(config, outputs), width(config, outputs)[0, :horizon]
        if not self.alone:
            vectors = window_vectors(self.network, task, here)
            forecast = self._product_forecast(horizon, task, calendar, vectors)
            ahead = forecast(np.array([count - 1]))
        return ahead[0, :horizon], np.broadcast_to(unit, ahead[0, :horizon].shape)

    def _product_forecast(
        self, horizon: int, task: Task, calendar: np.ndarray, vectors: np.ndarray
    ) -> Forecast:
        """The forecast of the path that serves a horizon, which may be longer.

        vectors: of :func:`window_vectors`, present for the rows to forecast from.
        """
        values = filled(task.values).astype(np.float32)
        explained = self._explained(task)
        rows = slice(0, len(values))
        inputs = Inputs(
            values - explained[: len(values)],
            vectors,
            calendar[: len(values)],
            Split(rows, rows, rows),
            drop=0,
        )
        path = self.path(horizon)
        return with_effect(path.product.forecast(inputs), explained, path.horizon)

    def _explained(self, task: Task) -> np.ndarray:
        """The effect of the known inputs on each row, (T, C) or longer."""
        if task.known is None:
            return np.zeros_like(task.values, dtype=np.float32)
        return task.known.astype(np.float32) @ self.effect.numpy()

    def _horizon(self, horizon: int | None) -> int:
        longest = max(self.horizons)
        if horizon is None:
            return longest
        if not 1 <= horizon <= longest:
            raise UserError(f"horizon: found {horizon}, expected 1 to {longest}, as fitted")
        return horizon

    def _checked(self, history, known, past, horizon: int) -> tuple:
        """History, known and past inputs, standardised."""
        history, names = np.asarray(history, dtype=np.float64), self.names
        if history.ndim != 2 or history.shape[1] != len(names.columns):
            raise UserError(
                f"history has shape {history.shape}, expected (steps, {len(names.columns)}): the "
                f"columns {', '.join(names.columns)}"
            )
        if len(history) < self.look_back:
            raise UserError(
                f"history has {len(history)} steps, expected at least the {self.look_back} that a "
                "forecast reads"
            )
        count = len(names.known)
        found: list[np.ndarray | None] = [self.scaler.transform(history)]
        for what, table, columns, rows, at in (
            ("known", known, names.known, len(history) + horizon, slice(0, count)),
            ("past", past, names.past, len(history), slice(count, None)),
        ):
            shape: tuple[int, ...] = () if table is None else np.shape(table)
            if columns and (len(shape) != 2 or shape[0] < rows or shape[1] != len(columns)):
                raise UserError(
                    f"{what} inputs have shape {shape}, expected ({rows}, {len(columns)}): the "
                    f"columns {', '.join(columns)}, which the forecaster was fitted with"
                )
            scaler = self.inputs_scaler.part(at)
            found.append(filled(scaler.transform(table[:rows])) if columns else None)
        return tuple(found)

    def _calendar(self, times, rows: int) -> np.ndarray:
        if not self.calendar:
            return np.zeros((rows, 0), dtype=np.float32)
        if times is None or len(times) != rows:
            raise UserError(
                f"times: found {0 if times is None else len(times)}, expected one for each of the "
                f"{rows} steps of the history, since the fitted series had timestamps"
            )
        found = second_harmonics(calendar_features(pd.DatetimeIndex(times)))
        if found.shape[1] != self.calendar:
            raise UserError(
                f"times give {found.shape[1]} calendar features, expected {self.calendar}: their "
                "frequency cannot be inferred, or is not that of the fitted series"
            )
        return found.astype(np.float32)


class _Path(nn.Module):
    """The fitted arrays of one horizon: its product, if any, and the spread of its errors."""

    mean: Tensor  # as the next three, of a product alone
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    miss: Tensor
    miss_shape: Tensor
    miss_freedom: Tensor

    def __init__(self, horizon: int, channels: int, product: Product | None):
        super().__init__()
        self.horizon = horizon
        self.look_back = None if product is None else product.look_back
        for name, array in ({} if product is None else product.arrays()).items():
            self.register_buffer(name, torch.from_numpy(array))
        self.register_buffer("miss", torch.zeros(horizon, channels))
        self.register_buffer("miss_shape", torch.zeros(len(LEVELS), channels))
        self.register_buffer("miss_freedom", torch.full((horizon,), math.inf))

    @property
    def product(self) -> Product:
        if self.look_back is None:
            raise ValueError(f"no product forecasts {self.horizon} steps, the network does alone")
        arrays = {name: getattr(self, name).numpy() for name in Product.ARRAYS}
        return Product.of(self.look_back, arrays)

    @property
    def log_scale(self) -> LogScale:
        """The scale that errors are measured on."""
        if self.look_back is None:
            return LogScale.identity(self.miss.shape[1])
        return self.product.scale

    @property
    def spread(self) -> Spread:
        """Spread of the errors on :attr:`log_scale`, divided by :meth:`SeriesForecaster.widths`."""
        return Spread(self.miss.numpy(), self.miss_shape.numpy(), self.miss_freedom.numpy())

    def keep_spread(self, found: Spread) -> None:
        self.miss.copy_(torch.from_numpy(found.deviation))
        self.miss_shape.copy_(torch.from_numpy(found.shape))
        self.miss_freedom.copy_(torch.from_numpy(found.freedom))


def _ones(horizon: int, channels: int) -> Forecast:
    return lambda starts: np.ones((len(starts), horizon, channels))

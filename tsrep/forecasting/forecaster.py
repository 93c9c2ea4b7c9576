"""The forecaster that a user runs: a ridge on lags and on the vectors of a trained network.

    model = load_forecaster("runs/etth1")
    model.predict(history, times)                        # (T, C) in the data's units -> (H, C)
    model.predict_quantiles(history, (0.1, 0.9), times)  # (H, C, 2)

It is fitted by :func:`tsrep.forecasting.fitting.fit_forecaster`.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import calendar_features, second_harmonics
from tsrep.datasets.series import Scaler, Split, filled
from tsrep.forecasting import probe as readout
from tsrep.forecasting.intervals import LEVELS, Spread
from tsrep.forecasting.network import Forecaster, median, over_windows, predictions, width
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.ridge import Product
from tsrep.forecasting.task import ForecastData, Names, Task, network_forecasts, windows_ending_at
from tsrep.forecasting.windows import ForecastBatch


class SeriesForecaster(nn.Module):
    """A forecaster that is fitted to one series, by
    :func:`tsrep.forecasting.fitting.fit_forecaster`.

        product: y_{t+h} - u = y_t - u + w_h' [lags ; s network(window) ; calendar ; level] + b_h
        alone:   y = network(window)

    names: columns of what is forecast and read. scalers: of the series, and of [known, past].
    horizons: steps, rising; any horizon up to the longest can be asked for, and is read from the
    shortest that reaches so far. products: by horizon, none where the network forecasts alone.
    calendar: K, features of the origin that the products read. u: the effect of the inputs that are
    known ahead.
    """

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
        self.look_backs = {h: found.look_back for h, found in products.items()}
        for horizon, found in products.items():
            for name, array in found.arrays().items():
                self.register_buffer(f"{name}_{horizon}", torch.from_numpy(array))
        channels = len(names.columns)
        for horizon in self.horizons:
            self.register_buffer(f"miss_{horizon}", torch.zeros(horizon, channels))
            self.register_buffer(f"miss_shape_{horizon}", torch.zeros(len(LEVELS), channels))
        self.register_buffer("effect", torch.zeros(len(names.known), channels))

    @property
    def look_back(self) -> int:
        """Steps of history that a forecast reads."""
        return max([self.network.config.look_back, *self.look_backs.values()])

    def product(self, horizon: int) -> Product:
        arrays = {name: getattr(self, f"{name}_{horizon}").numpy() for name in Product.ARRAYS}
        return Product.of(self.look_backs[horizon], arrays)

    def forecasts(self, data: ForecastData, rows: slice | None = None) -> dict[int, Forecast]:
        """Standardised forecasts of every horizon from all origins of ``rows`` (default: test)."""
        task = data.task(self.horizons)
        rows = rows or task.split.test
        if not self.look_backs:
            return network_forecasts(self.network, task, rows)
        vectors = window_vectors(self.network, task, rows)
        return {h: self.product_forecast(h, task, data.calendar, vectors) for h in self.horizons}

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
        history : (T, C), T at least ``look_back``; NaN where missing; columns ``names.columns``.
        times : (T,), of the history; needed where the series was dated.
        horizon : steps, by default the longest.
        known : (T + H, F), columns ``names.known``: of the history and of the steps to forecast.
        past : (T, E), columns ``names.past``.

        Raises
        ------
        UserError
            A horizon beyond the longest; another number of columns; too short a history; an input
            that the forecaster was fitted with is missing; times of another frequency.
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

        The forecast plus the quantiles of its errors on validation rows, see
        :class:`tsrep.forecasting.intervals.Spread`. Where the network forecasts quantiles, errors
        are measured by the distance of its outermost ones, so that intervals widen where it expects
        to err more: the locally weighted errors of Lei et al. (2018, section 5.2).
        """
        if any(not 0 < q < 1 for q in quantiles):
            raise UserError(f"quantiles: found {tuple(quantiles)}, expected numbers in (0, 1)")
        horizon = self._horizon(horizon)
        ahead, unit = self._ahead(history, times, horizon, known, past)
        errors = self.spread(horizon).quantiles(quantiles)[:horizon]
        found = ahead[..., None] + unit[..., None] * errors  # (H, C, Q)
        return self.scaler.inverse(found.transpose(2, 0, 1)).transpose(1, 2, 0)

    def spread(self, horizon: int) -> Spread:
        """Of the errors of the path that serves a horizon, standardised, over :meth:`widths`."""
        served = self._served_by(horizon)
        return Spread(*(getattr(self, f"{n}_{served}").numpy() for n in ("miss", "miss_shape")))

    def keep_spread(self, horizon: int, found: Spread) -> None:
        """Set what :meth:`spread` gives."""
        for name, array in (("miss", found.deviation), ("miss_shape", found.shape)):
            getattr(self, f"{name}_{horizon}").copy_(torch.from_numpy(array))

    def widths(self, data: ForecastData, rows: slice) -> dict[int, Forecast]:
        """How wide the network's quantiles are, from all origins of ``rows``; 1 without any."""
        if len(self.network.config.quantiles) < 2:
            shape = (len(self.names.columns),)
            return {h: lambda starts, h=h: np.ones((len(starts), h, *shape)) for h in self.horizons}
        return network_forecasts(self.network, data.task(self.horizons), rows, width)

    def _ahead(self, history, times, horizon, known, past) -> tuple[np.ndarray, np.ndarray]:
        """The standardised forecast, and the width of the network's quantiles: (H, C) each."""
        values, known, past = self._checked(history, known, past, horizon)
        calendar = self._calendar(times, len(values))
        count = len(values)
        here = slice(count - 1, count)
        task = Task(values, Split(here, here, here), self.horizons, known, past)
        config = self.network.config
        ahead, unit = None, np.ones(1)
        if not self.look_backs or config.quantiles:
            data = windows_ending_at(self.network, task, here, max(self.horizons))
            outputs = predictions(self.network, data)
            ahead, unit = median(config, outputs), width(config, outputs)[0, :horizon]
        if self.look_backs:
            vectors = window_vectors(self.network, task, here)
            path = self.product_forecast(self._served_by(horizon), task, calendar, vectors)
            ahead = path(np.array([count - 1]))
        return ahead[0, :horizon], np.broadcast_to(unit, ahead[0, :horizon].shape)

    def product_forecast(
        self, horizon: int, task: Task, calendar: np.ndarray, vectors: np.ndarray
    ) -> Forecast:
        """From rows whose ``vectors`` are there, see :func:`window_vectors`."""
        values = filled(task.values).astype(np.float32)
        explained = self._explained(task)
        rows = slice(0, len(values))
        inputs = readout.Inputs(
            values - explained[: len(values)],
            vectors,
            calendar[: len(values)],
            Split(rows, rows, rows),
            drop=0,
        )
        rest = self.product(horizon).forecast(inputs)
        steps = np.arange(1, horizon + 1)

        def forecast(starts: np.ndarray) -> np.ndarray:
            ahead = np.minimum(starts[:, None] + steps, len(explained) - 1)
            return rest(starts) + explained[ahead]

        return forecast

    def _explained(self, task: Task) -> np.ndarray:
        """The effect of the known inputs, (T, C) or longer."""
        if task.known is None:
            return np.zeros_like(task.values, dtype=np.float32)
        return task.known.astype(np.float32) @ self.effect.numpy()

    def _served_by(self, horizon: int) -> int:
        return next(h for h in self.horizons if h >= horizon)

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
        mean, std = self.inputs_scaler.mean, self.inputs_scaler.std
        found = [self.scaler.transform(history)]
        for what, table, columns, rows, at in (
            ("known", known, names.known, len(history) + horizon, slice(0, count)),
            ("past", past, names.past, len(history), slice(count, None)),
        ):
            shape = () if table is None else np.shape(table)
            if columns and (len(shape) != 2 or shape[0] < rows or shape[1] != len(columns)):
                raise UserError(
                    f"{what} inputs have shape {shape}, expected ({rows}, {len(columns)}): the "
                    f"columns {', '.join(columns)}, which the forecaster was fitted with"
                )
            scaler = Scaler(mean[at], std[at])
            found.append(filled(scaler.transform(table[:rows])) if columns else None)
        return tuple(found)

    def _calendar(self, times, rows: int) -> np.ndarray:
        if not self.calendar:
            return np.zeros((rows, 0), dtype=np.float32)
        if times is None or len(times) != rows:
            raise UserError(
                f"times: found {0 if times is None else len(times)}, expected one for each of the "
                f"{rows} steps of the history, since the series fitted was dated"
            )
        features = calendar_features(pd.DatetimeIndex(times))
        found = second_harmonics(features) if features.shape[1] else features
        if found.shape[1] != self.calendar:
            raise UserError(
                f"times give {found.shape[1]} calendar features, expected {self.calendar}: their "
                "frequency cannot be inferred, or is not that of the series fitted"
            )
        return found.astype(np.float32)


def window_vectors(network: Forecaster, task: Task, rows: slice) -> np.ndarray:
    """The network's vector of the window that ends at each of ``rows``: (C or 1, T, D).

    Rows elsewhere are zero. Before the first value of the series, windows hold the first.
    """
    data = windows_ending_at(network, task, rows, 1)
    groups = data.channels if network.independent else 1

    def read(batch: ForecastBatch) -> tuple[Tensor]:
        return (network.summary(network.seen(batch.past, batch.known)[0]),)

    (vectors,) = over_windows(network, data, read, max(1, 256 // groups))  # (n * groups, D)
    found = np.zeros((groups, len(task.values), vectors.shape[1]), dtype=np.float32)
    found[:, rows] = vectors.reshape(-1, groups, vectors.shape[1]).swapaxes(0, 1)
    return found

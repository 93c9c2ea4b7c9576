"""The forecaster that a user runs: a ridge on lags and on the vectors of a trained network.

    model = load_forecaster("runs/etth1")
    model.predict(history, times)                        # (T, C) in the data's units -> (H, C)
    model.predict_quantiles(history, (0.1, 0.9), times)  # (H, C, 2)

It is fitted by :func:`tsrep.fitting.fit_forecaster`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from common import weights
from common.config import from_dict
from common.errors import UserError
from tsrep import readout
from tsrep.baselines import Forecast, filled, second_harmonics
from tsrep.forecast_data import ForecastData, Names, Task
from tsrep.forecaster import Forecaster, ForecasterConfig, median, predictions
from tsrep.readout import Product
from tsrep.series import Scaler, Split
from tsrep.strategies import forecasts
from tsrep.timestamps import calendar_features
from tsrep.window_vectors import window_vectors, windows_ending_at

FILE = "forecaster.safetensors"
KIND = "tsrep.SeriesForecaster"
INPUTS = ("channels", "horizon", "known", "past")
LEVELS = tuple(float(q) for q in np.round(np.arange(0.05, 1.0, 0.05), 2))
"""Quantiles that are kept; others are interpolated between them."""


class SeriesForecaster(nn.Module):
    """A forecaster that is fitted to one series, by :func:`tsrep.fitting.fit_forecaster`.

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
            for name, array in _arrays(found).items():
                self.register_buffer(f"{name}_{horizon}", torch.from_numpy(array))
        channels = len(names.columns)
        for horizon in self.horizons:
            self.register_buffer(
                f"quantiles_{horizon}", torch.zeros(horizon, channels, len(LEVELS))
            )
        self.register_buffer("effect", torch.zeros(len(names.known), channels))

    @property
    def look_back(self) -> int:
        """Steps of history that a forecast reads."""
        return max([self.network.config.look_back, *self.look_backs.values()])

    def product(self, horizon: int) -> Product:
        names = ("mean", "deviation", "weight", "bias")
        mean, deviation, weight, bias = (
            getattr(self, f"{name}_{horizon}").numpy() for name in names
        )
        return Product(
            self.look_backs[horizon], mean, deviation, list(zip(weight, bias, strict=True))
        )

    def forecasts(self, data: ForecastData, rows: slice | None = None) -> dict[int, Forecast]:
        """Standardised forecasts of every horizon from all origins of ``rows`` (default: test)."""
        task = data.task(self.horizons)
        rows = rows or task.split.test
        if not self.look_backs:
            return forecasts(self.network, task, rows)
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
        return self.scaler.inverse(self._ahead(history, times, horizon, known, past))

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

        The forecast plus the quantiles of its errors on validation rows, by step and channel: of
        all constants they have the least pinball loss there. Beyond .05 and .95 they stay at those.
        """
        if any(not 0 < q < 1 for q in quantiles):
            raise UserError(f"quantiles: found {tuple(quantiles)}, expected numbers in (0, 1)")
        horizon = self._horizon(horizon)
        ahead = self._ahead(history, times, horizon, known, past)
        found = ahead[..., None] + self.spread(horizon, quantiles)  # (H, C, Q)
        return self.scaler.inverse(found.transpose(2, 0, 1)).transpose(1, 2, 0)

    def spread(self, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """Quantiles of the errors (H, C, Q), standardised, between those that are kept."""
        kept = getattr(self, f"quantiles_{self._served_by(horizon)}").numpy()[:horizon]
        place = np.interp(quantiles, LEVELS, np.arange(len(LEVELS)))
        low, part = np.floor(place).astype(int), place % 1
        high = np.minimum(low + 1, len(LEVELS) - 1)
        return kept[..., low] * (1 - part) + kept[..., high] * part

    def _ahead(self, history, times, horizon, known, past) -> np.ndarray:
        """The standardised forecast (H, C)."""
        values, known, past = self._checked(history, known, past, horizon)
        calendar = self._calendar(times, len(values))
        count = len(values)
        here = slice(count - 1, count)
        task = Task(values, Split(here, here, here), self.horizons, known, past)
        start = np.array([count - 1])
        if not self.look_backs:
            data = windows_ending_at(self.network, task, here, max(self.horizons))
            ahead = median(self.network.config, predictions(self.network, data))
        else:
            vectors = window_vectors(self.network, task, here)
            served = self._served_by(horizon)
            ahead = self.product_forecast(served, task, calendar, vectors)(start)
        return ahead[0, :horizon]

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


def save_forecaster(path: str | Path, model: SeriesForecaster) -> None:
    """Write a forecaster as safetensors, its configuration in the header."""
    network = model.network
    config = {
        "mean": model.scaler.mean.tolist(),
        "std": model.scaler.std.tolist(),
        "inputs_mean": model.inputs_scaler.mean.tolist(),
        "inputs_std": model.inputs_scaler.std.tolist(),
        "names": asdict(model.names),
        "horizons": list(model.horizons),
        "calendar": model.calendar,
        "look_backs": {str(h): look_back for h, look_back in model.look_backs.items()},
        "network": asdict(network.config),
        "inputs": {name: getattr(network, name) for name in INPUTS},
    }
    weights.save_encoder(path, model, KIND, config)


def load_forecaster(path: str | Path) -> SeriesForecaster:
    """The forecaster in a file, or in a run folder. Nothing is unpickled.

    Raises
    ------
    UserError
        No such file, a truncated one, or one that holds something else.
    """
    path = Path(path) / FILE if Path(path).is_dir() else Path(path)
    kind, config, tensors = weights.read_encoder(path)
    if kind != KIND:
        raise UserError(f"{path}: holds a {kind!r}, expected a {KIND!r}")
    try:
        model = _empty(config, tensors)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a header of another version ({error})") from error
    weights.load_into(model, tensors, path)
    return model.requires_grad_(False).eval()


def _empty(config: dict, tensors: dict[str, torch.Tensor]) -> SeriesForecaster:
    """The forecaster of a header, its numbers still to be loaded."""

    def scaler(prefix: str) -> Scaler:
        return Scaler(np.array(config[f"{prefix}mean"]), np.array(config[f"{prefix}std"]))

    def product(horizon: str, look_back: int) -> Product:
        mean, deviation, weight, bias = (
            tensors[f"{name}_{horizon}"].numpy() for name in ("mean", "deviation", "weight", "bias")
        )
        return Product(look_back, mean, deviation, list(zip(weight, bias, strict=True)))

    return SeriesForecaster(
        Names(**{name: tuple(columns) for name, columns in config["names"].items()}),
        (scaler(""), scaler("inputs_")),
        config["horizons"],
        Forecaster(from_dict(ForecasterConfig, config["network"]), **config["inputs"]),
        {int(h): product(h, look_back) for h, look_back in config["look_backs"].items()},
        config["calendar"],
    )


def _arrays(found: Product) -> dict[str, np.ndarray]:
    weight, bias = (np.stack(part) for part in zip(*found.maps, strict=True))
    named = {"mean": found.mean, "deviation": found.deviation, "weight": weight, "bias": bias}
    return {name: np.array(array, dtype=np.float32) for name, array in named.items()}  # copies

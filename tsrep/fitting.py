"""Fit a :class:`tsrep.product.SeriesForecaster`: train the network, then the ridge in closed form.

data = inputs_of(load("ETTh1"))
model = fit_forecaster(data, Settings(), seed=0, folder="runs/etth1/seed-0")
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tsrep import readout
from tsrep.baselines import Forecast, filled, origins
from tsrep.evaluation import linear_look_back
from tsrep.forecast_data import ForecastData, Task
from tsrep.forecaster import Forecaster
from tsrep.product import LEVELS, SeriesForecaster
from tsrep.readout import OFF, Product, fit_product
from tsrep.strategies import Settings, learn
from tsrep.window_vectors import window_vectors

REPRESENTATION = (0.1, 0.3)
"""Scales of the network's vectors to choose from."""
PARTS = 4
"""The vectors must help in each of so many successive parts of the validation rows."""
WEIGHED = 1000
"""Validation origins that errors are taken from, at most."""
HELPS = 0.99
"""Known inputs enter where they bring the validation error below this share."""


def fit_forecaster(
    data: ForecastData,
    settings: Settings,
    seed: int,
    folder: str | Path | None,
    horizons: Sequence[int] | None = None,
    resume: bool = False,
    linear: bool = True,
) -> SeriesForecaster:
    """Train the network by ``settings``, then fit the product in closed form.

    The product is :func:`tsrep.readout.product` with the mean of the patches' vectors of each
    window for the representation: it starts from the best simple model, a ridge on lags, and takes
    the vectors in, horizon by horizon, where they lower the error in each quarter of the validation
    rows. A gain that comes from some weeks alone may turn in others: on ETTh1 univariate, vectors
    that lower the validation error by 5 % at 336 steps raise that of the last quarter by 8 %.
    ``linear=False``: the network alone.

    Inputs that are known ahead enter the network and, in the product, by a linear effect at the
    time of the forecast, where that lowers the validation error. Past inputs enter the network.
    """
    task = data.task(horizons)
    network, _ = learn(task, settings, seed, folder, resume)
    if linear:
        model = _closed_form(data, task, network)
    else:
        scalers = data.series.scaler, data.scaler
        model = SeriesForecaster(data.names, scalers, task.horizons, network, {}, 0)
    _keep_quantiles(model, data)
    return model.requires_grad_(False).eval()


def linear_path(data: ForecastData, horizons: Sequence[int] | None = None) -> dict[int, Forecast]:
    """The product without the network, which it starts from."""
    task = data.task(horizons)
    nothing = np.zeros((1, len(task.values), 0), dtype=np.float32)
    inputs = _product_inputs(filled(task.values), nothing, data.calendar, task)
    return readout.product(inputs, task.horizons, linear_look_back(data.series), (1.0,))


def coverage(
    model: SeriesForecaster,
    found: dict[int, Forecast],
    values: np.ndarray,
    rows: slice,
    low: float = 0.1,
    high: float = 0.9,
) -> dict[str, float]:
    """Share of values between two quantiles, by horizon, of forecasts from origins of ``rows``."""
    shares = {}
    for horizon, forecast in found.items():
        starts = origins(rows, horizon)
        starts = starts[:: max(1, len(starts) // WEIGHED)]
        truth = values[starts[:, None] + np.arange(1, horizon + 1)]
        error = truth - forecast(starts)  # (n, H, C)
        bounds = model.spread(horizon, (low, high))
        inside = (error >= bounds[..., 0]) & (error <= bounds[..., 1])
        shares[str(horizon)] = float(inside[~np.isnan(error)].mean())
    return shares


def _closed_form(data: ForecastData, task: Task, network: Forecaster) -> SeriesForecaster:
    calendar, scalers = data.calendar, (data.series.scaler, data.scaler)
    vectors = window_vectors(network, task, slice(0, len(task.values)))
    look_back = linear_look_back(data.series)
    values = filled(task.values)

    def fitted(values: np.ndarray) -> SeriesForecaster:
        inputs = _product_inputs(values, vectors, calendar, task)
        horizons, features = task.horizons, calendar.shape[1]
        plain = fit_product(inputs, horizons, look_back, (OFF,))
        found = fit_product(inputs, horizons, look_back, REPRESENTATION)
        products = {
            h: found[h] if _helps_throughout(found[h], plain[h], inputs, h) else plain[h]
            for h in horizons
        }
        return SeriesForecaster(data.names, scalers, horizons, network, products, features)

    plain = fitted(values)
    if task.known is None:
        return plain
    effect = _effect(values, task.known, task.split.train)
    explained = fitted(values - task.known[: len(values)] @ effect)
    explained.effect.copy_(torch.from_numpy(effect))

    def error(model: SeriesForecaster) -> float:
        horizon = task.longest
        forecast = model.product_forecast(horizon, task, calendar, vectors)
        starts = origins(task.split.valid, horizon)
        starts = starts[:: max(1, len(starts) // WEIGHED)]
        return float(np.square(forecast(starts) - _future(values, starts, horizon)).mean())

    return explained if error(explained) < HELPS * error(plain) else plain


def _helps_throughout(found: Product, plain: Product, inputs: readout.Inputs, horizon: int) -> bool:
    """Whether a product has less error than another in each part of the validation rows."""
    starts = origins(inputs.split.valid, horizon)
    starts = starts[:: max(1, len(starts) // WEIGHED)]
    truth = _future(inputs.values, starts, horizon)
    errors = (
        np.square(one.forecast(inputs)(starts) - truth).mean(axis=(1, 2)) for one in (found, plain)
    )
    parts = zip(*(np.array_split(error, PARTS) for error in errors), strict=True)
    return all(new.mean() < old.mean() for new, old in parts)


def _product_inputs(
    values: np.ndarray, vectors: np.ndarray, calendar: np.ndarray, task: Task
) -> readout.Inputs:
    return readout.Inputs(values.astype(np.float32), vectors, calendar, task.split, drop=0)


def _effect(values: np.ndarray, known: np.ndarray, train: slice) -> np.ndarray:
    """Least squares of the change of the values on the change of the known inputs, (F, C).

    Changes, because levels that drift together would look like an effect.
    """
    y, u = np.diff(values[train], axis=0), np.diff(known[train], axis=0)
    gram = u.T @ u + 1e-3 * len(u) * np.eye(u.shape[1])
    return np.linalg.solve(gram, u.T @ y).astype(np.float32)


def _keep_quantiles(model: SeriesForecaster, data: ForecastData) -> None:
    """Quantiles of the errors on validation rows."""
    task = data.task(model.horizons)
    valid = task.split.valid
    for horizon, forecast in model.forecasts(data, valid).items():
        starts = origins(valid, horizon)
        starts = starts[:: max(1, len(starts) // WEIGHED)]
        errors = _future(task.values, starts, horizon) - forecast(starts)  # (n, H, C)
        getattr(model, f"quantiles_{horizon}").copy_(_error_quantiles(errors))


def _error_quantiles(errors: np.ndarray) -> torch.Tensor:
    """(n, H, C) -> (H, C, len(LEVELS)), each step's taken together with its neighbours'."""
    horizon = errors.shape[1]
    reach = min(horizon // 20, 12)
    found = []
    for step in range(horizon):
        near = errors[:, max(0, step - reach) : step + reach + 1 : max(1, reach // 2)]
        rows = near.reshape(-1, near.shape[2])
        rows = rows[~np.isnan(rows).any(axis=1)]
        found.append(np.quantile(rows, LEVELS, axis=0) if len(rows) else found[-1])
    return torch.from_numpy(np.stack(found).transpose(0, 2, 1)).float()


def _future(values: np.ndarray, starts: np.ndarray, horizon: int) -> np.ndarray:
    """What follows each row of ``starts``, (n, H, C)."""
    return values[starts[:, None] + np.arange(1, horizon + 1)]

"""Fit a :class:`tsrep.forecasting.forecaster.SeriesForecaster`: train the network, then the ridge
in closed form.

data = inputs_of(load("ETTh1"))
model = fit_forecaster(data, Settings(), seed=0, folder="runs/etth1/seed-0")
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tsrep.datasets.series import filled
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.network import Forecaster
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.protocol import Forecast, origins
from tsrep.forecasting.ridge import OFF, Product, fit_beside, fit_product, linear_look_back, product
from tsrep.forecasting.task import ForecastData, Task, window_vectors
from tsrep.forecasting.training import Settings, learn

_REPRESENTATION = (0.1, 0.3)
"""Scales of the network's vectors to choose from."""
_PARTS = 4
"""Number of successive parts of the validation rows, in each of which the vectors must help."""
_SAMPLED = 1000
"""Approximate number of origins that errors are measured at."""


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

    The product is :func:`tsrep.forecasting.ridge.product`; its representation is the mean of the
    patch vectors of each window. It starts from a ridge on lags and adds the vectors, horizon by
    horizon, where they lower the error in each quarter of the validation rows. A gain in some weeks
    only may turn into a loss in others: on ETTh1 univariate at 336 steps, vectors that lower the
    validation error by 5 % raise that of its last quarter by 8 %.

    Inputs known ahead enter the network and, if that lowers the validation error, the product, by a
    linear effect at the time of the forecast. Past inputs enter the network only.

    Parameters
    ----------
    folder, resume : see :func:`tsrep.forecasting.training.learn`.
    horizons : steps; those of the series by default.
    linear : False for the network alone.
    """
    task = data.task(horizons)
    network, _ = learn(task, settings, seed, folder, resume)
    if linear:
        model = _closed_form(data, task, network)
    else:
        scalers = data.series.scaler, data.scaler
        model = SeriesForecaster(data.names, scalers, task.horizons, network, {}, 0)
    _keep_spread(model, data)
    return model.requires_grad_(False).eval()


def linear_path(data: ForecastData, horizons: Sequence[int] | None = None) -> dict[int, Forecast]:
    """Forecasts of the product without the network: the linear path that it starts from."""
    task = data.task(horizons)
    nothing = np.zeros((1, len(task.values), 0), dtype=np.float32)
    inputs = _product_inputs(filled(task.values), nothing, data.calendar, task)
    return product(inputs, task.horizons, linear_look_back(data.series), (1.0,))


def coverage(
    model: SeriesForecaster,
    data: ForecastData,
    found: dict[int, Forecast],
    rows: slice,
    low: float = 0.1,
    high: float = 0.9,
) -> dict[str, float]:
    """Share of the values of ``rows`` between the quantiles ``low`` and ``high``, by horizon.

    found: the forecasts of ``model`` from origins of ``rows``.
    """
    shares = {}
    for horizon, errors in _errors(model, data, found, rows).items():
        bounds = model.path(horizon).spread.quantiles((low, high))
        inside = (errors >= bounds[..., 0]) & (errors <= bounds[..., 1])
        shares[str(horizon)] = float(inside[~np.isnan(errors)].mean())
    return shares


def _closed_form(data: ForecastData, task: Task, network: Forecaster) -> SeriesForecaster:
    calendar, scalers = data.calendar, (data.series.scaler, data.scaler)
    vectors = window_vectors(network, task, slice(0, len(task.values)))
    look_back = linear_look_back(data.series)
    horizons = task.horizons

    def fitted(values: np.ndarray) -> tuple[dict[int, Product], float]:
        inputs = _product_inputs(values, vectors, calendar, task)
        plain = fit_product(inputs, horizons, look_back, (OFF,))
        found = fit_product(inputs, horizons, look_back, _REPRESENTATION)
        products = {
            h: found[h] if _helps_throughout(found[h], plain[h], inputs, h) else plain[h]
            for h in horizons
        }
        errors = _squared_errors(products[task.longest], inputs, task.longest)
        return products, float(errors.mean())

    values, effect = filled(task.values), None
    if task.known is None:
        products, _ = fitted(values)
    else:
        known = task.known[: len(values)]
        products, effect = fit_beside(fitted, values, known, task.split.train)
    model = SeriesForecaster(data.names, scalers, horizons, network, products, calendar.shape[1])
    if effect is not None:
        model.effect.copy_(torch.from_numpy(effect))
    return model


def _helps_throughout(found: Product, plain: Product, inputs: Inputs, horizon: int) -> bool:
    """Whether ``found`` has less error than ``plain`` in each part of the validation rows."""
    errors = (_squared_errors(one, inputs, horizon).mean(axis=(1, 2)) for one in (found, plain))
    parts = zip(*(np.array_split(error, _PARTS) for error in errors), strict=True)
    return all(new.mean() < old.mean() for new, old in parts)


def _squared_errors(found: Product, inputs: Inputs, horizon: int) -> np.ndarray:
    """Squared errors of forecasts from validation rows, (n, H, C)."""
    starts = _sampled(inputs.split.valid, horizon)
    return np.square(found.forecast(inputs)(starts) - _future(inputs.values, starts, horizon))


def _product_inputs(
    values: np.ndarray, vectors: np.ndarray, calendar: np.ndarray, task: Task
) -> Inputs:
    return Inputs(values.astype(np.float32), vectors, calendar, task.split, drop=0)


def _keep_spread(model: SeriesForecaster, data: ForecastData) -> None:
    """Store the spread of the errors on validation rows."""
    valid = data.series.split.valid
    for horizon, errors in _errors(model, data, model.forecasts(data, valid), valid).items():
        model.path(horizon).keep_spread(Spread.of(errors))


def _errors(
    model: SeriesForecaster, data: ForecastData, found: dict[int, Forecast], rows: slice
) -> dict[int, np.ndarray]:
    """Errors (n, H, C) of forecasts from origins of ``rows``, divided by the network's widths."""
    widths, values, errors = model.widths(data, rows), data.task(model.horizons).values, {}
    for horizon, forecast in found.items():
        starts = _sampled(rows, horizon)
        missed = _future(values, starts, horizon) - forecast(starts)
        errors[horizon] = missed / widths[horizon](starts)
    return errors


def _sampled(rows: slice, horizon: int) -> np.ndarray:
    """Origins of ``rows`` that errors are measured at, evenly spaced."""
    starts = origins(rows, horizon)
    return starts[:: max(1, len(starts) // _SAMPLED)]


def _future(values: np.ndarray, starts: np.ndarray, horizon: int) -> np.ndarray:
    """The H values after each row of ``starts``, (n, H, C)."""
    return values[starts[:, None] + np.arange(1, horizon + 1)]

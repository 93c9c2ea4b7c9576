"""Fit a :class:`tsrep.forecasting.forecaster.SeriesForecaster`: train the network, then choose.

data = inputs_of(load("ETTh1"))
model = fit_forecaster(data, Settings(), seed=0, folder="runs/etth1/seed-0")
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from tsrep.datasets.series import filled
from tsrep.evaluation.quantiles import LEVELS, pinball
from tsrep.forecasting.exogenous import fit_beside, with_effect
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.intervals import Spread
from tsrep.forecasting.network import Forecaster
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.product import Fitted, fit_product, less_error
from tsrep.forecasting.protocol import Forecast, origins
from tsrep.forecasting.task import ForecastData, Task, window_vectors
from tsrep.forecasting.training import Settings, learn

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

    The product is :func:`tsrep.forecasting.product.fit_product`; its representation is the mean of
    the patch vectors of each window, and enters where it lowers the error by more than that error
    is uncertain. Maps are fitted on train and validation rows, the network on train rows.

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
        _keep_validation_errors(model, data)
    return model.requires_grad_(False).eval()


def linear_path(data: ForecastData, horizons: Sequence[int] | None = None) -> dict[int, Forecast]:
    """Forecasts of the product without the network: the linear path that it starts from.

    Inputs known ahead enter as in :func:`fit_forecaster`.
    """
    task = data.task(horizons)
    nothing = np.zeros((1, len(task.values), 0), dtype=np.float32)
    fitted, effect = _fit_product(data, task, nothing)
    values, explained = filled(task.values), np.zeros(task.values.shape, dtype=np.float32)
    if task.known is not None and effect is not None:
        explained = (task.known[: len(values)] @ effect).astype(np.float32)
    inputs = _product_inputs(values - explained, nothing, data.calendar, task)
    return {
        h: with_effect(found.product.forecast(inputs), explained, h) for h, found in fitted.items()
    }


def interval_scores(
    model: SeriesForecaster,
    data: ForecastData,
    found: dict[int, Forecast],
    rows: slice,
    low: float = 0.1,
    high: float = 0.9,
) -> dict[str, dict[str, float]]:
    """``coverage`` and ``width`` of the interval from quantile ``low`` to ``high``, and ``crps``.

    Each by horizon, a mean over origins of ``rows``, steps and channels, in the standardised units
    of the values; coverage is a share. The CRPS is that of nine levels, see
    :func:`tsrep.evaluation.quantiles.pinball`. found: the forecasts of ``model``.
    """
    scores: dict[str, dict[str, float]] = {"coverage": {}, "width": {}, "crps": {}}
    for horizon, _, truth, ahead, unit in _at_origins(model, data, found, rows):
        path, seen = model.path(horizon), ~np.isnan(truth)
        scale, errors = path.log_scale, path.spread.quantiles((low, high, *LEVELS))
        quantiles = (  # one at a time, as all would take much memory
            scale.around(ahead, unit[..., None] * errors[..., [n]])[..., 0]
            for n in range(errors.shape[-1])
        )
        lower, upper = next(quantiles), next(quantiles)
        inside = (truth >= lower) & (truth <= upper)
        losses = [
            pinball(truth, quantile[..., None], (level,))[seen].mean()
            for level, quantile in zip(LEVELS, quantiles, strict=True)
        ]
        scores["coverage"][str(horizon)] = float(inside[seen].mean())
        scores["width"][str(horizon)] = float((upper - lower)[seen].mean())
        scores["crps"][str(horizon)] = float(np.mean(losses))
    return scores


def _closed_form(data: ForecastData, task: Task, network: Forecaster) -> SeriesForecaster:
    scalers, size = (data.series.scaler, data.scaler), data.calendar.shape[1]
    vectors = window_vectors(network, task, slice(0, len(task.values)))
    # A network's widths are on the scale of the values, so errors are, too.
    fitted, effect = _fit_product(data, task, vectors, log=len(network.config.quantiles) < 2)
    products = {h: found.product for h, found in fitted.items()}
    model = SeriesForecaster(data.names, scalers, task.horizons, network, products, size)
    model.choices = {str(h): found.table() for h, found in fitted.items()}
    if effect is not None:
        model.effect.copy_(torch.from_numpy(effect))
    for horizon, found in fitted.items():
        model.path(horizon).keep_spread(_spread(model, data, horizon, found))
    return model


def _fit_product(
    data: ForecastData, task: Task, vectors: np.ndarray, log: bool = True
) -> tuple[dict[int, Fitted], np.ndarray | None]:
    """The product by horizon, and the effect (F, C) of the inputs known ahead, if there are any.

    log: try a logarithm of the whole values; an effect that is added has no place on it.
    """

    def fit(values: np.ndarray, whole: bool) -> dict[int, Fitted]:
        inputs = _product_inputs(values, vectors, data.calendar, task)
        zero = data.series.scaler.zero if log and whole else None
        return fit_product(inputs, task.horizons, data.series.period, zero=zero)

    def less(one: dict[int, Fitted], other: dict[int, Fitted]) -> bool:
        return less_error(one[task.longest], other[task.longest])

    values = filled(task.values)
    if task.known is None:
        return fit(values, True), None
    return fit_beside(fit, less, values, task.known[: len(values)], task.split.train)


def _spread(model: SeriesForecaster, data: ForecastData, horizon: int, found: Fitted) -> Spread:
    """Spread of the errors of the choice, divided by the network's widths if it has any."""
    if len(model.network.config.quantiles) < 2:
        return found.spread
    valid = data.series.split.valid
    errors, starts = found.residuals
    late = starts >= valid.start
    errors, starts = errors[late], starts[late]
    widths = model.widths(data, valid)[horizon](starts)[:, found.steps - 1]
    return Spread.of(errors / widths, starts, found.steps)


def _product_inputs(
    values: np.ndarray, vectors: np.ndarray, calendar: np.ndarray, task: Task
) -> Inputs:
    seen = ~np.isnan(task.values)
    return Inputs(values.astype(np.float32), vectors, calendar, task.split, drop=0, seen=seen)


def _keep_validation_errors(model: SeriesForecaster, data: ForecastData) -> None:
    """Store the spread of the errors on validation rows, of a network alone."""
    valid = data.series.split.valid
    for horizon, starts, truth, ahead, unit in _at_origins(
        model, data, model.forecasts(data, valid), valid
    ):
        path = model.path(horizon)
        missed = path.log_scale.forward(truth) - path.log_scale.forward(ahead)
        path.keep_spread(Spread.of(missed / unit, starts, np.arange(1, horizon + 1)))


class _Origins(NamedTuple):
    """Origins (n,) of a horizon's forecasts; truth, forecasts and network's widths (n, H, C)."""

    horizon: int
    starts: np.ndarray
    truth: np.ndarray
    ahead: np.ndarray
    unit: np.ndarray


def _at_origins(
    model: SeriesForecaster, data: ForecastData, found: dict[int, Forecast], rows: slice
) -> Iterator[_Origins]:
    widths, values = model.widths(data, rows), data.task(model.horizons).values
    for horizon, forecast in found.items():
        starts = _sampled(rows, horizon)
        truth = _future(values, starts, horizon)
        yield _Origins(horizon, starts, truth, forecast(starts), widths[horizon](starts))


def _sampled(rows: slice, horizon: int) -> np.ndarray:
    """Origins of ``rows`` that errors are measured at, evenly spaced."""
    starts = origins(rows, horizon)
    return starts[:: max(1, len(starts) // _SAMPLED)]


def _future(values: np.ndarray, starts: np.ndarray, horizon: int) -> np.ndarray:
    """The H values after each row of ``starts``, (n, H, C)."""
    return values[starts[:, None] + np.arange(1, horizon + 1)]

"""The empirical receptive field: measured sensitivity of a forecast to each past value."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.modes import evaluating
from tsrep.datasets.series import Series, filled

if TYPE_CHECKING:  # a field can be measured of any forecaster
    from tsrep.forecasting.forecaster import SeriesForecaster

_WINDOWS = 32
"""Number of validation windows, evenly spaced, that a receptive field is averaged over."""


def receptive_field(
    forecaster: Callable[[Tensor], Tensor],
    past: Tensor,
    steps: Sequence[int] | None = None,
    *,
    apart: bool = False,
) -> np.ndarray:
    """The mean of ``|d y_j / d x_{t - l}|`` over windows, for output step j and lag l.

    Parameters
    ----------
    forecaster : (N, L, C) -> (N, H, K), differentiable; a module is put into evaluation mode.
    past : (N, L, C), windows that end at the origin t.
    steps : output steps j to measure, counted from 1; all by default.
    apart : each output channel depends on its own input channel only. One backward pass then serves
        all channels; for a forecaster that mixes channels, the result would be wrong.

    Returns
    -------
    (len(steps), L) float64. Column l is lag l, the value l steps before the origin. Gradients are
    summed over input channels and averaged over output channels: for a linear map of one channel
    they are exactly its absolute weights.

    Zhang et al. (2023, sec. 4.4, eq. 3) show the gradient of the squared error of step j for one
    window. Here the gradient is not weighted by the error and is averaged over windows, so that the
    field describes the forecaster rather than one window.

    Raises
    ------
    UserError
        A step is not among those that the forecaster predicts.
    """
    still = evaluating(forecaster) if isinstance(forecaster, nn.Module) else nullcontext()
    # cuDNN's recurrent kernels have no backward pass at evaluation.
    with still, torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        x = past.detach().clone().requires_grad_()
        ahead = forecaster(x)  # (N, H, K)
        horizon, channels = ahead.shape[1:]
        steps = list(range(1, horizon + 1) if steps is None else steps)
        if not steps or min(steps) < 1 or max(steps) > horizon:
            raise UserError(f"steps: found {steps}, expected steps from 1 to {horizon}")
        rows = []
        for step in tqdm(steps, desc="receptive field", delay=2, leave=False):
            row = x.new_zeros(x.shape[1], dtype=torch.float64)
            for part in ahead[:, step - 1].split(channels if apart else 1, -1):
                # Windows do not interact, so the gradient of the sum holds that of each window.
                (slope,) = torch.autograd.grad(part.sum(), x, retain_graph=True, allow_unused=True)
                if slope is not None:
                    row += slope.abs().sum(2).double().mean(0)
            rows.append(row.flip(0) / channels)
    return torch.stack(rows).cpu().numpy()


def differentiable(
    model: "SeriesForecaster", horizon: int | None = None
) -> Callable[[Tensor], Tensor]:
    """A fitted forecaster as a map of its past, (N, L, C) -> (N, H, C), standardised.

    L is ``model.look_back``. The calendar's part is left out: it does not depend on the past.

    Parameters
    ----------
    horizon : one of ``model.horizons``; the longest by default.

    Raises
    ------
    UserError
        The horizon is another, or the forecaster has exogenous inputs.
    """
    horizon = max(model.horizons) if horizon is None else horizon
    if horizon not in model.horizons:
        raise UserError(f"horizon: found {horizon}, expected one of {model.horizons}")
    if model.names.known or model.names.past:
        raise UserError(
            "the forecaster has exogenous inputs: a receptive field is measured without any"
        )
    network = model.network
    look_back = network.config.steps
    if model.alone:
        return lambda past: network(past[:, -look_back:])[:, :horizon]
    path = model.path(horizon)
    mean, deviation, lags = path.mean, path.deviation, path.product.look_back - 1
    # The rows of the lags, the vector and the level; those of the calendar lie before the last.
    weight = torch.cat([path.weight[:, : lags + len(mean)], path.weight[:, -1:]], 1)  # (M, d, H)

    def forecaster(past: Tensor) -> Tensor:
        last = past[:, -1:]  # (N, 1, C)
        vectors = network.summary(network.seen(past[:, -look_back:])[0])
        vectors = ((vectors - mean) / deviation).view(len(past), -1, len(mean))  # (N, C or 1, D)
        parts = [
            (past[:, -lags - 1 : -1] - last).mT,
            vectors.expand(-1, past.shape[2], -1),
            last.mT,
        ]
        maps = weight.expand(past.shape[2], -1, -1)  # (C, d, H)
        return last + torch.einsum("ncd,cdh->nhc", torch.cat(parts, 2), maps)

    return forecaster


def measured(model: "SeriesForecaster", series: Series, horizon: int) -> np.ndarray:
    """The receptive field (H, L) of a fitted forecaster on validation windows of its series."""
    rows, look_back = series.split.valid, model.look_back
    values = model.scaler.transform(series.scaler.inverse(series.values[0]))
    values = filled(values).astype(np.float32)
    starts = np.linspace(max(rows.start, look_back - 1), rows.stop - 1, _WINDOWS).astype(int)
    past = np.stack([values[t - look_back + 1 : t + 1] for t in starts])  # (N, L, C)
    apart = model.network.independent
    return receptive_field(differentiable(model, horizon), torch.from_numpy(past), apart=apart)


def period_within(field: np.ndarray, series: Series) -> int | None:
    """The season of the series in steps, or None if the field (H, L) does not reach so far back."""
    return series.period if series.period and series.period <= field.shape[1] else None


def periodicity(
    field: np.ndarray, periods: Sequence[int], steps: Sequence[int] | None = None
) -> float:
    """Share of a receptive field at whole periods before the forecast, relative to a flat field.

        s_j = sum_{l: (j + l) mod p = 0} F_jl^2 / sum_l F_jl^2        score = (s - s0) / (1 - s0)

    s is the mean of s_j over output steps with any dependence, s0 that of a flat field. The score
    is 1 if all energy lies at whole periods (a seasonal naive forecast), 0 for a flat field, and
    negative if the field avoids them. Persistence scores 0 if the horizon is a multiple of the
    period.

    Parameters
    ----------
    field : (J, L) of :func:`receptive_field`.
    periods : p in steps, at least 2 each; a lag counts if j + l is a multiple of any.
    steps : output steps of the rows, counted from 1; 1 to J by default.

    Raises
    ------
    UserError
        A period is shorter than 2 steps, or no multiple of any lies within the field.
    """
    if not periods or min(periods) < 2:
        raise UserError(f"periods: found {tuple(periods)}, expected periods of at least 2 steps")
    count, lags = field.shape
    ahead = np.arange(1, count + 1) if steps is None else np.asarray(steps)
    apart = ahead[:, None] + np.arange(lags)  # steps from the value read to the value forecast
    whole = np.any([apart % period == 0 for period in periods], axis=0)
    energy = np.square(field)
    seen = energy.sum(1) > 0
    flat = whole[seen].mean() if seen.any() else 0.0
    if not 0 < flat < 1:
        raise UserError(
            f"periods {tuple(periods)}: no multiple lies within {lags} lags, or the forecast "
            "depends on none of them"
        )
    share = ((energy * whole).sum(1)[seen] / energy.sum(1)[seen]).mean()
    return float((share - flat) / (1 - flat))

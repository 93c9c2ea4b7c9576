"""Which past values a forecast depends on, measured: the empirical receptive field."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.errors import UserError


def receptive_field(
    forecaster: Callable[[Tensor], Tensor], past: Tensor, steps: Sequence[int] | None = None
) -> np.ndarray:
    """The mean of ``|d y_j / d x_{t - l}|`` over windows, for output step j and lag l.

    Parameters
    ----------
    forecaster : (N, L, C) -> (N, H, K), differentiable; a module is put into evaluation mode.
    past : (N, L, C), windows that end at the origin t.
    steps : output steps j to measure, from 1; all of them by default.

    Returns
    -------
    (len(steps), L) float64. Column l is the value l steps before the origin, so ``past`` backwards.
    Gradients of several input channels are summed, those of output channels averaged: of a linear
    map of one channel this is exactly its absolute weights. A forecaster that reads each channel by
    itself is measured K times faster on windows of one channel, (N C, L, 1).

    Zhang et al. (2023, sec. 4.4, eq. 3) draw the gradient of the squared error of step j for one
    window. Here the error does not weigh the gradient, and windows are averaged, so the field
    belongs to the forecaster rather than to one window's luck.

    Raises
    ------
    UserError
        A step that the forecaster does not have.
    """
    training = isinstance(forecaster, nn.Module) and forecaster.training
    if isinstance(forecaster, nn.Module):
        forecaster.eval()
    # cuDNN's recurrent kernels have no backward pass at evaluation.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        x = past.detach().clone().requires_grad_()
        ahead = forecaster(x)  # (N, H, K)
        horizon, channels = ahead.shape[1:]
        steps = list(range(1, horizon + 1) if steps is None else steps)
        if not steps or min(steps) < 1 or max(steps) > horizon:
            raise UserError(f"steps: found {steps}, expected steps from 1 to {horizon}")
        rows = []
        for step in tqdm(steps, desc="receptive field", delay=2, leave=False):
            row = x.new_zeros(x.shape[1], dtype=torch.float64)
            for channel in range(channels):
                # Windows do not meet, so the gradient of the sum holds each window's own.
                total = ahead[:, step - 1, channel].sum()
                (slope,) = torch.autograd.grad(total, x, retain_graph=True, allow_unused=True)
                if slope is not None:
                    row += slope.abs().sum(2).double().mean(0)
            rows.append(row.flip(0) / channels)
    if isinstance(forecaster, nn.Module):
        forecaster.train(training)
    return torch.stack(rows).cpu().numpy()


def periodicity(
    field: np.ndarray, periods: Sequence[int], steps: Sequence[int] | None = None
) -> float:
    """How much of a receptive field lies whole periods before what is forecast.

        s_j = sum_{l: (j + l) mod p = 0} F_jl^2 / sum_l F_jl^2        score = (s - s0) / (1 - s0)

    s is the mean of s_j over output steps with any dependence, s0 the same of a flat field: 1 where
    all energy lies at whole periods (a seasonal naive forecast), 0 as a flat field, below 0 where
    the field avoids them. Persistence scores 0 where the horizon is a multiple of the period.

    Parameters
    ----------
    field : (J, L) of :func:`receptive_field`.
    periods : p in steps, at least 2 each; a lag counts that is a multiple of any.
    steps : output steps of the rows, from 1; 1 to J by default.

    Raises
    ------
    UserError
        A period of less than 2 steps, or none of which a multiple lies within the field.
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

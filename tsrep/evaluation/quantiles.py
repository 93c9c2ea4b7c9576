"""Scores of quantile forecasts as the forecasting archives define them."""

from collections.abc import Sequence

import numpy as np

LEVELS = tuple(np.arange(1, 10) / 10)
"""Levels of the archives, .1 to .9."""


def pinball(truth: np.ndarray, found: np.ndarray, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """Twice the pinball loss, ``2 |(y - y_q) (1[y <= y_q] - q)|``, of the shape of ``found``.

    Averaged over levels that fill (0, 1) evenly it approaches the CRPS (Gneiting and Ranjan 2011,
    eq. 9). truth: (...). found: (..., Q).
    """
    error = truth[..., None] - found
    return 2 * np.abs(error * ((error <= 0) - np.asarray(levels)))


def weighted_quantile_loss(
    truth: np.ndarray, found: np.ndarray, levels: Sequence[float] = LEVELS
) -> float:
    """Mean over levels of the sum of :func:`pinball` losses over the sum of absolute values.

    Missing values of ``truth`` are left out. GIFT-Eval's mean weighted sum quantile loss.
    """
    losses = pinball(truth, found, levels)
    losses = losses[np.isfinite(truth)]
    return float(losses.sum(axis=0).mean() / np.abs(truth[np.isfinite(truth)]).sum())


def scaled_errors(
    truth: np.ndarray, found: np.ndarray, history: np.ndarray, season: int
) -> np.ndarray:
    """Absolute errors (H,) over the mean change of ``history (T,)`` from season to season.

    Their mean is the MASE (Hyndman and Koehler 2006). A history of no more than a season is scaled
    by its changes from step to step.
    """
    lag = season if len(history) > season else 1
    return np.abs(truth - found) / np.nanmean(np.abs(history[lag:] - history[:-lag]))

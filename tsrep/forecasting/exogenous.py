"""Inputs known ahead: a linear effect at their time, taken off a series where that helps."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tsrep.datasets.series import filled
from tsrep.forecasting.protocol import Forecast

T = TypeVar("T")


def _effect_of(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes (F, C) of ``values (T, C)`` on ``known (T, F)``, both standardised.

    A ridge of penalty 1 on the changes from row to row, because levels that drift together would
    look like an effect. Missing values are replaced by the last one seen.
    """
    x, y = np.diff(known, axis=0), np.diff(filled(values), axis=0)
    return np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)


def fit_beside(
    fit: Callable[[np.ndarray, bool], T],
    less_error: Callable[[T, T], bool],
    values: np.ndarray,
    known: np.ndarray,
    train: slice,
) -> tuple[T, np.ndarray]:
    """Fit a model to ``values (T, C)``, less the linear effect of ``known (T, F)`` if that helps.

    fit : maps values, and whether they are whole, to a model. less_error : whether the first of two
    models is to be taken in place of the second. Returns the model and the effect (F, C), which is
    zero unless removing it helps.
    """
    effect = _effect_of(known[train], values[train])
    plain = fit(values, True)
    beside = fit((values - known @ effect).astype(np.float32), False)
    if less_error(beside, plain):
        return beside, effect
    return plain, np.zeros_like(effect)


def with_effect(rest: Forecast, explained: np.ndarray, horizon: int) -> Forecast:
    """The forecast ``rest`` of values less ``explained (T, C)``, which is added at each step.

    Behind the last row of ``explained`` that row stands.
    """
    steps = np.arange(1, horizon + 1)

    def forecast(starts: np.ndarray) -> np.ndarray:
        ahead = np.minimum(starts[:, None] + steps, len(explained) - 1)
        return rest(starts) + explained[ahead]

    return forecast

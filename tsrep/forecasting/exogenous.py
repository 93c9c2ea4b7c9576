"""The linear effect of inputs that are known ahead, where it helps."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from tsrep.forecasting.baselines import filled

T = TypeVar("T")
HELPS = 0.99
"""Inputs enter where they bring the validation error below this share."""


def effect_of(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes (F, C) of ``values (T, C)`` on ``known (T, F)``, both standardised.

    A ridge of penalty 1 on the changes from row to row, because levels that drift together would
    look like an effect. Missing values are the last seen.
    """
    x, y = np.diff(known, axis=0), np.diff(filled(values), axis=0)
    return np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)


def fit_beside(
    fit: Callable[[np.ndarray], tuple[T, float]],
    values: np.ndarray,
    known: np.ndarray,
    train: slice,
) -> tuple[T, np.ndarray]:
    """A model of ``values (T, C)``, or of what ``known (T, F)`` leaves of them if that errs less.

    fit : values -> model and its validation error. Returns the model and the effect (F, C), zero
    where it does not help.
    """
    effect = effect_of(known[train], values[train])
    plain, error = fit(values)
    beside, least = fit((values - known @ effect).astype(np.float32))
    if least < HELPS * error:
        return beside, effect
    return plain, np.zeros_like(effect)

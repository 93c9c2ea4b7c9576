"""How far forecasts miss: quantiles of their errors on rows that they were not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = np.linspace(0, 1, 201)
"""Quantiles of the errors that are kept; others are interpolated between them."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Quantiles of errors: their size by step, their shape from all steps together.

    A step by itself has too few errors for its tails where the rows are few.

    deviation : (H, C), root mean square error of each step and channel.
    shape : (len(LEVELS), C), quantiles of the errors over their deviation.
    """

    deviation: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, errors: np.ndarray) -> "Spread":
        """From errors (n, H, C); NaN are left aside."""
        known = np.isfinite(errors)
        square = np.where(known, errors, 0.0) ** 2
        pooled = square.sum((0, 1)) / known.sum((0, 1)).clip(1)  # for steps without a known error
        count = known.sum(0)
        deviation = np.sqrt(np.where(count > 0, square.sum(0) / count.clip(1), pooled))
        ratio = errors / np.maximum(deviation, 1e-12)
        shapes = [
            np.quantile(part[here], LEVELS) if here.any() else np.zeros(len(LEVELS))
            for part, here in zip(np.moveaxis(ratio, 2, 0), np.moveaxis(known, 2, 0), strict=True)
        ]
        return cls(deviation, np.stack(shapes, axis=1))

    def quantiles(self, alphas: Sequence[float], steps: int | None = None) -> np.ndarray:
        """Quantiles of the errors of the first ``steps`` (default: H), in (0, 1): (steps, C, A).

        Behind step H the deviation grows with the root of the step, as a random walk's.
        """
        last = len(self.deviation)
        steps = steps or last
        growth = np.sqrt(np.maximum(np.arange(1, steps + 1) / last, 1))[:, None]
        deviation = growth * self.deviation[np.minimum(np.arange(steps), last - 1)]
        shape = np.array([np.interp(alphas, LEVELS, column) for column in self.shape.T])  # (C, A)
        return deviation[..., None] * shape

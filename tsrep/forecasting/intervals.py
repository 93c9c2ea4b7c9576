"""Prediction intervals: quantiles of forecast errors on rows not used for fitting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS = np.linspace(0, 1, 201)
"""Levels of the stored quantiles; others are interpolated."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Distribution of forecast errors: its size per step, its shape from all steps together.

    With few rows, a single step has too few errors to estimate its tails.

    deviation : (H, C), root mean square error per step and channel.
    shape : (len(LEVELS), C), quantiles of the errors divided by their deviation.
    """

    deviation: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, errors: np.ndarray) -> "Spread":
        """Estimate from errors (n, H, C); NaN are left out."""
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
        """Quantiles (steps, C, A) of the errors of the first ``steps``, H by default.

        alphas: A levels in (0, 1). Beyond step H the deviation grows with the square root of the
        step, as that of a random walk.
        """
        last = len(self.deviation)
        steps = steps or last
        growth = np.sqrt(np.maximum(np.arange(1, steps + 1) / last, 1))[:, None]
        deviation = growth * self.deviation[np.minimum(np.arange(steps), last - 1)]
        shape = np.array([np.interp(alphas, LEVELS, column) for column in self.shape.T])  # (C, A)
        return deviation[..., None] * shape

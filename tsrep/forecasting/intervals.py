"""Prediction intervals: quantiles of forecast errors in blocks of rows not used for fitting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

LEVELS = np.linspace(0, 1, 201)
"""Levels of the stored quantiles; others are interpolated."""

_NORMAL = norm.ppf(LEVELS.clip(LEVELS[1] / 2, 1 - LEVELS[1] / 2))
_PRIOR = 20
"""Independent errors that the normal shape counts for: chosen on simulated walks, autoregressions
and seasonal series of 60 and 120 rows."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Distribution of forecast errors: its size per step, its shape from all steps together.

    With few rows, a single step has too few errors to estimate its tails.

    deviation : (H, C), root mean square error per step and channel.
    shape : (len(LEVELS), C), quantiles of the errors divided by their deviation, drawn to those of
        the normal distribution, the more the fewer errors there are.
    freedom : (H,), number of errors of a step as if they were independent.
    """

    deviation: np.ndarray
    shape: np.ndarray
    freedom: np.ndarray

    @classmethod
    def of(cls, errors: np.ndarray, starts: np.ndarray, steps: np.ndarray) -> "Spread":
        """Estimate from errors (n, m, C) at ``steps (m,)``, rising, after origins ``starts (n,)``.

        NaN are left out. Squared deviations are interpolated between steps. Errors of windows that
        overlap are alike: R rows of origins hold about ``3 R / 2 h`` independent errors of step h,
        the number of moving averages of h steps that give a variance as well (Bartlett's formula).
        """
        known = np.isfinite(errors)
        square = np.where(known, errors, 0.0) ** 2
        pooled = square.sum((0, 1)) / known.sum((0, 1)).clip(1)  # for steps without a known error
        count = known.sum(0)
        variance = np.where(count > 0, square.sum(0) / count.clip(1), pooled)  # (m, C)
        ratio = errors / np.maximum(np.sqrt(variance), 1e-12)
        shapes = [
            np.quantile(part[here], LEVELS) if here.any() else np.zeros(len(LEVELS))
            for part, here in zip(np.moveaxis(ratio, 2, 0), np.moveaxis(known, 2, 0), strict=True)
        ]
        every = np.arange(1, steps[-1] + 1)
        between = np.stack([np.interp(every, steps, own) for own in variance.T], axis=1)
        spanned = starts[-1] - starts[0] + 1
        freedom = np.minimum(1.5 * spanned / every + 1, max(1, len(starts)))
        share = freedom.mean() / (freedom.mean() + _PRIOR)
        shape = share * np.stack(shapes, axis=1) + (1 - share) * _NORMAL[:, None]
        return cls(np.sqrt(between), shape, freedom)

    def quantiles(self, alphas: Sequence[float], steps: int | None = None) -> np.ndarray:
        """Quantiles (steps, C, A) of the errors of the first ``steps``, H by default.

        alphas: A levels in (0, 1). Beyond step H the deviation grows with the square root of the
        step, as that of a random walk.

        A deviation that was estimated from few errors is wrong itself. Quantiles are widened by the
        ratio of Student's quantile, of as many degrees of freedom, to the normal one: the exact
        correction for normal errors, as the level ``(n + 1) / n`` of split conformal inference is
        for n exchangeable ones, which forecast errors are not.
        """
        last = len(self.deviation)
        steps = steps or last
        at = np.minimum(np.arange(steps), last - 1)
        growth = np.sqrt(np.maximum(np.arange(1, steps + 1) / last, 1))[:, None]
        deviation = growth * self.deviation[at]
        shape = np.array([np.interp(alphas, LEVELS, column) for column in self.shape.T])  # (C, A)
        tails = np.maximum(np.abs(np.subtract(alphas, 0.5)), 0.1) + 0.5
        wider = t.ppf(tails, self.freedom[at, None]) / norm.ppf(tails)  # (steps, A)
        return deviation[..., None] * shape * wider[:, None]

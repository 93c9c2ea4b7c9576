"""Ridge regression on blocks of features, its penalty chosen by leave-one-out errors."""

from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(np.logspace(-7, 2, 19))
"""Penalties per row, for features of mean square 1."""


@dataclass(frozen=True, eq=False)
class Standard:
    """Columns to mean 0 and deviation 1, then the whole block to mean square ``share``."""

    mean: np.ndarray
    factor: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, share: float) -> "Standard":
        deviation = x.std(axis=0, dtype=np.float64)
        # A column that rounding alone makes vary says nothing.
        varies = deviation > 1e-6 * np.abs(x).max(axis=0, initial=1e-30)
        size = np.sqrt(share / max(varies.sum(), 1))
        return cls(
            x.mean(axis=0, dtype=np.float64),
            np.divide(size, deviation, out=np.zeros_like(deviation), where=varies),
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) * self.factor


class LeaveOneOut:
    """Ridge for every penalty and its leave-one-out predictions, from one eigendecomposition.

        min_W,b ||y - x W - b||^2 + n alpha ||W||^2

    x: (n, d), centred. y: (n, m). With ``x = U S V'``, the hat matrix has the diagonal
    ``h_i = 1/n + sum_k u_ik^2 s_k^2 / (s_k^2 + n alpha)``, and the prediction of row i by the ridge
    that is fitted to the other rows, at the same penalty ``n alpha``, is ``y_i - (y_i - p_i) /
    (1 - h_i)`` (Allen's PRESS; the means are fitted anew, too).
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        n, d = x.shape
        self.x, self.y = x, y
        self.mean = y.mean(axis=0)
        values, vectors = np.linalg.eigh(x @ x.T if n <= d else x.T @ x)
        kept = values > max(n, d) * np.finfo(np.float64).eps * values[-1]
        self.squares = values[kept]
        self.u = vectors[:, kept] if n <= d else x @ vectors[:, kept] / np.sqrt(self.squares)
        self.uy = self.u.T @ (y - self.mean)

    def predictions(self, alpha: float) -> np.ndarray:
        """Leave-one-out predictions (n, m)."""
        n = len(self.y)
        shrink = self.squares / (self.squares + n * alpha)
        leverage = 1 / n + self.u**2 @ shrink
        fitted = self.mean + self.u @ (shrink[:, None] * self.uy)
        # A row that alone carries a direction has a leverage of 1: its own value is all that is
        # known of it, and without it there is the mean of the others.
        free = np.maximum(1 - leverage, 1e-10)[:, None]
        return self.y - (self.y - fitted) / free

    def weight(self, alpha: float) -> np.ndarray:
        """W (d, m); the bias is the mean of y."""
        return self.x.T @ (self.u @ (self.uy / (self.squares + len(self.y) * alpha)[:, None]))

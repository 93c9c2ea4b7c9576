"""Ridge regression on blocks of features, its penalty chosen by leave-one-out errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(np.logspace(-7, 2, 19))
"""Penalties per row, for rows of squared length 1 on average."""
BLIND = 1e-4
"""The penalty where nothing tells which is best."""


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
        self.x, self.y, self.mean = x, y, y.mean(axis=0)
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
        # Without a penalty, a row that alone carries a direction has a leverage of 1.
        return self.y - (self.y - fitted) / np.maximum(1 - leverage, 1e-10)[:, None]

    def weight(self, alpha: float) -> np.ndarray:
        """W (d, m); the bias is the mean of y."""
        return self.x.T @ (self.u @ (self.uy / (self.squares + len(self.y) * alpha)[:, None]))


@dataclass(frozen=True, eq=False)
class BlockScale:
    """Standardises columns, and scales each block of features to its share.

    After it, rows have squared length 1 on average. A block's share of it is proportional to the
    square root of its columns: with equal columns, many random features would drown the few
    components of an encoder's vector; with equal blocks, these would be over-rated. (Chosen by
    cross-validation on train halves of the UCR sets, where a tenth was best.)
    """

    means: list[np.ndarray]
    factors: list[np.ndarray]

    @classmethod
    def fit(cls, blocks: Sequence[np.ndarray]) -> "BlockScale":
        """Means and factors of ``blocks``, arrays (n, d_k); a constant column becomes 0."""
        means = [block.mean(axis=0, dtype=np.float64) for block in blocks]
        deviations = [_deviations(block) for block in blocks]
        roots = np.sqrt([np.isfinite(d).sum() for d in deviations])
        shares = roots / max(roots.sum(), 1)
        sizes = np.sqrt(shares) / np.maximum(roots, 1)  # of one column
        return cls(means, [size / d for size, d in zip(sizes, deviations, strict=True)])

    def __call__(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """The blocks side by side, (n, d) float64."""
        parts = zip(blocks, self.means, self.factors, strict=True)
        return np.concatenate([(x - mean) * factor for x, mean, factor in parts], axis=1)


def _deviations(block: np.ndarray) -> np.ndarray:
    """Of each column, in float64; infinite where rounding alone makes it vary."""
    found = block.std(axis=0, dtype=np.float64)
    return np.where(found > 1e-6 * np.abs(block).max(axis=0, initial=0.0), found, np.inf)


@dataclass(frozen=True, eq=False)
class BlockRidge:
    """A fitted ridge on blocks of features. left_out: (n, m), what it predicts for each training
    row without having seen it. alpha: its penalty.
    """

    scale: BlockScale
    weight: np.ndarray
    bias: np.ndarray
    left_out: np.ndarray
    alpha: float

    @classmethod
    def fit(
        cls,
        blocks: Sequence[np.ndarray],
        y: np.ndarray,
        penalties: Sequence[float] = PENALTIES,
        judged: np.ndarray | None = None,
    ) -> "BlockRidge":
        """Fit ``y (n, m)`` on ``blocks``, arrays (n, d_k), scaled by :class:`BlockScale`.

        The penalty has the least mean squared leave-one-out error on the rows ``judged`` (n,), by
        default all; of equals, the largest. If no row is judged it is ``BLIND``.
        """
        scale = BlockScale.fit(blocks)
        path = LeaveOneOut(scale(blocks), y)
        found = {a: path.predictions(a) for a in sorted(penalties, reverse=True)}
        rows = np.ones(len(y), dtype=bool) if judged is None else judged
        if rows.any():
            alpha = min(found, key=lambda a: np.square(y - found[a])[rows].mean())
        else:
            alpha = min(found, key=lambda a: abs(np.log(a / BLIND)))
        return cls(scale, path.weight(alpha), path.mean, found[alpha], alpha)

    def predict(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """(n, m) float64 of blocks (n, d_k)."""
        return self.scale(blocks) @ self.weight + self.bias

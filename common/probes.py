"""The ridge probe: linear regression on frozen embeddings, its penalty chosen on validation rows.

Rows are ``x: (n, d)``, numpy arrays or tensors.

    path = RidgePath(Moments.of(x, y))
    model = path.choose(x_valid, y_valid)
    model.predict(x_test)
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

PENALTIES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""The ridge penalties of the TS2Vec, CoST and AutoTCL protocol."""

_BLOCK_BYTES = 16 << 20  # labels per block; in smaller blocks, adding moments dominates


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of a least-squares fit of y on x; those of two sets of rows add up.

    rows: n. x_mean: (d,), y_mean: (m,): column means. xx: (d, d), xy: (d, m), yy: (m,): sums of
    products of the centred columns. All in float64.
    """

    rows: int
    x_mean: np.ndarray
    y_mean: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    @classmethod
    def of(cls, x, y) -> "Moments":
        """Moments of ``x: (n, d)`` and labels ``y: (n, ...)``, whose last axes become m targets.

        Labels are copied block by block, so a strided view (overlapping windows) is never copied
        whole. ``x'x`` is computed in float64; ``x'y`` in the precision of x and y within a block,
        then summed over blocks in float64. Raises ValueError if there are no rows, or if x and y
        differ in length.
        """
        x, y = _rows(x), _array(y)
        _check_same_rows(x, y)
        parts = iter(_blocks(x, y))
        total = cls._of_block(*next(parts))
        for x_part, y_part in parts:
            total = total + cls._of_block(x_part, y_part)
        return total

    @classmethod
    def _of_block(cls, x: np.ndarray, y: np.ndarray) -> "Moments":
        x_mean, y_mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
        wide = x - x_mean  # float64
        centred = wide.astype(np.result_type(x, y), copy=False)
        y = y - y_mean.astype(y.dtype, copy=False)
        yy = np.einsum("ij,ij->j", y, y).astype(np.float64)
        xy = (centred.T @ y).astype(np.float64, copy=False)
        return cls(len(x), x_mean, y_mean, wide.T @ wide, xy, yy)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of rows together, without cancellation (Chan et al. 1983)."""
        rows = self.rows + other.rows
        x_gap, y_gap = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        share = other.rows / rows
        weight = self.rows * share
        xy = np.outer(weight * x_gap, y_gap)
        xy += self.xy
        xy += other.xy
        return Moments(
            rows,
            self.x_mean + share * x_gap,
            self.y_mean + share * y_gap,
            self.xx + other.xx + np.outer(weight * x_gap, x_gap),
            xy,
            self.yy + other.yy + weight * y_gap**2,
        )

    def _first_targets(self, count: int) -> "Moments":
        """Moments for the first ``count`` targets only."""
        return Moments(
            self.rows,
            self.x_mean,
            self.y_mean[:count],
            self.xx,
            self.xy[:, :count],
            self.yy[:count],
        )


def nested_moments(x, labels: Sequence) -> list[Moments]:
    """Moments of x with each of several nested label arrays, at the cost of one.

    Forecasts of several horizons are nested: the targets of a long horizon start with those of a
    short one, and the short one has more rows. x: (n, d). labels: arrays (n_k, ...) with m_k
    targets, in any order; row i belongs to row i of x. An array with more targets must not have
    more rows, and any two must agree in the rows and targets they share (this is not checked).
    Raises ValueError if an array has both more rows and more targets than another, or more rows
    than x.
    """
    x, labels = _rows(x), [_array(y) for y in labels]
    sizes = [(int(np.prod(y.shape[1:])), len(y)) for y in labels]
    order = sorted(range(len(labels)), key=lambda k: (-sizes[k][0], sizes[k][1]))
    found: dict[int, Moments] = {}
    last: Moments | None = None
    for k in order:
        targets, rows = sizes[k]
        if rows > len(x) or (last is not None and rows < last.rows):
            raise ValueError(
                f"labels of (targets, rows) {sizes} for {len(x)} rows of x, expected fewer rows "
                "where there are more targets, and no more rows than x"
            )
        if last is None:
            last = Moments.of(x[:rows], labels[k])
        else:
            start, last = last.rows, last._first_targets(targets)
            if rows > start:
                last = last + Moments.of(x[start:rows], labels[k][start:])
        found[k] = last
    return [found[k] for k in range(len(labels))]


@dataclass(frozen=True, eq=False)
class RidgeModel:
    """A fitted ridge regression. weight: (d, m), bias: (m,), in float64. alpha: its penalty.

    score: the validation score that selected it, None without selection. scale: (d,), the column
    scales of its path, None for ones.
    """

    weight: np.ndarray
    bias: np.ndarray
    alpha: float
    score: float | None = None
    scale: np.ndarray | None = None

    def predict(self, x) -> np.ndarray:
        """x: (n, d) -> (n, m), in the precision of x."""
        x = _rows(x)
        return x @ self.weight.astype(x.dtype, copy=False) + self.bias.astype(x.dtype, copy=False)


class RidgePath:
    """Ridge regression for every penalty from one eigendecomposition of the centred Gram matrix.

    ``min_W,b ||y - x W - b||^2 + alpha ||W||^2``, the objective of ``sklearn.linear_model.Ridge``.
    With ``x'x = V diag(s) V'`` (centred), ``W = V diag(1 / (s + alpha)) V' x'y``.

    moments: moments of the training rows. scale: (d,), factors of the columns before the penalty
    is applied, so that column j has the penalty ``alpha / scale_j^2``; the models apply to the
    unscaled x. Default: ones.
    """

    def __init__(self, moments: Moments, scale=None):
        self.moments = moments
        self.scale = None if scale is None else np.asarray(scale, dtype=np.float64)
        s = np.ones_like(moments.x_mean) if self.scale is None else self.scale
        if s.shape != moments.x_mean.shape or not (s > 0).all():
            raise ValueError(
                f"scale has shape {s.shape} and minimum {s.min(initial=np.inf):g}, expected "
                f"{moments.x_mean.shape} numbers above 0"
            )
        values, vectors = np.linalg.eigh(s[:, None] * moments.xx * s)
        # Rounding leaves zero eigenvalues at about this size.
        noise = len(values) * np.finfo(np.float64).eps * values[-1]
        self._values = np.where(values > noise, values, 0.0)
        self._basis = s[:, None] * vectors  # (d, d), from unscaled x to the eigenbasis
        self._xy = self._basis.T @ moments.xy  # (d, m)

    def model(self, alpha: float, score: float | None = None) -> RidgeModel:
        """The ridge regression with penalty ``alpha``."""
        weight = self._basis @ (self._shrink(alpha)[:, None] * self._xy)
        bias = self.moments.y_mean - self.moments.x_mean @ weight
        return RidgeModel(weight, bias, float(alpha), score, self.scale)

    def errors(self, x, y, alphas: Sequence[float] = PENALTIES) -> tuple[np.ndarray, np.ndarray]:
        """MSE and MAE of each penalty on rows ``x: (n, d)``, ``y: (n, ...)``.

        Returns two arrays (len(alphas),) of means over rows and targets.
        """
        x, y = _rows(x), _array(y)
        _check_same_rows(x, y)
        dtype = np.result_type(x, y)
        y_mean, xy = self.moments.y_mean.astype(dtype), self._xy.astype(dtype, copy=False)
        shrinks = [self._shrink(alpha).astype(dtype) for alpha in alphas]
        squared, absolute = np.zeros(len(alphas)), np.zeros(len(alphas))
        for x_part, y_part in _blocks(x, y):
            coordinates = ((x_part - self.moments.x_mean) @ self._basis).astype(dtype, copy=False)
            wanted = y_part - y_mean
            for k, shrink in enumerate(shrinks):
                error = (coordinates * shrink) @ xy
                np.subtract(error, wanted, out=error)
                squared[k] += np.vdot(error, error)
                absolute[k] += np.abs(error, out=error).sum(dtype=np.float64)
        count = len(x) * xy.shape[1]
        return squared / count, absolute / count

    def mse(self, moments: Moments, alphas: Sequence[float] = PENALTIES) -> np.ndarray:
        """MSE of each penalty (len(alphas),) on the rows that ``moments`` describes.

        The cost does not depend on the number of rows, and hardly on that of penalties. The result
        is accurate to about 1e-12 of the targets' variance.
        """
        own = self.moments
        gram = self._basis.T @ moments.xx @ self._basis
        gram *= self._xy @ self._xy.T
        cross = np.einsum("ij,ij->i", self._xy, self._basis.T @ moments.xy)
        x_gap = (moments.x_mean - own.x_mean) @ self._basis
        y_gap = moments.y_mean - own.y_mean
        d = np.stack([self._shrink(alpha) for alpha in alphas])  # (A, d)
        squared = moments.yy.sum() - 2 * d @ cross + np.einsum("ai,ij,aj->a", d, gram, d)
        squared += moments.rows * ((y_gap - (d * x_gap) @ self._xy) ** 2).sum(axis=1)
        return squared.clip(min=0) / (moments.rows * len(y_gap))

    def choose(self, x, y, alphas: Sequence[float] = PENALTIES) -> RidgeModel:
        """The ridge whose penalty minimises sqrt(MSE) + MAE on validation rows.

        This is the criterion of the TS2Vec, CoST and AutoTCL protocol. Ties go to the first.
        """
        mse, mae = self.errors(x, y, alphas)
        scores = np.sqrt(mse) + mae
        best = int(scores.argmin())
        return self.model(alphas[best], float(scores[best]))

    def _shrink(self, alpha: float) -> np.ndarray:
        # With a penalty of 0, directions without variance get weight 0, as in a pseudo-inverse.
        values = self._values + alpha
        return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def choose_scaled_ridge(
    moments: Moments,
    x,
    y,
    scales: Iterable[np.ndarray],
    alphas: Sequence[float] = PENALTIES,
) -> RidgeModel:
    """Choose penalty and column scales together, by the criterion of :meth:`RidgePath.choose`.

    moments: moments of the training rows, computed once for all scales. x: (n, d), y: (n, ...):
    validation rows. scales: candidate column scales (d,).
    """
    models = (RidgePath(moments, scale).choose(x, y, alphas) for scale in scales)
    return min(models, key=lambda model: math.inf if model.score is None else model.score)


def _array(x) -> np.ndarray:
    """Tensor or array to numpy array; integers become float64."""
    x = x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


def _rows(x) -> np.ndarray:
    x = _array(x)
    if x.ndim != 2:
        raise ValueError(f"x has shape {x.shape}, expected (rows, dim)")
    return x


def _check_same_rows(x: np.ndarray, y: np.ndarray) -> None:
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x has {len(x)} rows and y {len(y)}, expected as many, at least one")


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of rows (b, d) and contiguous labels (b, m)."""
    targets = int(np.prod(y.shape[1:]))
    size = max(64, _BLOCK_BYTES // (y.itemsize * max(targets, x.shape[1])))
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        yield x[part], np.ascontiguousarray(y[part]).reshape(-1, targets)

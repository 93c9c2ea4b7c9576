"""Windows of long series, and their vectors on a common scale."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from tspcrep.common.errors import UserError
from tsrep.sklearn.pretrained import vectors_of

_ROWS = 4096


def checked_series(series, name: str = "series") -> np.ndarray:
    """``series (T, C)``, or (T,) of one channel, as (T, C) float64; NaN where missing.

    Raises ValueError for another shape and for infinite values.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"{name} has shape {np.shape(series)}, expected (steps, channels), or (steps,) for one "
            "channel"
        )
    if np.isinf(values).any():
        step = int(np.argwhere(np.isinf(values))[0, 0])
        raise ValueError(f"{name} is infinite at step {step}: correct it or mark it as missing")
    return values


def windows_of(series: np.ndarray, length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """First steps (W,) and windows (W, length, C) of ``series (T, C)``.

    Every ``stride`` steps, and the last window of the series whatever the stride. Raises ValueError
    for a series shorter than a window.
    """
    if len(series) < length:
        raise ValueError(
            f"the series has {len(series)} steps, expected at least a window of {length}: give a "
            "shorter window"
        )
    last = len(series) - length
    starts = np.unique([*range(0, last + 1, stride), last])
    view = np.lib.stride_tricks.sliding_window_view(series, length, axis=0)  # (T', C, length)
    return starts, view[starts].transpose(0, 2, 1)


class StandardisedValues(TransformerMixin, BaseEstimator):
    """The values of windows (N, T, C), each channel with mean 0 and deviation 1: (N, T C).

    As the matrix profile compares them. Missing values are at the mean, and a constant is 0.
    """

    def fit(self, X, y=None) -> "StandardisedValues":
        return self

    def transform(self, X) -> np.ndarray:
        known = ~np.isnan(X)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        x = np.where(known, X, 0.0)
        x = np.where(known, x - x.sum(axis=1, keepdims=True) / count, 0.0)
        deviation = np.sqrt(np.square(x).sum(axis=1, keepdims=True) / count)
        return (x / np.maximum(deviation, 1e-6)).reshape(len(x), -1)


class WindowVectors:
    """Vectors of windows, each component in units of its deviation over the windows of ``fit``.

    encoder: what :func:`tsrep.sklearn.pretrained.vectors_of` takes; a transformer that learns does
    so from windows. length: of a window, in steps. stride: steps from one window to the next; a
    sixteenth of a window by default.
    """

    def __init__(self, encoder, length: int, stride: int | None = None):
        if length < 2:
            raise UserError(f"window: found {length}, expected at least 2 steps")
        if stride is not None and stride < 1:
            raise UserError(f"stride: found {stride}, expected at least 1 step")
        self.length, self.stride = length, stride or max(1, length // 16)
        self.transformer = vectors_of(encoder)

    def fit(self, collection: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """First steps and vectors of the windows of each series (T, C), see :meth:`of`."""
        channels = {series.shape[1] for series in collection}
        if len(channels) != 1:
            raise ValueError(f"series have {sorted(channels)} channels, expected the same number")
        self.channels = channels.pop()
        # Windows side by side hold all there is to learn.
        parts = [windows_of(series, self.length, self.length)[1] for series in collection]
        self.transformer.fit(np.concatenate(parts))
        found = [self._encoded(series) for series in collection]
        vectors = np.concatenate([z for _, z in found])
        deviation = vectors.std(axis=0)
        # What rounding alone makes vary is no distance.
        varies = deviation > 1e-5 * np.abs(vectors).max(axis=0)
        scale = np.sqrt(max(varies.sum(), 1)) * deviation
        self.factor = np.divide(1, scale, out=np.zeros_like(scale), where=varies)
        return [(starts, z * self.factor) for starts, z in found]

    def of(self, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First steps (W,) and vectors (W, D) of the windows of ``series (T, C)``.

        The mean squared distance of two windows that were fitted is 2.
        """
        if series.shape[1] != self.channels:
            raise ValueError(
                f"the series has {series.shape[1]} channels, but {self.channels} were fitted"
            )
        starts, vectors = self._encoded(series)
        return starts, vectors * self.factor

    def _encoded(self, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts, windows = windows_of(series, self.length, self.stride)
        parts = range(0, len(starts), _ROWS)
        vectors = [self.transformer.transform(windows[at : at + _ROWS]) for at in parts]
        return starts, np.concatenate(vectors).astype(np.float64)

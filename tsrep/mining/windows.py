"""Windows of long series, and their vectors on a common scale."""

from dataclasses import dataclass, field

import numpy as np

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.sklearn.pretrained import opened


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

    Every ``stride`` steps, and the last window of the series whatever the stride.
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


@dataclass
class WindowVectors:
    """Vectors of windows from an encoder, each component in units of its deviation in ``fit``.

    encoder: a name, path or encoder, see :class:`tsrep.sklearn.PretrainedEncoder`. length: of a
    window, in steps. stride: steps from one window to the next; a sixteenth of a window by default.
    """

    encoder: str | Encoder
    length: int
    stride: int | None = None
    scaler: Scaler = field(init=False)

    def __post_init__(self):
        if self.length < 2:
            raise UserError(f"window: found {self.length}, expected at least 2 steps")
        if self.stride is not None and self.stride < 1:
            raise UserError(f"stride: found {self.stride}, expected at least 1 step")
        self.stride = self.stride or max(1, self.length // 16)
        self.network = opened(self.encoder)

    def fit(self, collection: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """First steps and vectors of the windows of each series, see :meth:`of`."""
        channels = {series.shape[1] for series in collection}
        if len(channels) != 1:
            raise ValueError(f"series have {sorted(channels)} channels, expected the same number")
        self.channels = channels.pop()
        self.scaler = Scaler.fit(np.concatenate(collection), where="series", keep_constant=True)
        parts = [self._encoded(series) for series in collection]
        vectors = np.concatenate([z for _, z in parts])
        deviation = vectors.std(axis=0)
        # What rounding alone makes vary is no distance.
        varies = deviation > 1e-5 * np.abs(vectors).max(axis=0)
        scale = np.sqrt(max(varies.sum(), 1)) * deviation
        self.factor = np.divide(1, scale, out=np.zeros_like(scale), where=varies)
        return [(starts, z * self.factor) for starts, z in parts]

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
        starts, windows = windows_of(self.scaler.transform(series), self.length, self.stride)
        return starts, encode(self.network, windows, pool=True, apart=True).astype(np.float64)

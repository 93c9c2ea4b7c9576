"""From a series to a trained encoder: the parts that tools, tests and benchmarks share."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from common.errors import UserError
from tsrep.encoders import Centred, DilatedConv
from tsrep.series import Panel, Series
from tsrep.windows import WindowDataset


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder: dilated convolutions, causal, behind a trailing mean."""

    dim: int = 128
    """Channels of the representation. The papers take 320."""
    hidden: int = 64
    """Channels inside."""
    depth: int = 6
    """Blocks before the last: 6 reach back 509 steps."""
    trend_kernels: tuple[int, ...] = ()
    """Lengths of CoST's averaged trend filters, such as 1 2 4 8 16 32 64 128; none by default."""
    causal: bool = True
    """Look back alone, so that a series is encoded in one pass. The papers' encoders are not."""
    level_window: int | None = None
    """Steps of the trailing mean that the encoder does not see; 0 for none. Default: 7 seasons."""
    channels: str = "independent"
    """"independent": one encoder reads every channel by itself; "joint": all channels together."""

    def __post_init__(self) -> None:
        if self.channels not in ("independent", "joint"):
            raise UserError(f"channels: found {self.channels!r}, expected 'independent' or 'joint'")

    def build(self, data: Series | Panel) -> nn.Module:
        """The untrained encoder for a series or a panel."""
        inner = DilatedConv(
            1 if self.channels == "independent" else data.channels,
            self.dim,
            self.hidden,
            self.depth,
            causal=self.causal,
            trend_kernels=self.trend_kernels,
        )
        window = self.level_window
        if window is None:
            period = getattr(data, "period", None)
            window = 7 * period if period else 168
        return Centred(inner, window) if window else inner


@dataclass(frozen=True)
class WindowConfig:
    """The windows that the encoder trains on."""

    length: int = 192
    """Steps of a window."""
    stride: int = 16
    """Steps between the starts of windows."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise UserError(
                f"length {self.length}, stride {self.stride}: expected windows of at least 1 step"
            )


def inner(encoder: nn.Module) -> nn.Module:
    """The network that training updates: without the trailing mean, which has no weights."""
    return encoder.encoder if isinstance(encoder, Centred) else encoder


def training_windows(series: Series, encoder: nn.Module, config: WindowConfig) -> WindowDataset:
    """Windows of the train rows as ``inner(encoder)`` sees them: channels apart, level removed."""
    values = _as_seen(encoder, series.values[:, : series.split.train.stop])
    return WindowDataset(values, config.length, config.stride, rows=series.split.train)


def panel_windows(panel: Panel, encoder: nn.Module, config: WindowConfig) -> WindowDataset:
    """As :func:`training_windows`, of the train instances of a panel.

    Instances shorter than a window are one window each, missing values behind their end.
    """
    length = min(config.length, panel.train.shape[1])
    return WindowDataset(_as_seen(encoder, panel.train), length, config.stride)


def _as_seen(encoder: nn.Module, values: np.ndarray) -> np.ndarray:
    """``values (N, T, C)`` as ``inner(encoder)`` sees them."""
    if encoder.in_channels == 1:
        values = np.concatenate([values[..., c : c + 1] for c in range(values.shape[2])])
    if isinstance(encoder, Centred):
        x = torch.from_numpy(values)
        values = (x - encoder.level(x)).numpy()
    return values

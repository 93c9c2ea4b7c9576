"""The one configuration of an encoder of series."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Panel, Series
from tsrep.encoders.dilated_conv import DilatedConv
from tsrep.encoders.level import Centred
from tsrep.encoders.lstm import LSTM
from tsrep.encoders.tcn import TCN
from tsrep.encoders.transformer import Transformer


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder: by default dilated convolutions, causal, behind a trailing mean."""

    kind: Literal["dilated", "transformer", "tcn", "lstm"] = "dilated"
    """The network; see tsrep.encoders."""
    dim: int = 128
    """Channels of the representation. The papers take 320, or 128 for transformer and lstm."""
    hidden: int = 64
    """Channels inside; kind dilated alone."""
    depth: int | None = None
    """Layers. Default: 6 for convolutions, which reach back 509 steps (tcn: 253), otherwise 2."""
    trend_kernels: tuple[int, ...] = ()
    """Lengths of CoST's averaged trend filters, such as 1 2 4 8 16 32; kind dilated alone."""
    heads: int = 4
    """Attention heads; kind transformer alone."""
    patch: int = 1
    """Steps of a token; kind transformer alone."""
    patch_stride: int | None = None
    """Steps between tokens; kind transformer alone. Default: patch, or 1 where causal."""
    dropout: float = 0.1
    """Share dropped in training; kind transformer alone."""
    causal: bool = True
    """Look back alone, so that a series is encoded in one pass. The papers' encoders are not."""
    level_window: int | None = None
    """Steps of the trailing mean that the encoder does not see; 0 for none. Default: 7 seasons."""
    channels: str = "independent"
    """"independent": one encoder reads every channel by itself; "joint": all channels together."""

    def __post_init__(self) -> None:
        if self.channels not in ("independent", "joint"):
            raise UserError(f"channels: found {self.channels!r}, expected 'independent' or 'joint'")
        if self.kind in ("tcn", "lstm") and not self.causal:
            raise UserError(f"kind {self.kind!r} looks back alone: leave causal on")
        if self.kind != "dilated" and self.trend_kernels:
            raise UserError(f"kind {self.kind!r} has no trend filters: leave trend_kernels out")

    def build(self, data: Series | Panel) -> nn.Module:
        """The untrained encoder for a series or a panel."""
        network = self.network(1 if self.channels == "independent" else data.channels)
        window = self.level_window
        if window is None:
            period = getattr(data, "period", None)
            window = 7 * period if period else 168
        return Centred(network, window) if window else network

    def network(self, channels: int) -> nn.Module:
        """The untrained network for so many channels, without the trailing mean."""
        depth = self.depth
        if depth is None:
            depth = 6 if self.kind in ("dilated", "tcn") else 2
        if self.kind == "tcn":
            return TCN(channels, self.dim, depth)
        if self.kind == "lstm":
            return LSTM(channels, self.dim, depth)
        if self.kind == "transformer":
            shape = (self.dim, depth, self.heads, self.patch, self.patch_stride)
            return Transformer(channels, *shape, dropout=self.dropout, causal=self.causal)
        return DilatedConv(
            channels,
            self.dim,
            self.hidden,
            depth,
            causal=self.causal,
            trend_kernels=self.trend_kernels,
        )

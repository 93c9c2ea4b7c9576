"""The table of backbones, the function that builds them, and the configuration of an encoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Panel, Series
from tsrep.encoders.base import Encoder
from tsrep.encoders.dilated_conv import DilatedConv
from tsrep.encoders.level import centred, level_window
from tsrep.encoders.lstm import LSTM
from tsrep.encoders.patch_transformer import PatchTransformer
from tsrep.encoders.tcn import TCN
from tsrep.encoders.transformer import Transformer

BACKBONES: dict[str, type[Encoder]] = {
    "dilated": DilatedConv,
    "transformer": Transformer,
    "tcn": TCN,
    "lstm": LSTM,
    "patch_transformer": PatchTransformer,
}
"""All networks by name. A new one is a file beside this and a line here."""
if TYPE_CHECKING:
    Backbone = str
else:
    Backbone = Literal[tuple(BACKBONES)]

REACH = 508
"""Steps that convolutional encoders of whole series look back by default."""


def _backbone_class(name: str) -> type[Encoder]:
    """The class of a network; raises UserError for an unknown name."""
    if name not in BACKBONES:
        raise UserError(f"backbone: found {name!r}, expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


def build_backbone(
    name: str, in_channels: int, dim: int, depth: int | None = None, *, reach: int, **options: Any
) -> Encoder:
    """An untrained network.

    Parameters
    ----------
    name : one of :data:`BACKBONES`.
    in_channels, dim : channels of the input and of the representation.
    depth : layers; if None, 2, or as many convolutions as look back ``reach`` steps.
    reach : steps.
    options : further arguments of the networks, such as ``hidden``, ``heads`` or ``causal``; those
        that this network does not have are ignored.
    """
    network = _backbone_class(name)
    depth = network.default_depth(reach) if depth is None else depth
    own = {key: value for key, value in options.items() if key in network.arguments()}
    return network(in_channels=in_channels, dim=dim, depth=depth, **own)


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder; by default causal dilated convolutions behind a trailing mean."""

    kind: Backbone = "dilated"
    """Network of the encoder; see tsrep.encoders."""
    dim: int = 128
    """Channels of the representation. The papers take 320, or 128 for transformer and lstm."""
    hidden: int = 64
    """Channels of the hidden layers; for kind dilated only."""
    depth: int | None = None
    """Number of layers. Default: 2 (patch_transformer: 4), or convolutions that look back 508
    steps."""
    trend_kernels: tuple[int, ...] = ()
    """Lengths of CoST's averaged trend filters, such as 1 2 4 8 16 32; for kind dilated only."""
    heads: int = 4
    """Number of attention heads; for the two kinds of transformer only."""
    patch: int = 1
    """Steps per token; for kind transformer only."""
    patch_stride: int | None = None
    """Steps between tokens; for kind transformer only. Default: patch, or 1 if causal."""
    dropout: float = 0.1
    """Dropout rate in training; for kind transformer only."""
    causal: bool = True
    """Look back only, so that a series is encoded in one pass; the papers' encoders look ahead, and
    so does kind patch_transformer always."""
    level_window: int | None = None
    """Steps of the trailing mean removed from the input, 0 for none. Default: 7 seasons."""
    channels: str = "independent"
    """"independent": one encoder reads each channel by itself; "joint": all channels together."""

    def __post_init__(self) -> None:
        if self.channels not in ("independent", "joint"):
            raise UserError(f"channels: found {self.channels!r}, expected 'independent' or 'joint'")
        network = _backbone_class(self.kind)
        arguments = network.arguments()
        if not self.causal and network.causal and "causal" not in arguments:
            raise UserError(f"kind {self.kind!r} looks back only: leave causal on")
        if self.trend_kernels and "trend_kernels" not in arguments:
            raise UserError(f"kind {self.kind!r} has no trend filters: leave trend_kernels out")

    def build(self, data: Series | Panel) -> Encoder:
        """The untrained encoder for a series or a panel."""
        network = self.network(1 if self.channels == "independent" else data.channels)
        default = level_window(data.period)
        return centred(network, default if self.level_window is None else self.level_window)

    def network(self, in_channels: int) -> Encoder:
        """The untrained network for so many channels, without the trailing mean."""
        names = ("causal", "hidden", "trend_kernels", "heads", "patch", "dropout")
        options = {name: getattr(self, name) for name in names} | {"stride": self.patch_stride}
        return build_backbone(self.kind, in_channels, self.dim, self.depth, reach=REACH, **options)

"""SparseUNet: the Res16UNet family on every engine, a small variant for CPUs, and their files."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcrep.sparse import BatchNorm, Conv, ConvTranspose, SparseTensor, cat
from tspcrep.common import hub, weights
from tspcrep.common.config import from_dict
from tspcrep.common.errors import UserError

SHIPPED = Path(__file__).parents[1] / "weights"
"""Pretrained encoders in the package, each beside its model card."""


@dataclass(frozen=True)
class UNetConfig:
    """Widths and depths of a :class:`SparseUNet`; the defaults are the small variant for CPUs."""

    in_channels: int = 3
    """Input channels, such as 3 for colour."""
    stem: int = 16
    """Channels at input resolution."""
    stem_kernel: int = 3
    """Kernel size of the first convolution; 5 in the Res16UNet family."""
    encoder: tuple[int, ...] = (16, 32, 64, 64)
    """Channels per encoder level; each level halves the resolution."""
    decoder: tuple[int, ...] = (64, 32, 32, 32)
    """Channels per decoder level, from coarse to fine."""
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 1)
    """Residual blocks per encoder level."""
    decoder_blocks: tuple[int, ...] = (1, 1, 1, 1)
    """Residual blocks per decoder level."""

    def __post_init__(self) -> None:
        levels = len(self.encoder)
        for name in ("decoder", "encoder_blocks", "decoder_blocks"):
            if len(getattr(self, name)) != levels:
                raise UserError(
                    f"{name} is {getattr(self, name)}, expected {levels} numbers as in encoder"
                )
        numbers = (self.in_channels, self.stem, self.stem_kernel, *self.encoder, *self.decoder)
        if min(*numbers, *self.encoder_blocks, *self.decoder_blocks) < 1 or not levels:
            raise UserError(f"{self}: expected at least one level and numbers of at least 1")


_BLOCKS = {
    "14": ((1, 1, 1, 1), (1, 1, 1, 1)),
    "18": ((2, 2, 2, 2), (2, 2, 2, 2)),
    "34": ((2, 3, 4, 6), (2, 2, 2, 2)),
}
_DECODERS = {
    "14A": (128, 128, 96, 96),
    "14B": (128, 128, 128, 128),
    "14C": (192, 192, 128, 128),
    "18A": (128, 128, 96, 96),
    "18B": (128, 128, 128, 128),
    "18C": (192, 192, 128, 128),
    "34A": (256, 128, 64, 64),
    "34B": (256, 128, 64, 32),
    "34C": (256, 128, 96, 96),
}


def res16unet(name: str, in_channels: int = 3) -> UNetConfig:
    """The published configuration ``14A`` ... ``34C`` of Res16UNet.

    Widths and depths are those of SpatioTemporalSegmentation, whose 34C PointContrast and
    Contrastive Scene Contexts use. That code defines no 18C; here it has the decoder of 14C.
    """
    if name not in _DECODERS:
        raise UserError(f"name is {name!r}, expected one of {', '.join(_DECODERS)}")
    encoder_blocks, decoder_blocks = _BLOCKS[name[:2]]
    return UNetConfig(
        in_channels=in_channels,
        stem=32,
        stem_kernel=5,
        encoder=(32, 64, 128, 256),
        decoder=_DECODERS[name],
        encoder_blocks=encoder_blocks,
        decoder_blocks=decoder_blocks,
    )


class SparseUNet(nn.Module):
    """A U-Net of residual blocks on sparse voxels.

    ``stem -> [down, blocks] * levels -> [up, skip, blocks] * levels``: every ``down`` is a
    convolution of kernel and stride 2, every ``up`` its transpose onto the voxels of the finer
    level, whose features are concatenated (Choy, Gwak, Savarese, CVPR 2019, fig. 5).

    ``forward`` takes a :class:`SparseTensor` (N, in_channels) and returns one (N, dim) on the same
    voxels. The engine is the input's; weights do not depend on it.

    Attributes
    ----------
    voxel : voxel size of its training in metres, or None; saved with the weights.
    inputs : names of what its channels hold, see :func:`pcrep.encoders.inputs.inputs_of`; saved.
    """

    voxel: float | None = None
    inputs: tuple[str, ...] = ("colour",)

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config = config or UNetConfig()
        self.in_channels, self.dim = config.in_channels, config.decoder[-1]
        self.stem = _ConvNorm(Conv(config.in_channels, config.stem, config.stem_kernel))
        self.down, self.encoder = nn.ModuleList(), nn.ModuleList()
        skips, width = [], config.stem
        for channels, blocks in zip(config.encoder, config.encoder_blocks, strict=True):
            skips.append(width)
            self.down.append(_ConvNorm(Conv(width, width, 2, 2)))
            self.encoder.append(_blocks(width, channels, blocks))
            width = channels
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for channels, blocks in zip(config.decoder, config.decoder_blocks, strict=True):
            self.up.append(_ConvNorm(ConvTranspose(width, channels, 2, 2)))
            self.decoder.append(_blocks(channels + skips.pop(), channels, blocks))
            width = channels

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.decode(self.encode(x))

    def encode(self, x: SparseTensor) -> list[SparseTensor]:
        """Features after the stem and after each level of the encoder, from fine to coarse."""
        levels = [self.stem(x)]
        for down, blocks in zip(self.down, self.encoder, strict=True):
            levels.append(blocks(down(levels[-1])))
        return levels

    def decode(self, levels: list[SparseTensor]) -> SparseTensor:
        """Features (N, dim) on the finest voxels, from what :meth:`encode` returned."""
        *skips, x = levels
        for up, blocks in zip(self.up, self.decoder, strict=True):
            x = blocks(cat(up(x), skips.pop()))
        return x


class _ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, conv: Conv | ConvTranspose):
        super().__init__()
        self.conv, self.norm = conv, BatchNorm(conv.out_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.norm(self.conv(x)).map(_relu)


class BasicBlock(nn.Module):
    """``relu(shortcut(x) + norm(conv(relu(norm(conv(x))))))`` (He et al., CVPR 2016, fig. 2)."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1, self.norm1 = Conv(in_channels, channels), BatchNorm(channels)
        self.conv2, self.norm2 = Conv(channels, channels), BatchNorm(channels)
        self.downsample = (
            nn.Sequential(Conv(in_channels, channels, 1), BatchNorm(channels))
            if in_channels != channels
            else nn.Identity()
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.norm1(self.conv1(x)).map(_relu)
        y = self.norm2(self.conv2(y))
        return (y + self.downsample(x)).map(_relu)


def _relu(x: Tensor) -> Tensor:
    """ReLU in place: the input is a fresh output of a normalisation or a sum, used nowhere else."""
    return x.relu_()


def _blocks(in_channels: int, channels: int, count: int) -> nn.Sequential:
    widths = [in_channels] + [channels] * (count - 1)
    return nn.Sequential(*(BasicBlock(width, channels) for width in widths))


def save_encoder(path: str | Path, encoder: SparseUNet, half: bool = False) -> None:
    """Save weights, configuration, voxel size and inputs to a safetensors file.

    half : keep the weights in 16 bits, half the size; they are read as 32 bits again.
    """
    config = {**asdict(encoder.config), "voxel": encoder.voxel, "inputs": encoder.inputs}
    weights.save_encoder(path, encoder, SparseUNet.__name__, config, half)


def list_encoders() -> tuple[str, ...]:
    """Names of the pretrained encoders that the package brings along, for :func:`load_encoder`."""
    return weights.shipped_names(SHIPPED)


def of_header(config: dict[str, Any], tensors: int) -> SparseUNet:
    """The network that the header of a file with so many ``tensors`` describes, untrained.

    Raises UserError for more blocks than there are tensors, before any is made.
    """
    network = from_dict(UNetConfig, config)
    if sum(network.encoder_blocks + network.decoder_blocks) > tensors:
        raise UserError(f"{network}: more blocks than the file has tensors")
    return SparseUNet(network)


def load_encoder(path: str | Path) -> SparseUNet:
    """An encoder that is shipped, by its name, or that in a file or a folder.

    The folder is that of a run, or one that :func:`save_pretrained` wrote. The encoder is on the
    CPU and in evaluation mode.

    Raises
    ------
    UserError
        No such name or file, or one that holds no encoder or one of another kind.
    """
    path = weights.encoder_path(path, SHIPPED)
    kind, config, tensors = weights.read_encoder(path)
    if kind != SparseUNet.__name__:
        raise UserError(f"{path}: holds an encoder of kind {kind}, expected {SparseUNet.__name__}")
    voxel = config.pop("voxel", None)
    inputs = config.pop("inputs", list(SparseUNet.inputs))  # version 0.1 reads colour
    inputs = weights.check_names(inputs, "inputs", path)
    if not (voxel is None or (isinstance(voxel, float) and 0 < voxel < float("inf"))):
        raise UserError(f"{path}: voxel: found {voxel!r}, expected metres above 0")

    encoder = weights.build(lambda: of_header(config, len(tensors)), tensors, path)
    encoder.voxel, encoder.inputs = voxel, inputs
    return encoder.eval()


def save_pretrained(encoder: SparseUNet, folder: str | Path, license: str = "unknown") -> None:
    """Write an encoder as a folder in the form of the Hugging Face hub.

    ``model.safetensors`` is what :func:`save_encoder` writes; ``config.json`` shows its
    configuration and ``README.md`` is a model card to be filled in, which is kept where there is
    one. To upload: ``hf upload owner/name folder``.

    license : of the weights, by the hub's identifier, such as ``apache-2.0``.
    """
    save_encoder(Path(folder) / weights.MODEL, encoder)
    hub.describe(folder, "pcrep", "point clouds", license, ("point-cloud", "contrastive-learning"))


def from_pretrained(name: str | Path, revision: str | None = None) -> SparseUNet:
    """The encoder in a folder, or of the model ``owner/name`` on the Hugging Face hub.

    A folder, and a model in the hub's cache, need no network. Nothing is unpickled, and no code is
    downloaded. The extra ``hub`` brings what a download needs.

    revision : branch, tag or commit on the hub.

    Raises
    ------
    UserError
        As :func:`load_encoder`, and as :func:`tspcrep.common.hub.local_folder`.
    """
    return load_encoder(hub.local_folder(name, revision))

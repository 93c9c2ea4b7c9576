"""FCGF: one geometric feature a voxel, for matching and registering scans."""

from dataclasses import dataclass

from torch import nn
from torch.nn.functional import normalize

from pcrep.encoders.unet import BasicBlock
from pcrep.sparse import BatchNorm, Conv, ConvTranspose, SparseTensor, cat
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class FCGFConfig:
    """Widths of an :class:`FCGF`; the defaults are a small variant for CPUs."""

    in_channels: int = 1
    """Input channels; 1, a constant of 1, in the paper, which looks at geometry alone."""
    dim: int = 32
    """Channels of a feature."""
    stem_kernel: int = 5
    """Kernel size of the first convolution."""
    encoder: tuple[int, ...] = (16, 32, 64, 64)
    """Channels at input resolution, then at each level, which halves it."""
    decoder: tuple[int, ...] = (64, 32, 32, 32)
    """Channels of each level from coarse to fine, then of the layer before the last."""
    normalise: bool = True
    """Whether features have length 1."""

    def __post_init__(self) -> None:
        levels = len(self.encoder)
        if levels < 2 or len(self.decoder) != levels:
            raise UserError(
                f"encoder is {self.encoder} and decoder {self.decoder}, expected equally many "
                "numbers, at least two"
            )
        numbers = (self.in_channels, self.dim, self.stem_kernel, *self.encoder, *self.decoder)
        if min(numbers) < 1:
            raise UserError(f"{self}: expected numbers of at least 1")


def resunet_bn2c(stem_kernel: int = 7) -> FCGFConfig:
    """The published configuration, ResUNetBN2C, with 8.8 million weights.

    ``stem_kernel`` is 7 for the rooms of 3DMatch at 2.5 cm, and 5 for KITTI at 30 cm.
    """
    return FCGFConfig(
        stem_kernel=stem_kernel, encoder=(32, 64, 128, 256), decoder=(128, 64, 64, 64)
    )


class FCGF(nn.Module):
    """Fully convolutional geometric features (Choy, Park, Koltun, ICCV 2019).

    Layers are those of the published code: a U-Net with convolutions of kernel 3 and stride 2 down,
    their transposes up, a residual block at each level, the encoder's features concatenated, and
    two layers of kernel 1.

    ``forward`` takes a :class:`SparseTensor` (N, in_channels) and returns one (N, dim) on the same
    voxels. We normalise by the length or 1e-12, where the published code divides by the length.
    """

    def __init__(self, config: FCGFConfig | None = None):
        super().__init__()
        self.config = config = config or FCGFConfig()
        self.in_channels, self.dim = config.in_channels, config.dim
        stem, *encoder = config.encoder
        *decoder, last = config.decoder
        self.encoder = nn.ModuleList([_level(Conv(config.in_channels, stem, config.stem_kernel))])
        width, skips = stem, []
        for channels in encoder:
            skips.append(width)
            self.encoder.append(_level(Conv(width, channels, 3, 2)))
            width = channels
        self.decoder = nn.ModuleList()
        for channels in decoder:
            self.decoder.append(_level(ConvTranspose(width, channels, 3, 2)))
            width = channels + skips.pop()
        self.hidden = Conv(width, last, 1)
        self.final = Conv(last, config.dim, 1, bias=True)

    def forward(self, x: SparseTensor) -> SparseTensor:
        levels = []
        for level in self.encoder:
            x = level(x)
            levels.append(x)
        levels.pop()
        for level in self.decoder:
            x = cat(level(x), levels.pop())
        x = self.final(self.hidden(x).map(nn.functional.relu))
        return x.map(normalize) if self.config.normalise else x


def _level(conv: Conv | ConvTranspose) -> nn.Sequential:
    """A change of resolution without a nonlinearity of its own, and a residual block."""
    channels = conv.out_channels
    return nn.Sequential(conv, BatchNorm(channels), BasicBlock(channels, channels))

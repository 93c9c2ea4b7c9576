"""SECOND: a backbone of detectors, sparse voxels seen from above."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pcrep.sparse import BatchNorm, Conv, SparseTensor
from pcrep.sparse.engines.base import Sizes
from tspcrep.common.errors import UserError

_EPS, _MOMENTUM = 1e-3, 0.01  # of normalisation: OpenPCDet's, where torch has 1e-5 and 0.1


@dataclass(frozen=True)
class SECONDConfig:
    """Range and widths of a :class:`SECOND`; the defaults are a small variant for CPUs."""

    in_channels: int = 4
    """Input channels; 4, the mean x, y, z and intensity of a voxel's points, on KITTI."""
    shape: tuple[int, int, int] = (256, 256, 32)
    """Voxels along x, y and z of the range in which objects are detected, which starts at 0."""
    encoder: tuple[int, ...] = (16, 32, 64, 64)
    """Channels at input resolution, then at each level, which halves it."""
    bev: int = 128
    """Channels of the last sparse layer, which halves the height alone, for the view from above."""
    rpn: tuple[int, ...] = (64, 128)
    """Channels of each level of the 2D network; each but the first halves the resolution."""
    rpn_layers: tuple[int, ...] = (2, 2)
    """Convolutions per level of the 2D network, after its first."""
    rpn_up: int = 64
    """Channels that each level of the 2D network contributes to the output."""

    def __post_init__(self) -> None:
        if len(self.rpn_layers) != len(self.rpn):
            raise UserError(
                f"rpn_layers is {self.rpn_layers}, expected {len(self.rpn)} numbers as in rpn"
            )
        numbers = (self.in_channels, self.bev, self.rpn_up, *self.shape, *self.encoder, *self.rpn)
        if not self.encoder or not self.rpn or min(*numbers, *self.rpn_layers) < 1:
            raise UserError(f"{self}: expected at least one level and numbers of at least 1")
        step = self.stride * 2 ** (len(self.rpn) - 1)
        if len(self.shape) != 3 or any(side % step for side in self.shape[:2]):
            raise UserError(
                f"shape is {self.shape}, expected three numbers, x and y multiples of {step}, the "
                "cells of the coarsest level"
            )

    @property
    def stride(self) -> int:
        """Voxels along x and y of a cell of the output."""
        return 2 ** (len(self.encoder) - 1)

    @property
    def heights(self) -> int:
        """Cells of the last sparse layer along z."""
        return -(-self.shape[2] // (2 * self.stride))


def second_kitti() -> SECONDConfig:
    """The widths of OpenPCDet's SECOND, and its range on KITTI: voxels of 5 x 5 x 10 cm.

    For such voxels give ``voxelize`` points relative to (0, -40, -3) m, with z halved.
    """
    return SECONDConfig(shape=(1408, 1600, 40), rpn=(128, 256), rpn_layers=(5, 5), rpn_up=256)


class SECOND(nn.Module):
    """The backbone of SECOND (Yan, Mao, Li, Sensors 2018, sections 3.1.3 and 3.1.4).

    Layers are those of OpenPCDet's ``VoxelBackBone8x`` and ``BaseBEVBackbone``, which have other
    widths than the paper: two sparse convolutions on the input's voxels; levels of a strided one,
    which keeps every voxel that a tap reaches, and two on those voxels; one of kernel (1, 1, 3) and
    stride (1, 1, 2); the bird's-eye view; a region proposal network in 2D. A detector's heads are
    1 x 1 convolutions on the output.

    ``forward`` takes a :class:`SparseTensor` (N, in_channels) of voxels in [0, ``shape``) and
    returns a map (B, dim, X / stride, Y / stride), x and y with their lowest cell first.

    Departures: strided layers are padded by half a kernel in all places, where OpenPCDet does not
    pad the last two along z, so KITTI has 3 heights in place of 2; and voxels beyond the upper end
    of the range, which taps of those within reach, are dropped in the bird's-eye view and not after
    each layer.

    Raises
    ------
    ValueError
        Voxels are outside the range, or are not of tensor stride 1.
    """

    def __init__(self, config: SECONDConfig | None = None):
        super().__init__()
        self.config = config = config or SECONDConfig()
        self.in_channels, self.dim = config.in_channels, config.rpn_up * len(config.rpn)
        width, *wider = config.encoder
        layers = [_sparse(config.in_channels, width), _sparse(width, width)]
        for channels in wider:
            layers.append(_sparse(width, channels, stride=2, sites="reached"))
            layers += [_sparse(channels, channels), _sparse(channels, channels)]
            width = channels
        layers.append(_sparse(width, config.bev, (1, 1, 3), (1, 1, 2), "reached"))
        self.sparse = nn.Sequential(*layers)
        self.rpn = RPN(config.bev * config.heights, config.rpn, config.rpn_layers, config.rpn_up)

    def forward(self, x: SparseTensor) -> Tensor:
        return self.rpn(self.bird_eye_view(x))

    def bird_eye_view(self, x: SparseTensor) -> Tensor:
        """The sparse part: (N, in_channels) to (B, bev * heights, X / stride, Y / stride)."""
        shape, stride = self.config.shape, self.config.stride
        if x.maps.dimension != 3 or x.stride != (1, 1, 1):
            raise ValueError(f"{x}: expected three axes and tensor stride 1")
        low, high = x.maps.bounds(x.stride)
        if min(low) < 0 or any(a >= b for a, b in zip(high, shape, strict=True)):
            raise ValueError(
                f"voxels lie between {low} and {high}, expected from 0 up to below {shape}; "
                "subtract the lower end of the range from the points, and crop them to it"
            )
        cells = (shape[0] // stride, shape[1] // stride, self.config.heights)
        return self.sparse(x).bird_eye_view((0, 0, 0), cells)


class RPN(nn.Module):
    """The 2D network of SECOND: levels of convolutions, brought to one resolution and joined.

    (B, in_channels, X, Y) to (B, up * levels, X, Y); X and Y are multiples of 2 per level but one.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], layers: tuple[int, ...], up: int
    ):
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width, scale = in_channels, 1
        for level, (wide, count) in enumerate(zip(channels, layers, strict=True)):
            stride = 2 if level else 1
            scale *= stride
            convs = [nn.Conv2d(width, wide, 3, stride, 1, bias=False)]
            convs += [nn.Conv2d(wide, wide, 3, padding=1, bias=False) for _ in range(count)]
            self.down.append(nn.Sequential(*(_flat(conv) for conv in convs)))
            self.up.append(_flat(nn.ConvTranspose2d(wide, up, scale, scale, bias=False)))
            width = wide

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for down, up in zip(self.down, self.up, strict=True):
            x = down(x)
            parts.append(up(x))
        return torch.cat(parts, 1)


class _ReLU(nn.Module):
    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.map(nn.functional.relu)


def _sparse(
    in_channels: int,
    channels: int,
    kernel_size: int | Sizes = 3,
    stride: int | Sizes = 1,
    sites: Literal["cells", "reached"] = "cells",
) -> nn.Sequential:
    conv = Conv(in_channels, channels, kernel_size, stride, sites=sites)
    return nn.Sequential(conv, BatchNorm(channels, _EPS, _MOMENTUM), _ReLU())


def _flat(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels, _EPS, _MOMENTUM), nn.ReLU())

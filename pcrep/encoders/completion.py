"""Completion: from the voxels that a scan saw to all voxels of the surface."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, elu

from pcrep.sparse import BatchNorm, Conv, ConvTranspose, SparseTensor, prune
from pcrep.sparse.engines.base import Geometry
from pcrep.sparse.kernel_map import check_alike
from pcrep.sparse.tensor import check_compatible
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class CompletionConfig:
    """Widths of a :class:`Completion`; the defaults are a small variant for CPUs."""

    in_channels: int = 1
    """Input channels; 1, a constant of 1, for geometry alone."""
    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Channels at input resolution, then at each level, which halves it; on the way up the same."""
    reach: int = 5
    """Kernel size of the coarsest generative layer, which says how far beyond the scan it fills."""

    def __post_init__(self) -> None:
        if len(self.channels) < 2:
            raise UserError(f"channels is {self.channels}, expected at least two numbers")
        if min(self.in_channels, *self.channels) < 1 or self.reach < 2:
            raise UserError(f"{self}: expected numbers of at least 1, and a reach of at least 2")


class Completed(NamedTuple):
    """voxels : the completed cloud, with features (N, channels[0]).

    levels : from coarse to fine, the logit (M, 1) that a voxel is occupied, on all candidates.
    """

    voxels: SparseTensor
    levels: list[SparseTensor]


class Completion(nn.Module):
    """A U-Net whose decoder makes voxels and prunes them.

    Each level up is a generative transposed convolution, the union with the encoder's voxels, a
    convolution, and a classifier; voxels with a logit of at most 0 are pruned. (Gwak, Choy,
    Savarese, ECCV 2020, section 4; MinkowskiEngine's example of completion, which has seven levels
    of 16 to 1,024 channels, and normalises before the union, where a level may be empty.) The
    coarsest kernel reaches ``reach`` voxels wide; the others, of 2, split a voxel into its eight.

    ``forward(x, target=None)`` takes a :class:`SparseTensor` (N, in_channels). While training, give
    the complete cloud as ``target``: its voxels are then kept at each level whatever the
    classifier says, so that the finer levels learn. A batch element may be left without voxels.

    Raises
    ------
    ValueError
        The target has another tensor stride, batch size, engine or device.
    """

    def __init__(self, config: CompletionConfig | None = None):
        super().__init__()
        self.config = config = config or CompletionConfig()
        self.in_channels, self.dim = config.in_channels, config.channels[0]
        fine = config.channels[0]
        self.stem = _layer(Conv(config.in_channels, fine))
        self.down, self.up, self.decoder, self.classifier = (nn.ModuleList() for _ in range(4))
        for coarse in config.channels[1:]:
            self.down.append(
                nn.Sequential(_layer(Conv(fine, coarse, 2, 2)), _layer(Conv(coarse, coarse)))
            )
            fine = coarse
        kernel = config.reach
        for coarse, fine in zip(config.channels[:0:-1], config.channels[-2::-1], strict=True):
            self.up.append(ConvTranspose(coarse, fine, kernel, 2, generate=True))
            self.decoder.append(nn.Sequential(BatchNorm(fine), _ELU(), _layer(Conv(fine, fine))))
            self.classifier.append(Conv(fine, 1, 1, bias=True))
            kernel = 2

    def forward(self, x: SparseTensor, target: SparseTensor | None = None) -> Completed:
        if target is not None:
            check_compatible(x, target)
        x = self.stem(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        levels = []
        for up, decoder, classifier in zip(self.up, self.decoder, self.classifier, strict=True):
            x = decoder(up(x) + skips.pop())
            levels.append(classifier(x))
            keep = levels[-1].features.detach().flatten() > 0
            x = prune(x, keep if target is None else keep | occupied(x, target))
        return Completed(x, levels)


def occupancy_loss(levels: list[SparseTensor], target: SparseTensor) -> Tensor:
    """Binary cross-entropy of the logits of each level, whether the target has voxels there.

    The mean over voxels, then over levels. What the target has where there is no candidate does not
    count.
    """
    losses = []
    for logits in levels:
        label = occupied(logits, target)[:, None].to(logits.dtype)
        losses.append(binary_cross_entropy_with_logits(logits.features, label))
    return torch.stack(losses).mean()


def occupied(x: SparseTensor, target: SparseTensor) -> Tensor:
    """Whether the cell of each voxel of ``x`` holds a voxel of ``target``: (N,) booleans.

    Raises
    ------
    ValueError
        The tensor stride of ``x`` is no multiple of the target's, or the clouds have other engines,
        devices, numbers of axes or batch sizes.
    """
    check_alike(x.maps, target.maps)
    if any(a % b for a, b in zip(x.stride, target.stride, strict=True)):
        raise ValueError(
            f"{x} is finer than the target {target}, expected a multiple of its tensor stride"
        )
    ones = (1,) * target.maps.dimension
    target.maps.downsample(Geometry(ones, target.stride, x.stride, ones))
    return target.maps.rows(x.coordinates, x.stride) >= 0


class _ELU(nn.Module):
    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.map(elu)


def _layer(conv: Conv) -> nn.Sequential:
    return nn.Sequential(conv, BatchNorm(conv.out_channels), _ELU())

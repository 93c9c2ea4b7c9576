"""What an engine must do: the few primitives under every sparse module."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

BITS = 18
"""Bits of a coordinate in a packed 64-bit key."""
LIMIT = 1 << (BITS - 1)
"""Coordinates, and those of their neighbours under a kernel, lie in [-LIMIT, LIMIT)."""
BATCHES = 1 << 9
"""Batch indices lie in [0, BATCHES)."""

Reduce = Literal["sum", "average", "max"]


@dataclass(frozen=True)
class Geometry:
    """Which input voxels an output voxel sees.

    Tap ``k`` of the output at ``o`` reads the input at ``o + offset_k``, in voxels. Taps count x
    fastest, then y, then z. An odd kernel is centred on ``o``; an even one starts there, and so
    does a cell. This is MinkowskiEngine's hypercube region (its ``kernel_region.hpp``).

    Parameters
    ----------
    kernel : taps along an axis.
    inputs, outputs : tensor strides of the coordinates, ``outputs`` a multiple of ``inputs``.
    dilation : distance of taps, in input strides.
    cell : start at ``o`` whatever the kernel: the cell that a pooling window covers.
    """

    kernel: int
    inputs: int
    outputs: int
    dilation: int = 1
    cell: bool = False

    @property
    def volume(self) -> int:
        return self.kernel**3

    @property
    def mirrored(self) -> bool:
        """Tap k undoes tap K - 1 - k: inputs and outputs are the same, the kernel is centred."""
        return self.inputs == self.outputs and self.kernel % 2 == 1 and not self.cell

    def offsets(self) -> Tensor:
        """(K, 3) int64 offsets in voxels."""
        start = -(self.kernel // 2) if self.kernel % 2 and not self.cell else 0
        axis = (torch.arange(self.kernel) + start) * self.dilation * self.inputs
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return torch.stack([x, y, z], -1).reshape(-1, 3)


class Engine(ABC):
    """Computes on the voxels of one cloud; made anew for each cloud, so it may remember them.

    Coordinates are (N, 4) int32 rows of [batch, x, y, z], already checked. A kernel map is whatever
    the engine makes of a :class:`Geometry`; it has a method ``swapped()`` that exchanges inputs and
    outputs. Everything is deterministic, and features and weights receive gradients.
    """

    name: ClassVar[str]

    @abstractmethod
    def insert(self, coordinates: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """Number voxels in order of first appearance.

        Returns ``first`` (M,) int64, the row where each distinct voxel first appears, and
        ``number`` (N,) int64, the voxel of each row.
        """

    @abstractmethod
    def downsample(self, coordinates: Tensor, stride: int, out_stride: int) -> Tensor:
        """(M, 4) cells ``floor(c / out_stride) * out_stride`` that hold voxels of ``stride``."""

    @abstractmethod
    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> Any:
        """The map from input to output rows."""

    @abstractmethod
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] @ weight[k]``: (N_in, C), (K, C, D) -> (N_out, D)."""

    @abstractmethod
    def pool(self, features: Tensor, kernel_map: Any, reduce: Reduce) -> Tensor:
        """Reduce the inputs that each output sees: (N_in, C) -> (N_out, C); 0 if it sees none."""

"""Interface of an engine: the primitives that all sparse modules are built on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

BITS = 18
"""Bits of a coordinate in a packed 64-bit key."""
LIMIT = 1 << (BITS - 1)
"""Coordinates, and those of neighbours under a kernel, must lie in [-LIMIT, LIMIT)."""
BATCHES = 1 << 9
"""Batch indices must lie in [0, BATCHES)."""

Reduce = Literal["sum", "average", "max"]


@dataclass(frozen=True)
class Geometry:
    """Layout of the taps of a kernel: which input voxels an output voxel sees.

    Tap ``k`` of the output at ``o`` reads the input at ``o + offset_k``, in voxels. Taps are
    ordered x fastest, then y, then z. Odd kernels are centred on ``o``; even ones and cells start
    there. This is MinkowskiEngine's hypercube region (its ``kernel_region.hpp``).

    Parameters
    ----------
    kernel : taps along each axis.
    inputs, outputs : tensor strides of input and output, ``outputs`` a multiple of ``inputs``.
    dilation : distance between taps, in input strides.
    cell : start at ``o`` for odd kernels too, as the cell of a pooling window does.
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
        """Whether tap k is the inverse of tap K - 1 - k: equal strides and a centred kernel."""
        return self.inputs == self.outputs and self.kernel % 2 == 1 and not self.cell

    def offsets(self) -> Tensor:
        """Offsets (K, 3) int64 of the taps in voxels."""
        start = -(self.kernel // 2) if self.kernel % 2 and not self.cell else 0
        axis = (torch.arange(self.kernel) + start) * self.dilation * self.inputs
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        return torch.stack([x, y, z], -1).reshape(-1, 3)


class Engine(ABC):
    """Computes on the voxels of one cloud; created for each cloud, so that it may cache them.

    Coordinates are checked (N, 4) int32 rows [batch, x, y, z]. The kernel map of a
    :class:`Geometry` is of a type of the engine's own, with a method ``swapped()`` that exchanges
    inputs and outputs. All operations are deterministic and give gradients of features and weights.
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
        """Cells (M, 4), ``floor(c / out_stride) * out_stride``, that hold voxels of ``stride``."""

    @abstractmethod
    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> Any:
        """The kernel map from input to output rows."""

    @abstractmethod
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] @ weight[k]``: (N_in, C), (K, C, D) -> (N_out, D)."""

    @abstractmethod
    def pool(self, features: Tensor, kernel_map: Any, reduce: Reduce) -> Tensor:
        """Reduce the inputs that each output sees: (N_in, C) -> (N_out, C); 0 if it sees none."""

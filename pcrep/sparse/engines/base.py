"""Interface of an engine: the primitives that all sparse modules are built on."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

BITS = {2: 27, 3: 18, 4: 13}
"""Bits of a coordinate in a packed 64-bit key, by number of axes."""
BATCHES = 1 << 9
"""Batch indices must lie in [0, BATCHES)."""

EngineName = Literal["auto", "torch", "numba", "triton", "minkowski"]
Reduce = Literal["sum", "average", "max"]
Sizes = tuple[int, ...]
"""One number for each axis."""


def limit(dimension: int) -> int:
    """Coordinates, and those of neighbours under a kernel, must lie in [-limit, limit)."""
    return 1 << (BITS[dimension] - 1)


def per_axis(value: int | Sizes, dimension: int, name: str = "value") -> Sizes:
    """One number for all axes, or one for each, as a tuple.

    Raises
    ------
    ValueError
        It has another length, or holds something other than integers from 1 to 2^26, which is as
        far as coordinates reach.
    """
    sizes = (value,) * dimension if isinstance(value, int) else value
    if not isinstance(sizes, tuple | list) or len(sizes) != dimension:
        raise ValueError(
            f"{name} is {value!r}, expected an integer or {dimension} integers, one for each axis"
        )
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(f"{name} is {value!r}, expected integers of at least 1")
    if max(sizes) > 1 << 26:
        raise ValueError(f"{name} is {value!r}, expected at most 2^26, as far as coordinates reach")
    return tuple(sizes)


@dataclass(frozen=True)
class Geometry:
    """Layout of the taps of a kernel: which input voxels an output voxel sees.

    Tap ``k`` of the output at ``o`` reads the input at ``o + offset_k``, in voxels. Taps are
    ordered x fastest, then y, then z. Along an axis, odd kernels are centred on ``o``; even ones
    and cells start there. This is MinkowskiEngine's hypercube region (its ``kernel_region.hpp``).

    Parameters
    ----------
    kernel : taps along each axis.
    inputs, outputs : tensor strides of input and output, ``outputs`` a multiple of ``inputs``.
    dilation : distance between taps, in input strides.
    cell : start at ``o`` for odd kernels too, as the cell of a pooling window does.
    """

    kernel: Sizes
    inputs: Sizes
    outputs: Sizes
    dilation: Sizes
    cell: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether tap k is the inverse of tap K - 1 - k: equal strides and a centred kernel."""
        odd = all(size % 2 for size in self.kernel)
        return self.inputs == self.outputs and odd and not self.cell

    def offsets(self) -> Tensor:
        """Offsets (K, D) int64 of the taps in voxels."""
        axes = []
        steps = zip(self.kernel, self.inputs, self.dilation, strict=True)
        for size, stride, dilation in steps:
            start = -(size // 2) if size % 2 and not self.cell else 0
            axes.append((torch.arange(size) + start) * stride * dilation)
        grid = torch.meshgrid(*reversed(axes), indexing="ij")  # the first axis varies fastest
        return torch.stack(grid[::-1], -1).reshape(-1, len(axes))


class Engine(ABC):
    """Computes on the voxels of one cloud; created for each cloud, so that it may cache them.

    Coordinates are checked (N, 1 + D) int32 rows [batch, x, y, z], of D = 2, 3 or 4 axes. The
    kernel map of a :class:`Geometry` is of a type of the engine's own, with a method ``swapped()``
    that exchanges inputs and outputs. All operations are deterministic and give gradients of
    features and weights.
    """

    name: ClassVar[EngineName]

    @abstractmethod
    def insert(self, coordinates: Tensor, stride: Sizes) -> tuple[Tensor, Tensor]:
        """Number the voxels of a tensor stride in order of first appearance.

        Returns ``first`` (M,) int64, the row where each distinct voxel first appears, and
        ``number`` (N,) int64, the voxel of each row.
        """

    @abstractmethod
    def downsample(self, coordinates: Tensor, stride: Sizes, out_stride: Sizes) -> Tensor:
        """Cells (M, 1 + D), ``floor(c / out_stride) * out_stride``, that hold voxels."""

    @abstractmethod
    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> Any:
        """The kernel map from input to output rows.

        ``inputs`` are the inserted voxels of ``geometry.inputs``; ``outputs`` those of
        ``geometry.outputs``, or voxels of another cloud.
        """

    @abstractmethod
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] @ weight[k]``: (N_in, C), (K, C, D) -> (N_out, D)."""

    @abstractmethod
    def convolve_depthwise(self, features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] * weight[k]``: (N_in, C), (K, C) -> (N_out, C)."""

    @abstractmethod
    def pool(self, features: Tensor, kernel_map: Any, reduce: Reduce) -> Tensor:
        """Reduce the inputs that each output sees: (N_in, C) -> (N_out, C); 0 if it sees none."""

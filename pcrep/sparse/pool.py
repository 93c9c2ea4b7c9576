"""Pooling: over windows, back to the voxels of a cell, and over batch elements."""

import torch
from torch import Tensor, nn

from pcrep.sparse.engines.base import Reduce, Sizes
from pcrep.sparse.reduce import reduce_rows
from pcrep.sparse.tensor import SparseTensor, check_sparse
from pcrep.sparse.window import Window


class Pool(Window):
    """Reduce the occupied voxels in a window by ``sum``, ``average`` or ``max``.

    With ``stride`` equal to ``kernel_size``, the default, and no dilation, windows are cells; else
    they are laid out as the taps of :class:`Conv`. ``forward(x, onto=None)`` as of :class:`Conv`.
    (``MinkowskiSumPooling``, ``AvgPooling``, ``MaxPooling``.)
    """

    def __init__(
        self,
        kernel_size: int | Sizes,
        stride: int | Sizes | None = None,
        reduce: Reduce = "average",
        dilation: int | Sizes = 1,
        dimension: int = 3,
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(kernel_size, stride, dilation, dimension)
        _check_reduce(reduce)
        self.reduce = reduce

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, reduce={self.reduce!r}"

    @torch.compiler.disable
    def forward(self, x: SparseTensor, onto: SparseTensor | None = None) -> SparseTensor:
        cell = self.stride == self.kernel_size and max(self.dilation) == 1
        landing = self.down(x, onto, cell)
        pooled = x.maps.engine.pool(x.features, landing.kernel_map, self.reduce)
        return SparseTensor.on(landing.maps, landing.stride, pooled)


class Unpool(Window):
    """Copy the features of each cell to the voxels of the finer stride in it.

    (``MinkowskiPoolingTranspose`` with a kernel equal to the stride.)
    """

    def __init__(self, stride: int | Sizes, dimension: int = 3):
        super().__init__(stride, stride, dimension=dimension)

    @torch.compiler.disable
    def forward(self, x: SparseTensor, onto: SparseTensor | None = None) -> SparseTensor:
        landing = self.up(x, onto, cell=True)
        copied = x.maps.engine.pool(x.features, landing.kernel_map, "sum")
        return SparseTensor.on(landing.maps, landing.stride, copied)


class GlobalPool(nn.Module):
    """Reduce each batch element to one row by ``sum``, ``average`` or ``max``: (B, C).

    A batch element without voxels has a row of zeros.
    """

    def __init__(self, reduce: Reduce = "average"):
        super().__init__()
        _check_reduce(reduce)
        self.reduce = reduce

    def extra_repr(self) -> str:
        return f"reduce={self.reduce!r}"

    def forward(self, x: SparseTensor) -> Tensor:
        check_sparse(type(self).__name__, x)
        return reduce_rows(x.features, x.batch, x.batch_size, self.reduce)


def _check_reduce(reduce: str) -> None:
    if reduce not in ("sum", "average", "max"):
        raise ValueError(f"reduce is {reduce!r}, expected 'sum', 'average' or 'max'")

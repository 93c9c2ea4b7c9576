"""What all layers with a kernel share: taps, strides, and the voxels that the output lies on."""

import math
from typing import Any, Literal, NamedTuple

from torch import nn

from pcrep.sparse.coordinates import show
from pcrep.sparse.engines.base import BITS, Geometry, Sizes, per_axis
from pcrep.sparse.kernel_map import Maps, check_alike
from pcrep.sparse.tensor import SparseTensor, check_sparse

_TAPS = 1 << 16
Sites = Literal["cells", "reached"]


class Landing(NamedTuple):
    """The voxels of an output, and the kernel map that leads there."""

    maps: Maps
    stride: Sizes
    kernel_map: Any


class Window(nn.Module):
    """A kernel, its stride and dilation, along each of ``dimension`` axes."""

    def __init__(
        self,
        kernel_size: int | Sizes,
        stride: int | Sizes,
        dilation: int | Sizes = 1,
        dimension: int = 3,
    ):
        super().__init__()
        if dimension not in BITS:
            raise ValueError(f"dimension is {dimension!r}, expected 2, 3 or 4")
        self.dimension = dimension
        self.kernel_size = per_axis(kernel_size, dimension, "kernel_size")
        if math.prod(self.kernel_size) > _TAPS:
            raise ValueError(
                f"kernel_size {show(self.kernel_size)} has {math.prod(self.kernel_size):,} taps, "
                f"expected at most {_TAPS:,}"
            )
        self.stride = per_axis(stride, dimension, "stride")
        self.dilation = per_axis(dilation, dimension, "dilation")

    def extra_repr(self) -> str:
        sizes = {"kernel_size": self.kernel_size, "stride": self.stride, "dilation": self.dilation}
        return ", ".join(f"{name}={show(size)}" for name, size in sizes.items())

    @property
    def pointwise(self) -> bool:
        """Whether each output is the input on the same voxel: all taps and strides are 1."""
        return max(*self.kernel_size, *self.stride) == 1

    def down(
        self,
        x: SparseTensor,
        onto: SparseTensor | None = None,
        cell: bool = False,
        sites: Sites = "cells",
    ) -> Landing:
        """From ``x`` to the voxels of a tensor stride ``self.stride`` times as large."""
        self._check_axes(x)
        coarse = tuple(a * b for a, b in zip(x.stride, self.stride, strict=True))
        per_axis(coarse, self.dimension, "the tensor stride of the output")
        geometry = Geometry(self.kernel_size, x.stride, coarse, self.dilation, cell)
        if onto is None:
            x.maps.downsample(geometry, sites == "reached")
            return Landing(x.maps, coarse, x.maps.kernel_map(geometry))
        self._check_onto(x, onto, coarse)
        return Landing(onto.maps, coarse, x.maps.kernel_map(geometry, onto.maps))

    def up(
        self,
        x: SparseTensor,
        onto: SparseTensor | None = None,
        cell: bool = False,
        generate: bool = False,
    ) -> Landing:
        """From ``x`` to the voxels of the finer tensor stride: the map of :meth:`down`, reversed.

        They are those of the cloud of ``x``, of ``onto``, or all that a tap reaches (``generate``).
        """
        self._check_axes(x)
        finer = tuple(a // b for a, b in zip(x.stride, self.stride, strict=True))
        fits = all(a % b == 0 for a, b in zip(x.stride, self.stride, strict=True))
        if not fits or (onto is None and not generate and finer not in x.maps.strides):
            there = ", ".join(show(stride) for stride in x.maps.strides)
            raise ValueError(
                f"{type(self).__name__} has no coordinates to land on: {x} times "
                f"1/{show(self.stride)}, and the cloud has voxels at strides {there}"
            )
        geometry = Geometry(self.kernel_size, finer, x.stride, self.dilation, cell)
        maps = x.maps
        if onto is not None:
            self._check_onto(x, onto, finer)
            maps = onto.maps
        elif generate:
            maps = x.maps.generated(geometry)
        return Landing(maps, finer, maps.kernel_map(geometry, x.maps).swapped())

    def _check_axes(self, x: SparseTensor) -> None:
        check_sparse(type(self).__name__, x)
        if x.maps.dimension != self.dimension:
            raise ValueError(
                f"{type(self).__name__} has {self.dimension} axes and {x} has {x.maps.dimension}, "
                f"expected the same; give dimension={x.maps.dimension}"
            )

    def _check_onto(self, x: SparseTensor, onto: SparseTensor, stride: Sizes) -> None:
        check_sparse("onto=", onto)
        if onto.stride != stride:
            raise ValueError(
                f"{type(self).__name__} leads from {x} to tensor stride {show(stride)}, expected "
                f"onto= to be a SparseTensor of that stride, found {onto}"
            )
        check_alike(x.maps, onto.maps)


def check_sites(sites: str) -> None:
    """Raise a ValueError unless ``sites`` is one of :data:`Sites`."""
    if sites not in ("cells", "reached"):
        raise ValueError(f"sites is {sites!r}, expected 'cells' or 'reached'")

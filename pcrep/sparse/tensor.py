"""Sparse tensors: features on the occupied voxels of a batch of clouds."""

from collections.abc import Callable
from typing import Any, Literal, Union

import torch
from torch import Tensor

from pcrep.sparse.coordinates import check_batch_size, check_coordinates, check_multiples, show
from pcrep.sparse.engines import Engine, EngineName, create
from pcrep.sparse.engines.base import Sizes, per_axis
from pcrep.sparse.kernel_map import Maps, check_alike
from pcrep.sparse.reduce import reduce_rows

Duplicates = Literal["error", "average", "sum", "first"]
Operand = Union["SparseTensor", Tensor, float]


class SparseTensor:
    """Features (N, C) on voxels (N, 1 + D) of a tensor stride, for D = 2, 3 or 4 axes.

    Rows keep the order of the input. Functions of features are applied by :meth:`map`; tensors that
    share :attr:`maps` and stride have the same rows, and may be added, multiplied and concatenated.
    A sum or difference of tensors on other voxels is on the union of both (:func:`union`).

    Parameters
    ----------
    coordinates : (N, 4) int32 rows [batch, x, y, z] in voxels, copied; the batch index is sorted,
        in [0, 512); x, y, z in [-2^17, 2^17). Rows of two axes, (N, 3), reach 2^26, and of four,
        (N, 5) such as [batch, x, y, z, time], 2^12.
    features : (N, C) floating point on the same device, finite.
    stride : tensor stride, of which x, y and z are multiples, one number or one for each axis; 1
        for a new cloud.
    duplicates : treatment of repeated voxels: refuse (``error``), or keep one row, in the place of
        the first, with the ``average``, the ``sum`` or the ``first`` of the features.
    engine : see :func:`pcrep.sparse.engines.create`.
    batch_size : number of batch elements, where the last ones may be without voxels; left out, up
        to the last that has some.

    Raises
    ------
    ValueError
        Any of the above is violated; the message says what was found.
    """

    def __init__(
        self,
        coordinates: Tensor,
        features: Tensor,
        stride: int | Sizes = 1,
        duplicates: Duplicates = "error",
        engine: EngineName = "auto",
        batch_size: int | None = None,
    ):
        check_coordinates(coordinates)
        stride = per_axis(stride, coordinates.shape[1] - 1, "stride")
        check_multiples(coordinates, stride)
        check_rows(features, coordinates)
        check_finite(features)
        if duplicates not in ("error", "average", "sum", "first"):
            raise ValueError(
                f"duplicates is {duplicates!r}, expected 'error', 'average', 'sum' or 'first'"
            )
        batch_size = check_batch_size(batch_size, coordinates[:, 0])
        maker = create(engine, coordinates.device)
        coordinates, features, _ = merge(maker, coordinates, features, stride, duplicates)
        self._features, self._stride = features, stride
        self._maps = Maps(maker, coordinates, stride, batch_size)

    @classmethod
    def on(cls, maps: Maps, stride: int | Sizes, features: Tensor) -> "SparseTensor":
        """A tensor of features (N, C) on the voxels of ``maps`` at a stride.

        Raises
        ------
        ValueError
            There are no voxels at the stride, or the features have other rows.
        """
        made = cls.__new__(cls)
        check_rows(features, maps.coordinates(stride))
        made._features, made._maps = features, maps
        made._stride = per_axis(stride, maps.dimension, "stride")
        return made

    @property
    def features(self) -> Tensor:
        """(N, C)."""
        return self._features

    @property
    def maps(self) -> Maps:
        return self._maps

    @property
    def stride(self) -> Sizes:
        """Tensor stride along each axis."""
        return self._stride

    @property
    def coordinates(self) -> Tensor:
        """(N, 1 + D) int32 rows [batch, x, y, z]; not to be changed."""
        return self.maps.coordinates(self.stride)

    @property
    def batch(self) -> Tensor:
        """(N,) int64, the batch element of each row."""
        return self.coordinates[:, 0].long()

    @property
    def batch_size(self) -> int:
        return self.maps.batch_size

    @property
    def device(self) -> torch.device:
        return self.features.device

    @property
    def dtype(self) -> torch.dtype:
        return self.features.dtype

    def __len__(self) -> int:
        """Number of voxels."""
        return len(self.features)

    def __repr__(self) -> str:
        voxels, channels = self.features.shape
        return (
            f"SparseTensor({voxels} voxels, {channels} channels, stride {show(self.stride)}, batch "
            f"{self.batch_size}, {self.features.dtype}, {self.maps.engine.name})"
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> "SparseTensor":
        """Apply ``function`` to the features, on the same voxels: (N, C) -> (N, D)."""
        return self.on(self.maps, self.stride, function(self.features))

    def to(self, *args: Any, **kwargs: Any) -> "SparseTensor":
        """Move to a device, or cast the features; arguments as of :meth:`torch.Tensor.to`.

        Tensors that share maps share them on the new device too.
        """
        features = self.features.to(*args, **kwargs)
        return self.on(self.maps.to(features.device), self.stride, features)

    def __add__(self, other: Operand) -> "SparseTensor":
        if isinstance(other, SparseTensor) and not _same_voxels(self, other):
            return union(self, other)
        return self._combined(other, torch.add)

    def __sub__(self, other: Operand) -> "SparseTensor":
        if isinstance(other, SparseTensor) and not _same_voxels(self, other):
            return union(self, -other)
        return self._combined(other, torch.sub)

    def __mul__(self, other: Operand) -> "SparseTensor":
        return self._combined(other, torch.mul)

    def __truediv__(self, other: Operand) -> "SparseTensor":
        return self._combined(other, torch.div)

    def __neg__(self) -> "SparseTensor":
        return self.map(torch.neg)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Operand) -> "SparseTensor":
        return -self + other

    def _combined(
        self, other: Operand, function: Callable[[Tensor, Tensor | float], Tensor]
    ) -> "SparseTensor":
        """The features combined with a number, a row (C,), or a tensor on the same voxels."""
        if isinstance(other, SparseTensor):
            _check_same_voxels(self, other)
            other = other.features
        elif not isinstance(other, Tensor | int | float):
            return NotImplemented
        shape = tuple(other.shape) if isinstance(other, Tensor) else ()
        try:
            torch.broadcast_shapes(self.features.shape, shape)
        except RuntimeError as error:
            raise ValueError(
                f"numbers of shape {shape} do not fit {self}, expected one number, a row "
                f"({self.features.shape[1]},), or {tuple(self.features.shape)}"
            ) from error
        return self.map(lambda features: function(features, other))

    def box(self) -> tuple[Sizes, Sizes]:
        """The lowest voxel, and the number of cells along each axis that hold all voxels."""
        low, high = self.maps.bounds(self.stride)
        spans = zip(low, high, self.stride, strict=True)
        return low, tuple((b - a) // s + 1 for a, b, s in spans)

    def dense(self, low: Sizes | None = None, shape: Sizes | None = None) -> Tensor:
        """A dense grid (B, C, X, Y, Z) with zeros where there is no voxel.

        Parameters
        ----------
        low : the voxel of the grid's first cell, multiples of the tensor stride.
        shape : cells along each axis. Voxels outside are left out. Both default to :meth:`box`.

        Raises
        ------
        ValueError
            They do not fit the axes or the tensor stride, or the grid is beyond 2^31 numbers.
        """
        low, shape = self._checked_box(low, shape)
        batch, *axes = self.coordinates.long().unbind(1)
        cells = [(a - o) // s for a, o, s in zip(axes, low, self.stride, strict=True)]
        inside = torch.ones_like(batch, dtype=torch.bool)
        for cell, count in zip(cells, shape, strict=True):
            inside &= (cell >= 0) & (cell < count)
        grid = self.features.new_zeros(self.batch_size, *shape, self.features.shape[1])
        where = tuple(index[inside] for index in (batch, *cells))
        return grid.index_put(where, self.features[inside]).movedim(-1, 1)

    def bird_eye_view(self, low: Sizes | None = None, shape: Sizes | None = None) -> Tensor:
        """The dense grid seen from above, (B, C * Z, X, Y), for 2D layers; z varies fastest.

        (SECOND, Yan, Mao, Li, Sensors 2018, section 3.1: the sparse features are "converted to
        dense" and heights become channels.)
        """
        if self.maps.dimension != 3:
            raise ValueError(f"{self} has {self.maps.dimension} axes, expected 3: x, y and z")
        return self.dense(low, shape).movedim(-1, 2).flatten(1, 2)

    def _checked_box(self, low: Sizes | None, shape: Sizes | None) -> tuple[Sizes, Sizes]:
        found_low, found_shape = self.box()
        low = found_low if low is None else tuple(low)
        shape = per_axis(found_shape if shape is None else shape, self.maps.dimension, "shape")
        if len(low) != self.maps.dimension or any(
            not isinstance(a, int) or a % s for a, s in zip(low, self.stride, strict=False)
        ):
            raise ValueError(
                f"low is {low}, expected {self.maps.dimension} multiples of the tensor stride "
                f"{show(self.stride)}"
            )
        numbers = self.batch_size * self.features.shape[1]
        for count in shape:
            numbers *= count
        if numbers >= 2**31:
            raise ValueError(
                f"a dense grid of {shape} cells, {self.features.shape[1]} channels and "
                f"{self.batch_size} clouds holds {numbers:,} numbers, expected less than 2^31; "
                "give a smaller low and shape, or a larger stride"
            )
        return low, shape


def cat(*tensors: SparseTensor) -> SparseTensor:
    """Concatenate the channels of tensors on the same voxels."""
    check_sparse("cat", *tensors)
    _check_same_voxels(*tensors)
    return tensors[0].map(lambda _: torch.cat([t.features for t in tensors], 1))


def union(*tensors: SparseTensor) -> SparseTensor:
    """The sum of tensors of one stride on all their voxels, 0 where a tensor has none.

    Rows are those of the first tensor, then the new ones of the next, by batch element. The result
    is a cloud of its own; its coarser levels are computed anew. (``MinkowskiUnion``.)

    Raises
    ------
    ValueError
        Strides, channels, devices, engines or batch sizes differ.
    """
    check_sparse("union", *tensors)
    first, *others = tensors
    for other in others:
        check_compatible(first, other)
        if other.features.shape[1] != first.features.shape[1]:
            raise ValueError(f"{first} and {other} have other channels, expected the same number")
    together = torch.cat([t.coordinates for t in tensors])
    order = together[:, 0].argsort(stable=True)
    maps = first.maps.sibling(together[order], first.stride)
    none = torch.cat([t.features[:0] for t in tensors])  # of the dtype that holds all of theirs
    total = none.new_zeros(len(maps.coordinates(first.stride)), none.shape[1])
    for tensor in tensors:  # one after the other, so that sums run in the order of the tensors
        rows = maps.rows(tensor.coordinates, first.stride)
        total = total.index_add(0, rows, tensor.features.to(total.dtype))
    return SparseTensor.on(maps, first.stride, total)


def check_sparse(whose: str, *tensors: SparseTensor) -> None:
    """Raise a ValueError unless what was given is at least one SparseTensor, and nothing else."""
    if not tensors:
        raise ValueError(f"{whose} was given nothing, expected a SparseTensor")
    for x in tensors:
        if not isinstance(x, SparseTensor):
            raise ValueError(f"{whose} was given a {type(x).__name__}, expected a SparseTensor")


def check_rows(features: Tensor, coordinates: Tensor) -> None:
    """Raise a ValueError unless features are floating (N, C) beside coordinates (N, 1 + D)."""
    if not isinstance(features, Tensor):
        raise ValueError(f"features are a {type(features).__name__}, expected a torch.Tensor")
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features have shape {tuple(features.shape)}, expected (N, C), C > 0")
    if len(features) != len(coordinates):
        raise ValueError(
            f"features have {len(features)} rows and coordinates {len(coordinates)}, expected one "
            "row of features per row of coordinates"
        )
    if not features.is_floating_point():
        raise ValueError(f"features have dtype {features.dtype}, expected floating point")
    if features.device != coordinates.device:
        raise ValueError(
            f"features are on {features.device} and coordinates on {coordinates.device}, expected "
            "the same device"
        )


def check_finite(features: Tensor) -> None:
    """Raise a ValueError that names the first row of features (N, C) with NaN or infinity."""
    if bool(features.detach().sum().isfinite()):  # ten times faster than testing each number
        return
    broken = ~features.detach().isfinite().all(1)
    if bool(broken.any()):  # else finite numbers overflowed the sum
        row = int(broken.nonzero()[0])
        raise ValueError(f"features row {row} holds NaN or infinity, expected finite numbers")


def merge(
    engine: Engine, coordinates: Tensor, features: Tensor, stride: Sizes, duplicates: Duplicates
) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct coordinates, their features, and the voxel number (N,) of each input row.

    The coordinates are copied: what their owner does to them later must not reach the maps.
    """
    coordinates = coordinates.clone(memory_format=torch.contiguous_format)
    first, number = engine.insert(coordinates, stride)
    extra = len(coordinates) - len(first)
    if not extra:
        return coordinates, features, number
    if duplicates == "error":
        raise ValueError(
            f"coordinates hold {extra} duplicate rows of {len(coordinates)}; say what to do with "
            "them: duplicates='average', 'sum' or 'first'"
        )
    if duplicates == "first":
        return coordinates[first], features[first], number
    return coordinates[first], reduce_rows(features, number, len(first), duplicates), number


def check_compatible(x: SparseTensor, y: SparseTensor) -> None:
    """Raise a ValueError unless two tensors have one stride, batch size, engine and device."""
    if y.stride != x.stride:
        raise ValueError(f"{x} and {y} have other strides, expected the same")
    check_alike(x.maps, y.maps)


def _same_voxels(x: SparseTensor, y: SparseTensor) -> bool:
    return x.maps is y.maps and x.stride == y.stride


def _check_same_voxels(*tensors: SparseTensor) -> None:
    first, *others = tensors
    for other in others:
        if not _same_voxels(first, other):
            raise ValueError(
                f"{first} and {other} lie on different voxels, expected tensors of one cloud and "
                "stride; bring one to the other's voxels by a convolution with onto=, or add them"
            )

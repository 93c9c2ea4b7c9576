"""Sparse tensors: features on the occupied voxels of a batch of clouds."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from pcrep.sparse.engines import Engine, EngineName, create
from pcrep.sparse.engines.torch import take_rows
from pcrep.sparse.kernel_map import Maps, check_coordinates

_Duplicates = Literal["error", "average", "sum", "first"]


class SparseTensor:
    """Features (N, C) on voxels (N, 4) of a tensor stride.

    Rows keep the order of the input. Functions of features are applied by :meth:`map`; tensors that
    share :attr:`maps` and stride have the same rows and may be added and concatenated.

    Parameters
    ----------
    coordinates : (N, 4) int32 rows [batch, x, y, z] in voxels; the batch index is sorted from 0
        without gaps; x, y, z in [-2^17, 2^17).
    features : (N, C) floating point on the same device, finite.
    stride : tensor stride, of which x, y and z are multiples; 1 for a new cloud.
    duplicates : treatment of repeated voxels: refuse (``error``), or keep one row, in the place of
        the first, with the ``average``, the ``sum`` or the ``first`` of the features.
    engine : see :func:`pcrep.sparse.engines.create`.

    Raises
    ------
    ValueError
        Any of the above is violated; the message says what was found.
    """

    features: Tensor
    maps: Maps
    stride: int

    def __init__(
        self,
        coordinates: Tensor,
        features: Tensor,
        stride: int = 1,
        duplicates: _Duplicates = "error",
        engine: EngineName = "auto",
    ):
        if stride < 1:
            raise ValueError(f"stride is {stride}, expected at least 1")
        check_coordinates(coordinates, stride)
        _check_features(features, coordinates)
        if duplicates not in ("error", "average", "sum", "first"):
            raise ValueError(
                f"duplicates is {duplicates!r}, expected 'error', 'average', 'sum' or 'first'"
            )
        maker = create(engine, coordinates.device)
        coordinates, self.features, _ = _merge(maker, coordinates, features, stride, duplicates)
        self.stride = stride
        self.maps = Maps(maker, coordinates, stride)

    @classmethod
    def on(cls, maps: Maps, stride: int, features: Tensor) -> "SparseTensor":
        """A tensor of features (N, C) on the voxels of ``maps`` at a stride."""
        made = cls.__new__(cls)
        made.features, made.maps, made.stride = features, maps, stride
        return made

    @property
    def coordinates(self) -> Tensor:
        """(N, 4) int32 rows [batch, x, y, z]."""
        return self.maps.coordinates(self.stride)

    @property
    def batch_size(self) -> int:
        return self.maps.batch_size

    def __len__(self) -> int:
        """Number of voxels."""
        return len(self.features)

    def __repr__(self) -> str:
        voxels, channels = self.features.shape
        return (
            f"SparseTensor({voxels} voxels, {channels} channels, stride {self.stride}, batch "
            f"{self.batch_size}, {self.features.dtype}, {self.maps.engine.name})"
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> "SparseTensor":
        """Apply ``function`` to the features, on the same voxels: (N, C) -> (N, D)."""
        return self.on(self.maps, self.stride, function(self.features))

    def __add__(self, other: "SparseTensor") -> "SparseTensor":
        _check_same_voxels(self, other)
        return self.map(lambda features: features + other.features)


def cat(*tensors: SparseTensor) -> SparseTensor:
    """Concatenate the channels of tensors on the same voxels."""
    _check_same_voxels(*tensors)
    return tensors[0].map(lambda _: torch.cat([t.features for t in tensors], 1))


class Field:
    """Features at continuous points: quantise to a sparse tensor, and slice results back to points.

    Parameters
    ----------
    coordinates : (N, 4) floating point rows [batch, x, y, z], x, y and z in voxels (metres divided
        by the voxel size); the batch index is sorted from 0 without gaps.
    features : (N, C).

    (MinkowskiEngine: ``TensorField``, ``sparse`` and ``slice``.)
    """

    def __init__(self, coordinates: Tensor, features: Tensor):
        if not coordinates.is_floating_point():
            raise ValueError(
                f"coordinates have dtype {coordinates.dtype}, expected floating point; integer "
                "voxels go to SparseTensor as they are"
            )
        if not bool(coordinates.isfinite().all()):
            raise ValueError("coordinates hold NaN or infinity, expected finite numbers")
        # Clamped to beyond the valid range, so that a far point is reported and does not wrap.
        voxels = coordinates.floor().clamp(-(2**30), 2**30).to(torch.int32)
        check_coordinates(voxels, 1)
        _check_features(features, coordinates)
        self._voxels, self.features = voxels, features
        self._number: Tensor | None = None
        self._maps: Maps | None = None

    def sparse(
        self, reduce: Literal["average", "sum", "first"] = "average", engine: EngineName = "auto"
    ) -> SparseTensor:
        """Reduce the features of points to one row per voxel, in order of first appearance."""
        maker = create(engine, self._voxels.device)
        voxels, features, self._number = _merge(maker, self._voxels, self.features, 1, reduce)
        self._maps = Maps(maker, voxels, 1)
        return SparseTensor.on(self._maps, 1, features)

    def slice(self, tensor: SparseTensor) -> Tensor:
        """Features (N, D) of the voxel that each point lies in.

        Raises
        ------
        ValueError
            The tensor does not derive from :meth:`sparse` of this field, or is coarser.
        """
        if self._maps is None or tensor.maps is not self._maps:
            raise ValueError("tensor does not descend from this field, expected one from .sparse()")
        if tensor.stride != 1:
            raise ValueError(
                f"tensor has stride {tensor.stride}, expected 1; bring it up with ConvTranspose or "
                "Unpool first"
            )
        return tensor.features.index_select(0, self._number)


def reduce_rows(features: Tensor, number: Tensor, count: int, reduce: str) -> Tensor:
    """Reduce rows with equal ``number`` by ``sum``, ``average`` or ``max``: (N, C) -> (count, C).

    A number without rows gives 0; the maximum of rows with a NaN is NaN. Rows are summed in order,
    also on a GPU, where atomic additions are not reproducible, and 16-bit ones in 32 bits.
    """
    if features.dtype in (torch.float16, torch.bfloat16):
        return reduce_rows(features.float(), number, count, reduce).to(features.dtype)
    if reduce == "max":
        return take_rows(features, _largest_rows(features.detach(), number, count))
    total = _SumRows.apply(features, number, count)
    if reduce == "sum":
        return total
    return total / torch.bincount(number, minlength=count).clamp(min=1).to(total.dtype)[:, None]


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, number: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(number)
        order = number.argsort(stable=True)
        lengths = torch.bincount(number, minlength=count)
        return torch.segment_reduce(features[order], "sum", lengths=lengths, unsafe=True)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return grad.index_select(0, *ctx.saved_tensors), None, None


def _largest_rows(x: Tensor, number: Tensor, count: int) -> Tensor:
    """(count, C) int64, the first row with the largest value, or with a NaN; -1 for no row."""
    place = number[:, None].expand_as(x)
    best = x.new_full((count, x.shape[1]), -torch.inf).scatter_reduce(0, place, x, "amax")[number]
    rows = torch.arange(len(x), device=x.device)[:, None].expand_as(x)
    rows = torch.where((x == best) | (x.isnan() & best.isnan()), rows, len(x))
    first = torch.full((count, x.shape[1]), len(x), device=x.device)
    first = first.scatter_reduce(0, place, rows, "amin")
    return torch.where(first < len(x), first, -1)


def _check_features(features: Tensor, coordinates: Tensor) -> None:
    """Raise a ValueError unless features are finite (N, C) beside coordinates (N, 4)."""
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
    if bool(features.detach().sum().isfinite()):  # ten times faster than testing each number
        return
    broken = ~features.detach().isfinite().all(1)
    if bool(broken.any()):  # else finite numbers overflowed the sum
        row = int(broken.nonzero()[0])
        raise ValueError(f"features row {row} holds NaN or infinity, expected finite numbers")


def _merge(
    engine: Engine, coordinates: Tensor, features: Tensor, stride: int, duplicates: _Duplicates
) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct coordinates, their features, and the voxel number (N,) of each input row."""
    coordinates = coordinates.contiguous()
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


def _check_same_voxels(*tensors: SparseTensor) -> None:
    first, *others = tensors
    for other in others:
        if other.maps is not first.maps or other.stride != first.stride:
            raise ValueError(
                f"{first} and {other} lie on different voxels, expected tensors of one cloud and "
                "stride"
            )

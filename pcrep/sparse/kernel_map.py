"""Coordinate manager: voxels of a cloud at each tensor stride, and cached kernel maps."""

from typing import Any

import torch
from torch import Tensor

from pcrep.sparse.engines import Engine, Geometry
from pcrep.sparse.engines.base import BATCHES, LIMIT


class Maps:
    """Coordinates by tensor stride and kernel maps by geometry, each computed once.

    Shared by all tensors derived from a cloud, so that the blocks of a level share kernel maps and
    a decoder reuses those of the encoder in reverse. (MinkowskiEngine: the coordinate manager.)

    Parameters
    ----------
    engine : computes the maps.
    coordinates : (N, 4) int32, distinct and checked rows [batch, x, y, z], multiples of ``stride``.
    stride : tensor stride of the coordinates.
    """

    def __init__(self, engine: Engine, coordinates: Tensor, stride: int):
        self.engine = engine
        self._coordinates = {stride: coordinates}
        self._maps: dict[Geometry, Any] = {}
        self.batch_size = int(coordinates[:, 0].max()) + 1
        low, high = coordinates[:, 1:].aminmax(dim=0)
        self._low, self._high = low.tolist(), high.tolist()

    @property
    def strides(self) -> list[int]:
        """Tensor strides that have voxels."""
        return sorted(self._coordinates)

    def coordinates(self, stride: int) -> Tensor:
        """Voxels (N, 4) at a tensor stride.

        Raises
        ------
        ValueError
            There are none.
        """
        if stride not in self._coordinates:
            raise ValueError(f"no voxels at tensor stride {stride}, found strides {self.strides}")
        return self._coordinates[stride]

    def insert(self, coordinates: Tensor, stride: int) -> None:
        """Set the voxels of a stride explicitly, in place of the cells of the finer one.

        For grids of other libraries: spconv keeps every site that a tap reaches.
        """
        if stride in self._coordinates:
            raise ValueError(f"there are voxels at tensor stride {stride} already")
        check_coordinates(coordinates, stride)
        first, _ = self.engine.insert(coordinates, stride)
        if len(first) < len(coordinates):
            raise ValueError(f"coordinates hold {len(coordinates) - len(first)} duplicate voxels")
        self._coordinates[stride] = coordinates

    def downsample(self, stride: int, factor: int) -> int:
        """Compute the voxels at ``stride * factor`` unless they exist; return that stride."""
        coarse = stride * factor
        if coarse not in self._coordinates:
            self._coordinates[coarse] = self.engine.downsample(
                self.coordinates(stride), stride, coarse
            )
        return coarse

    def kernel_map(self, geometry: Geometry) -> Any:
        """The kernel map of a geometry between existing voxels.

        Raises
        ------
        ValueError
            There are no voxels at a stride, or neighbours are beyond the range of packed keys.
        """
        if geometry not in self._maps:
            inputs = self.coordinates(geometry.inputs)
            outputs = self.coordinates(geometry.outputs)
            self._check_reach(geometry)
            self._maps[geometry] = self.engine.kernel_map(geometry, inputs, outputs)
        return self._maps[geometry]

    def _check_reach(self, geometry: Geometry) -> None:
        """Raise a ValueError where the keys of neighbours would overflow into the next axis."""
        reach = geometry.offsets().abs().max().item()
        low = min(self._low) - (geometry.outputs - 1)  # where the lowest voxel's cell may start
        if low - reach < -LIMIT or max(self._high) + reach >= LIMIT:
            raise ValueError(
                f"coordinates span {self._low} to {self._high} and the kernel reaches {reach} "
                f"voxels further, expected to stay in [{-LIMIT}, {LIMIT}); subtract an origin from "
                "the coordinates"
            )


def check_coordinates(coordinates: Tensor, stride: int) -> None:
    """Raise a ValueError where coordinates of a cloud are invalid.

    Expected: int32 (N, 4) rows [batch, x, y, z], N > 0; batch sorted from 0 without gaps and below
    512; x, y, z in [-2^17, 2^17), multiples of the tensor stride.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 4:
        raise ValueError(
            f"coordinates have shape {tuple(coordinates.shape)}, expected (N, 4) rows "
            "[batch, x, y, z]"
        )
    if coordinates.dtype != torch.int32:
        raise ValueError(
            f"coordinates have dtype {coordinates.dtype}, expected torch.int32; quantise floating "
            "points with pcrep.encoders.voxelize or pcrep.sparse.Field"
        )
    if len(coordinates) == 0:
        raise ValueError("coordinates hold no voxel, expected at least one")
    check_batch(coordinates[:, 0])
    low, high = (int(v) for v in coordinates[:, 1:].aminmax())
    if low < -LIMIT or high >= LIMIT:
        raise ValueError(
            f"coordinates lie between {low} and {high}, expected [{-LIMIT}, {LIMIT}) so that a "
            "voxel packs into 64 bits; subtract an origin, or take larger voxels"
        )
    if stride != 1 and bool((coordinates[:, 1:] % stride).any()):
        row = int((coordinates[:, 1:] % stride).any(1).nonzero()[0])
        raise ValueError(
            f"coordinates row {row} is {coordinates[row].tolist()}, expected multiples of the "
            f"tensor stride {stride}"
        )


def check_batch(batch: Tensor) -> None:
    """Raise a ValueError unless a batch index (N,) is sorted from 0, without gaps, below 512."""
    steps = batch.diff()
    if int(batch[0]) != 0 or bool(((steps < 0) | (steps > 1)).any()):
        raise ValueError(_describe_batch(batch, steps))
    if int(batch[-1]) >= BATCHES:
        raise ValueError(f"the batch has {int(batch[-1]) + 1} elements, at most {BATCHES} fit")


def _describe_batch(batch: Tensor, steps: Tensor) -> str:
    if int(batch[0]) != 0:
        return f"the batch index starts at {int(batch[0])}, expected 0"
    row = int(((steps < 0) | (steps > 1)).nonzero()[0]) + 1
    before, here = int(batch[row - 1]), int(batch[row])
    if here < before:
        return (
            f"the batch index falls from {before} to {here} at row {row}, expected sorted rows; "
            "order the rows with batch.argsort(stable=True)"
        )
    return (
        f"the batch index jumps from {before} to {here} at row {row}: batch element {before + 1} "
        "is empty, expected no gaps; leave empty elements out of the batch"
    )

"""Voxelise points, thin a cloud to voxel resolution, and check that its unit is the metre."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pcrep.cloud import Cloud
from pcrep.sparse.coordinates import check_batch
from pcrep.sparse.engines import hashing
from pcrep.sparse.engines.base import limit
from pcrep.sparse.engines.torch import number_rows, pack
from pcrep.sparse.reduce import reduce_rows
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit

_LIMIT = limit(3)
_LONGEST = 1 << 14  # voxels along an axis; a KITTI scan at 5 cm has 3,200


@dataclass(frozen=True)
class Voxels:
    """The M voxels of a batch of N points, in order of first appearance.

    coordinates : (M, 4) int32 rows [batch, x, y, z], ready for a SparseTensor.
    point_to_voxel : (N,) int64, the voxel of each point.
    first : (M,) int64, the first point in each voxel.
    counts : (M,) int64, number of points in each voxel.
    """

    coordinates: Tensor
    point_to_voxel: Tensor
    first: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.coordinates)

    def reduce(
        self,
        values: Tensor | np.ndarray,
        how: Literal["average", "sum", "max", "first"] = "average",
    ) -> Tensor:
        """Reduce values of points (N, C) to values of voxels (M, C); use ``first`` for labels."""
        values = torch.as_tensor(values)
        if len(values) != len(self.point_to_voxel):
            raise ValueError(f"values have {len(values)} rows, expected {len(self.point_to_voxel)}")
        if how not in ("average", "sum", "max", "first"):
            raise ValueError(f"how is {how!r}, expected 'average', 'sum', 'max' or 'first'")
        if how == "first":
            return values[self.first]
        if not values.is_floating_point():
            raise ValueError(
                f"values have dtype {values.dtype}, expected floating point or 'first'"
            )
        if how != "max" and values.device.type == "cpu" and not values.requires_grad:
            return self._summed_on_cpu(values, how)
        return reduce_rows(values, self.point_to_voxel, len(self), how)

    def _summed_on_cpu(self, values: Tensor, how: str) -> Tensor:
        """Sums in float64, or averages, without the sort that :func:`reduce_rows` needs."""
        number = self.point_to_voxel.numpy()
        columns = values.double().numpy().T
        sums = [np.bincount(number, weights=column, minlength=len(self)) for column in columns]
        if how == "average":
            sums = [column / self.counts.numpy() for column in sums]
        return torch.from_numpy(np.stack(sums, 1)).to(values.dtype)


def voxelize(
    points: Tensor | np.ndarray, size: float, batch: Tensor | np.ndarray | None = None
) -> Voxels:
    """Assign points to voxels ``floor(points / size)``.

    Parameters
    ----------
    points : (N, 3) floating point, metres, finite, a tensor or an array. On a CPU this runs
        on one thread, also in data loader workers; on a GPU it runs there, with the same result.
    size : voxel size, metres.
    batch : (N,) integers, the cloud of each point, sorted; left out, all points are of one cloud.

    Raises
    ------
    ValueError
        Any of the above is violated, or a voxel index is outside [-2^17, 2^17).
    """
    points = torch.as_tensor(points)
    batch = None if batch is None else torch.as_tensor(batch)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"points have shape {tuple(points.shape)}, expected (N, 3), N > 0")
    if not points.is_floating_point():
        raise ValueError(f"points have dtype {points.dtype}, expected floating point metres")
    if not 0 < size < float("inf"):
        raise ValueError(f"size is {size}, expected a finite number of metres above 0")
    if batch is not None and (batch.shape != points.shape[:1] or batch.is_floating_point()):
        raise ValueError(
            f"batch is {tuple(batch.shape)} of {batch.dtype}, expected ({len(points)},) integers"
        )
    if batch is not None:
        check_batch(batch)
    if points.device.type == "cpu":
        return _on_cpu(points, size, batch)
    return _on_device(points, size, batch)


def _on_cpu(points: Tensor, size: float, batch: Tensor | None) -> Voxels:
    index = torch.zeros(1, dtype=torch.int64) if batch is None else batch.long()
    numbers = points.detach().contiguous().numpy()
    keys, far = _pack(numbers, numbers.dtype.type(size), index.numpy())
    if far >= 0:
        raise _out_of_range(points[far], size)
    table, first, number = hashing.insert(keys)
    coordinates, counts = hashing.unpack_rows(table.keys), np.bincount(number)
    return Voxels(*(torch.from_numpy(a) for a in (coordinates, number, first, counts)))


@jit
def _pack(points, size, batch):
    """Keys (N,) of the voxels, and the row of a point out of range, -1 for none."""
    keys = np.empty(len(points), np.int64)
    far = -1
    for i in range(len(points)):
        x = np.floor(points[i, 0] / size)
        y = np.floor(points[i, 1] / size)
        z = np.floor(points[i, 2] / size)
        inside = (-_LIMIT <= x < _LIMIT) & (-_LIMIT <= y < _LIMIT) & (-_LIMIT <= z < _LIMIT)
        if not inside:  # or not a number
            far = i
        keys[i] = hashing.pack(batch[i] if len(batch) > 1 else batch[0], x, y, z)
    return keys, far


def _on_device(points: Tensor, size: float, batch: Tensor | None) -> Voxels:
    """The same with torch operators, on any device."""
    cells = torch.floor(points.detach() / size)
    inside = ((cells >= -_LIMIT) & (cells < _LIMIT)).all(1)  # false for NaN
    if not bool(inside.all()):
        raise _out_of_range(points[int((~inside).nonzero()[0])], size)
    index = torch.zeros(len(points), device=points.device) if batch is None else batch
    rows = torch.cat([index[:, None].to(torch.int32), cells.to(torch.int32)], 1)
    first, number = number_rows(pack(rows))
    counts = torch.bincount(number, minlength=len(first))
    return Voxels(rows[first], number, first, counts)


def _out_of_range(point: Tensor, size: float) -> ValueError:
    if not bool(point.isfinite().all()):
        return ValueError(f"points hold {point.tolist()}, expected finite metres")
    return ValueError(
        f"points hold {point.tolist()}, {_LIMIT} or more voxels of {size} m from the origin; "
        "subtract an origin, or take larger voxels"
    )


def thin(cloud: Cloud, voxel: float) -> Cloud:
    """Keep the first point of each cube of half a voxel, with all its attributes.

    A voxel on a surface then averages about four points. Segments keep their numbers, including
    those that lose all points. Raises UserError as :func:`check_extent`.
    """
    check_extent(cloud, voxel)
    points = torch.from_numpy(cloud.coords - cloud.coords.min(0))
    return cloud.take(np.sort(voxelize(points, voxel / 2).first.numpy()))


def check_extent(cloud: Cloud, voxel: float) -> None:
    """Raise a UserError for a cloud of more than 2^14 voxels along an axis: its unit is suspect."""
    extent = cloud.coords.max(0) - cloud.coords.min(0)
    if not extent.max() / voxel <= _LONGEST:
        size = " x ".join(f"{length:.4g}" for length in extent)
        raise UserError(
            f"{cloud.name or 'a cloud'}: found an extent of {size} m with voxels of {voxel:g} m, "
            f"{extent.max() / voxel:,.0f} along an axis, expected at most {_LONGEST:,}; bring the "
            "coordinates to metres, crop, or take larger voxels"
        )

"""Choosing and reading voxels: pruning, values of batch elements, values at points."""

import torch
from torch import Tensor

from pcrep.sparse.engines.base import BATCHES, limit
from pcrep.sparse.tensor import SparseTensor, check_sparse


def prune(x: SparseTensor, keep: Tensor) -> SparseTensor:
    """The voxels where ``keep`` (N,) is true, as a cloud of its own of the same batch size.

    Coarser levels are computed anew; a batch element may be left without voxels.
    (``MinkowskiPruning``.)

    Raises
    ------
    ValueError
        ``keep`` is not a boolean (N,) on the device of the tensor.
    """
    check_sparse("prune", x)
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != (len(x),):
        found = f"{tuple(keep.shape)} of {keep.dtype}" if isinstance(keep, Tensor) else repr(keep)
        raise ValueError(f"keep is {found}, expected booleans ({len(x)},), one for each voxel")
    if keep.device != x.device:
        raise ValueError(f"keep is on {keep.device}, expected {x.device}")
    maps = x.maps.sibling(x.coordinates[keep], x.stride)
    return SparseTensor.on(maps, x.stride, x.features[keep])


def broadcast(x: SparseTensor, values: Tensor) -> SparseTensor:
    """Values (B, D) of batch elements on each of their voxels in ``x``, such as of a GlobalPool.

    Add, multiply or concatenate the result with ``x``. (``MinkowskiBroadcast``.)
    """
    check_sparse("broadcast", x)
    if not isinstance(values, Tensor) or values.ndim != 2 or len(values) != x.batch_size:
        found = tuple(values.shape) if isinstance(values, Tensor) else repr(values)
        raise ValueError(
            f"values are {found}, expected ({x.batch_size}, D), one row for each batch element"
        )
    return x.map(lambda _: values.index_select(0, x.batch))


def interpolate(x: SparseTensor, points: Tensor) -> Tensor:
    """Features (M, C) at points, linear between the centres of the voxels around each.

    Weights are normalised over the voxels that there are; a point with none around it gets zeros.
    (``MinkowskiInterpolation`` has features at the low corner of a voxel and does not normalise.)

    Parameters
    ----------
    points : (M, 1 + D) floating point rows [batch, x, y, z], x, y and z in voxels as those of a
        :class:`Field`, in any order.

    Raises
    ------
    ValueError
        The points have another shape, dtype or device, or are not finite.
    """
    check_sparse("interpolate", x)
    axes = x.maps.dimension
    if not isinstance(points, Tensor) or points.ndim != 2 or points.shape[1] != axes + 1:
        found = tuple(points.shape) if isinstance(points, Tensor) else repr(points)
        raise ValueError(f"points are {found}, expected (M, {axes + 1}) rows [batch, x, y, z]")
    if not points.is_floating_point() or points.device != x.device:
        raise ValueError(
            f"points are {points.dtype} on {points.device}, expected floating point on {x.device}"
        )
    if not bool(points.isfinite().all()):
        raise ValueError("points hold NaN or infinity, expected finite numbers")
    stride = points.new_tensor(x.stride)
    most = limit(axes)
    at = (points[:, 1:].clamp(-2 * most, 2 * most) - stride / 2) / stride
    batch = points[:, :1].clamp(-1, BATCHES)  # a row of no batch element finds no voxel
    low = at.floor()
    part = at - low
    total = x.features.new_zeros(len(points), x.features.shape[1])
    weights = x.features.new_zeros(len(points), 1)
    if not len(x):
        return total
    for corner in torch.cartesian_prod(*[torch.arange(2)] * axes).to(points):
        cells = torch.cat([batch, (low + corner) * stride], 1).to(torch.int32)
        rows = x.maps.rows(cells, x.stride)
        weight = torch.where(corner > 0, part, 1 - part).prod(1) * (rows >= 0)
        weight = weight.to(total.dtype)[:, None]
        total = total + weight * x.features.index_select(0, rows.clamp(min=0))
        weights = weights + weight
    return torch.where(weights > 0, total / weights.clamp(min=1e-30), 0)

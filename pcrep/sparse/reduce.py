"""Rows with equal numbers, reduced to one: points of a voxel, voxels of a cloud or a segment."""

import torch
from torch import Tensor

from pcrep.sparse.engines.torch import take_rows


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

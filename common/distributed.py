"""The one gather with gradient, and what is needed around it to be equal on any number of ranks.

A loss is a function of the rows it is given. To take the loss of one process with the whole batch,
gather first: ``loss(gather(z))``. Each rank then holds the same value; the gradient of ``gather``
is its adjoint, the sum over ranks, and :class:`~torch.nn.parallel.DistributedDataParallel` divides
by the number of ranks, so parameters get the gradient of one process exactly.

Where the products of anchors and candidates are worth sharing, keep anchors local:
``share(info_nce(z, gather(z), pairs), len(z))``, with the ids of ``pairs`` gathered by
``gather`` too.
"""

import os
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from tspcrep.common.errors import UserError


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks: ``(0, 1)`` outside a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def launched_rank() -> int:
    """The rank that torchrun gave this process, also before its process group is there."""
    return int(os.environ.get("RANK", "0"))


def refuse_ranks(what: str) -> None:
    """UserError where torchrun started several processes for what one does."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"{what} runs in one process: start it without torchrun")


def gather(x: Tensor, dim: int = 0) -> Tensor:
    """Rows of all ranks along ``dim``, in order of rank; ranks may hold different numbers of rows.

    The other dimensions must agree. Without a process group it is ``x`` itself.

    Raises:
        ValueError: shapes that differ between ranks elsewhere than along ``dim``.
    """
    if ranks()[1] == 1:
        return x
    return _Gather.apply(x, dim % x.ndim)


def share(mean: Tensor, count: int) -> Tensor:
    """A local mean over ``count`` anchors, weighted so that the ranks' average is the global mean.

    The product with ``world_size * count / total`` is 1 where ranks hold equally many anchors.
    """
    world = ranks()[1]
    if world == 1:
        return mean
    total = torch.tensor(float(count), device=mean.device)
    dist.all_reduce(total)
    return mean * (world * count / total)


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """This rank's ``count`` rows of random numbers that are drawn for the rows of all ranks.

    ``draw(n)`` returns n rows. Ranks that seed alike then use the numbers that one process with all
    rows would use: ``own_rows(lambda n: torch.rand(n, 5), len(x))``.
    """
    rank, world = ranks()
    if world == 1:
        return draw(count)
    counts = [shape[0] for shape in _shapes(torch.empty(count, 0))]
    start = sum(counts[:rank])
    return draw(sum(counts))[start : start + count]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dim):
        rank, world = ranks()
        rows = x.detach().movedim(dim, 0).contiguous()
        shapes = _shapes(rows)
        counts = [shape[0] for shape in shapes]
        if any(shape[1:] != shapes[rank][1:] for shape in shapes):
            raise ValueError(
                f"ranks hold rows of shapes {sorted({tuple(s[1:]) for s in shapes})}, expected one"
            )
        # all_gather wants equal sizes: the shorter ranks send rows that are cut off again.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        ctx.part = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        ctx.dim = dim
        whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return whole.movedim(0, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx, outer):
        outer = outer.movedim(ctx.dim, 0).clone(memory_format=torch.contiguous_format)
        dist.all_reduce(outer)
        return outer[ctx.part].movedim(0, ctx.dim), None


def _shapes(x: Tensor) -> list[list[int]]:
    mine = torch.tensor(x.shape, device=x.device)
    every = [torch.empty_like(mine) for _ in range(ranks()[1])]
    dist.all_gather(every, mine)
    return [shape.tolist() for shape in every]

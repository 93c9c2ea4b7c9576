"""Gather with gradient, and helpers that make losses equal on any number of ranks.

A loss is a function of the rows it is given. To get the loss of one process with the whole batch,
gather first: ``loss(gather(z))``. Every rank then has the same value; the gradient of ``gather`` is
its adjoint, the sum over ranks, and :class:`~torch.nn.parallel.DistributedDataParallel` divides by
the number of ranks, so parameters receive exactly the gradient of one process.

To split the products of anchors and candidates between ranks, keep the anchors local:
``share(info_nce(z, gather(z), pairs), len(z))``, with the candidates' ids of ``pairs`` gathered as
well.
"""

import os
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributed as dist


def ranks() -> tuple[int, int]:
    """This process's rank and the number of ranks: ``(0, 1)`` outside a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def launched_rank() -> int:
    """This process's rank from torchrun, known even before its process group exists."""
    return int(os.environ.get("RANK", "0"))


def launched_processes() -> int:
    """The number of processes that torchrun started, known even before their group exists."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def gather(x: Tensor, dim: int = 0) -> Tensor:
    """Concatenate ``x`` of all ranks along ``dim``, in order of rank; sizes along it may differ.

    The other dimensions must agree. Without a process group this is ``x`` itself.

    Raises:
        ValueError: shapes differ between ranks in a dimension other than ``dim``.
    """
    if ranks()[1] == 1:
        return x
    return _Gather.apply(x, dim % x.ndim)


def share(mean: Tensor, count: int) -> Tensor:
    """Weight a local mean over ``count`` anchors so that the average over ranks is the global mean.

    The weight is ``world_size * count / total``, 1 if all ranks have equally many anchors.
    """
    world = ranks()[1]
    if world == 1:
        return mean
    return mean * (world * count / total(torch.tensor(float(count), device=mean.device)))


def total(x: Tensor) -> Tensor:
    """The sum of ``x`` over all ranks, on each of them; its gradient is summed over ranks, too.

    Shapes must agree. Without a process group this is ``x`` itself.
    """
    return x if ranks()[1] == 1 else _Total.apply(x)


def from_first(number: float) -> float:
    """The first rank's ``number``, on every rank: a choice made by one holds for all."""
    if ranks()[1] == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64, device=_device())
    dist.broadcast(told, 0)
    return told.item()


def own_rows(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Draw random numbers for the rows of all ranks and return this rank's ``count`` rows.

    ``draw(n)`` returns n rows. Ranks with the same seed then use the numbers of one process with
    all rows: ``own_rows(lambda n: torch.rand(n, 5), len(x))``.
    """
    rank, world = ranks()
    if world == 1:
        return draw(count)
    counts = [shape[0] for shape in _shapes(torch.empty(count, 0, device=_device()))]
    start = sum(counts[:rank])
    return draw(sum(counts))[start : start + count]


class _Total(torch.autograd.Function):
    """The sum over ranks, which is its own adjoint."""

    @staticmethod
    def forward(ctx, x):
        summed = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx, grad):
        return _Total.apply(grad)


class _Gather(torch.autograd.Function):
    """Rows of all ranks; its adjoint is :class:`_Reduce`, and the other way round."""

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
        # all_gather needs equal sizes: ranks with fewer rows send padding that is cut off again.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(parts, padded)
        ctx.part = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        ctx.dim = dim
        whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return whole.movedim(0, dim)

    @staticmethod
    def backward(ctx, outer):
        return _Reduce.apply(outer, ctx.dim, ctx.part), None


class _Reduce(torch.autograd.Function):
    """The sum over ranks of tensors of one shape, of which each rank keeps its part."""

    @staticmethod
    def forward(ctx, outer, dim, part):
        ctx.dim = dim
        outer = outer.detach().movedim(dim, 0).clone(memory_format=torch.contiguous_format)
        dist.all_reduce(outer)
        return outer[part].movedim(0, dim)

    @staticmethod
    def backward(ctx, grad):
        return _Gather.apply(grad, ctx.dim), None, None


def _shapes(x: Tensor) -> list[list[int]]:
    mine = torch.tensor(x.shape, device=x.device)
    every = [torch.empty_like(mine) for _ in range(ranks()[1])]
    dist.all_gather(every, mine)
    return [shape.tolist() for shape in every]


def _device() -> str:
    """Where the process group takes tensors from; NCCL's are on GPUs."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"

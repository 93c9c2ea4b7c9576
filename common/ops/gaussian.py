"""Log-means of Gaussian kernels between rows, without an N x N matrix."""

import math

import torch
from torch import Tensor

from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def log_kernel_mean(x: Tensor, temperature: float, drop_self: bool = True) -> Tensor:
    """``log mean_j exp(-||x_i - x_j||^2 / 2T)`` for each row of ``(N, D)``: shape ``(N,)``.

    The squared distance is an inner product of longer rows,
    ``-||x - y||^2 / 2 = <(x, 1), (y, -||y||^2 / 2)> - ||x||^2 / 2``, so this is one log-partition.
    Rows are centred first, which changes no distance and keeps the squares small.

    Args:
        x: rows, of any length; in float32 or better.
        temperature: the kernel's variance.
        drop_self: leave ``j = i`` out of the mean.
    """
    x = x - x.detach().mean(0)
    half = x.square().sum(-1, keepdim=True) / 2
    anchors = torch.cat([x, torch.ones_like(half)], -1)
    candidates = torch.cat([x, -half], -1)
    row = torch.arange(len(x), device=x.device)
    pairs = Pairs(row=(row, row) if drop_self else None)
    partition = info_nce(
        anchors, candidates, pairs, temperature, positives="none", reduction="none"
    )
    count = len(x) - 1 if drop_self else len(x)
    return partition - half.squeeze(-1) / temperature - math.log(count)

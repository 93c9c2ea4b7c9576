"""Losses for any number of views of a sample: MV-InfoNCE and MV-DHEL."""

import math

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import of_one_sample, unit_views
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def mv_info_nce(views: Tensor, temperature: float = 0.5, joint: bool = True) -> Tensor:
    """One InfoNCE term a sample over all its views at once.

        L_i = -log [ sum_{l != m} exp(s(u_il, u_im) / T)
                     / sum_l sum_{(j,m) != (i,l)} exp(s(u_il, u_jm) / T) ]

    Koromilas et al., "A Principled Framework for Multi-View Contrastive Learning", MV-InfoNCE,
    as their code computes it: the denominators hold other views and the same view
    alike, an anchor itself excepted. Temperature: theirs for CIFAR.

    With ``joint=False`` every view is an anchor of its own, ``L_il`` the logarithm of one ratio
    each; two such views are :func:`tspcrep.common.losses.nt_xent`. ``joint=True`` is never less
    than that, because the logarithm of a mean is never less than the mean of logarithms, and equal
    to it for two views whose denominators agree.

    Args:
        views: ``(V, B, D)``, ``V >= 2``.
        temperature: divides the cosines.
        joint: sum over the views inside the logarithm.
    """
    u = unit_views(views, temperature)
    count, batch, dim = u.shape
    rows = u.reshape(-1, dim)  # (V * B, D)
    pairs = Pairs.views(batch, count, u.device)
    if not joint:
        return info_nce(rows, rows, pairs, temperature, positives="sum")
    partition = info_nce(rows, rows, pairs, temperature, positives="none", reduction="none")
    attraction = _between_views(u, temperature).flatten(1).logsumexp(-1)  # (B,)
    return (partition.view(count, batch).logsumexp(0) - attraction).mean()


def mv_dhel(views: Tensor, temperature: float | Tensor = 0.2) -> Tensor:
    """Alignment over all pairs of views, uniformity within each view.

        L_i = -log sum_{l < m} exp(s(u_il, u_im) / T)
              + sum_l log sum_{j != i} exp(s(u_il, u_jl) / T)

    Koromilas et al., "A Principled Framework for Multi-View Contrastive Learning", MV-DHEL;
    the released default temperature. ``O(V B^2)`` products instead of ``O(V^2 B^2)``.
    The released code multiplies the denominators before it takes the logarithm and overflows
    float32 from about six views on; here logarithms are summed. Two views are
    :func:`tspcrep.common.losses.dhel`.

    Args:
        views: ``(V, B, D)``, ``V >= 2``. A single sample, which has no negatives, has the loss 0.
        temperature: divides the cosines.
    """
    u = unit_views(views, temperature)
    if u.shape[1] == 1:
        return of_one_sample(u)
    row = torch.arange(u.shape[1], device=u.device)
    repulsion = info_nce(
        u, u, Pairs(row=(row, row)), temperature, positives="none", reduction="none"
    )  # (V, B)
    # Each pair stands twice in the sum over l != m, hence log 2.
    attraction = _between_views(u, temperature).flatten(1).logsumexp(-1) - math.log(2)
    return (repulsion.sum(0) - attraction).mean()


def _between_views(u: Tensor, temperature: float | Tensor) -> Tensor:
    """Logits between the views of each sample, ``(B, V, V)``, a view with itself at -inf."""
    u = u.transpose(0, 1)  # (B, V, D)
    own = torch.eye(u.shape[1], dtype=torch.bool, device=u.device)
    return (u @ u.mT / temperature).masked_fill(own, -torch.inf)


class MVInfoNCE(nn.Module):
    """:func:`mv_info_nce` as a module."""

    def __init__(self, temperature: float = 0.5, joint: bool = True) -> None:
        super().__init__()
        self.temperature, self.joint = temperature, joint

    def forward(self, views: Tensor) -> Tensor:
        return mv_info_nce(views, self.temperature, self.joint)


class MVDHEL(nn.Module):
    """:func:`mv_dhel` as a module."""

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, views: Tensor) -> Tensor:
        return mv_dhel(views, self.temperature)

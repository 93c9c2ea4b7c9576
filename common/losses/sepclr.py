"""SepCLR: what target and background share, apart from what the target alone has."""

import math

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.checks import one_a_row, positive, same_shape
from tspcrep.common.ops.gaussian import log_kernel_mean


def joint_entropy(common: Tensor, salient: Tensor, temperature: float = 0.5) -> Tensor:
    """Minus a kernel estimate of the joint entropy ``H(common, salient)``: minimise to raise it.

        mean_i log mean_j exp(-(||c_i - c_j||^2 + ||s_i - s_j||^2) / 2T)

    Louiset et al., "Separating common from salient patterns with Contrastive Representation
    Learning", k-JEM. ``j = i`` takes part, as in their code, and bounds the estimate by
    ``-log N``. With a constant ``salient`` it is the same estimate of ``H(common)``.

    Args:
        common: ``(N, C)``, unit rows.
        salient: ``(N, S)``, of any length.
        temperature: variance of the kernel.
    """
    x = torch.cat([common, salient], -1)
    return log_kernel_mean(x, temperature, drop_self=False).mean()


def sep_clr(
    common: tuple[Tensor, Tensor],
    salient: tuple[Tensor, Tensor],
    target: Tensor,
    temperature: float = 0.5,
    salient_weight: float = 1000.0,
    background_weight: float = 1000.0,
    joint_weight: float = 10.0,
) -> Tensor:
    """Align two views in both spaces, spread both, silence the background, part the spaces.

        L =                     align(c, c')              + 2 unif(c)
          + salient_weight    [ align(s, s' | target)     + 2 unif(s0) ]
          + background_weight   align(s, 0 | background)
          + joint_weight        joint_entropy(c, s0)
        align(x, y) = mean ||x - y||^2 / 2T
        unif(x) = log mean_{i != j} exp(-||x_i - x_j||^2 / 2T)

    ``s0`` is ``s`` with background rows set to 0; ``c`` has unit rows, ``s`` has not. Terms of one
    view are averaged over both. Louiset et al., "Separating common from salient patterns with
    Contrastive Representation Learning"; weights of their CIFAR-MNIST script. With the last three
    weights 0 it is alignment and uniformity of the common space, InfoNCE's limit for many
    negatives.

    Args:
        common: two views ``(N, C)`` of the space that both kinds of sample share.
        salient: two views ``(N, S)`` of the space of the target alone.
        target: ``(N,)`` bool: true for target samples, false for background.
        temperature: ``T`` of all terms.
        salient_weight, background_weight, joint_weight: weights of the terms.
    """
    positive("temperature", temperature)
    for name, pair in (("common", common), ("salient", salient)):
        same_shape(f"{name}[1]", pair[1], f"{name}[0]", pair[0])
    one_a_row("target", target, len(common[0]))
    target = target.bool()
    if bool(target.all()) or not bool(target.any()):
        raise ValueError("target holds one kind of sample alone, expected target and background")

    def align(x: Tensor, y: Tensor | float) -> Tensor:
        return (x - y).square().sum(-1).mean() / (2 * temperature)

    def spread(x: Tensor) -> Tensor:
        return log_kernel_mean(x, temperature).logsumexp(0) - math.log(len(x))

    def over_views(term) -> Tensor:
        return (term(0) + term(1)) / 2

    c = [unit(x) for x in common]
    s = [x.masked_fill(~target[:, None], 0.0) for x in salient]
    shared = align(*c) + 2 * over_views(lambda v: spread(c[v]))
    own = align(salient[0][target], salient[1][target]) + 2 * over_views(lambda v: spread(s[v]))
    silent = over_views(lambda v: align(salient[v][~target], 0.0))
    joint = over_views(lambda v: joint_entropy(c[v], s[v], temperature))
    return (
        shared + salient_weight * own + background_weight * silent + joint_weight * joint
    )  # fmt: skip


class SepCLR(nn.Module):
    """:func:`sep_clr` as a module."""

    def __init__(
        self,
        temperature: float = 0.5,
        salient_weight: float = 1000.0,
        background_weight: float = 1000.0,
        joint_weight: float = 10.0,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.weights = salient_weight, background_weight, joint_weight

    def forward(
        self, common: tuple[Tensor, Tensor], salient: tuple[Tensor, Tensor], target: Tensor
    ) -> Tensor:
        return sep_clr(common, salient, target, self.temperature, *self.weights)

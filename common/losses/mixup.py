"""Mixup contrast (M3CoL): an anchor made of two inputs has two weighted positives."""

import torch
from torch import Tensor, nn

from tspcrep.common.features import beta, unit
from tspcrep.common.losses.checks import one_a_row, same_shape
from tspcrep.common.ops import info_nce


def draw_mixup(
    batch: int,
    concentration: float = 0.15,
    probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Weights ``(batch,)`` from Beta(c, c), 1 where a row stays unmixed, and a permutation.

    Defaults of M3CoL's code. Mix inputs as ``w x + (1 - w) x[permutation]``.
    """
    weight = beta((batch,), concentration, concentration, torch.empty(0), generator)
    mixed = torch.rand(batch, generator=generator) < probability
    return weight.where(mixed, 1.0), torch.randperm(batch, generator=generator)


def mixup_info_nce(
    mixed: Tensor,
    candidates: Tensor,
    weights: Tensor,
    permutation: Tensor,
    temperature: float = 0.1,
) -> Tensor:
    """InfoNCE of anchors whose inputs were mixed, ``w_i x_i + (1 - w_i) x_{p(i)}``.

        L_i = -w_i log softmax_j(s_ij / T)[i] - (1 - w_i) log softmax_j(s_ij / T)[p(i)]

    Kumar et al., "Harnessing Shared Relations via Multimodal Mixup Contrastive Learning" (M3CoL),
    one direction of its loss; :func:`m3col` has both. The released code overwrites the weight of a
    row that the permutation leaves in place; here its two weights add up to 1.
    ``weights = 1`` is :class:`tspcrep.common.losses.InfoNCE`.

    Args:
        mixed: embeddings of mixed inputs ``(B, D)``.
        candidates: the other view's or modality's unmixed rows ``(B, D)``.
        weights: ``(B,)`` in 0 to 1.
        permutation: ``(B,)``, the partner of each row.
        temperature: divides the cosines.
    """
    same_shape("candidates", candidates, "mixed", mixed)
    one_a_row("weights", weights, len(mixed))
    one_a_row("permutation", permutation, len(mixed))
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise ValueError("weights hold a number outside 0 to 1, expected shares of two partners")
    a, c = unit(mixed), unit(candidates)
    partition = info_nce(a, c, None, temperature, positives="none")
    a, c, w = a.to(partition.dtype), c.to(partition.dtype), weights.to(partition.dtype)[:, None]
    target = w * c + (1 - w) * c[permutation]  # (B, D)
    return partition - ((a * target).sum(-1) / temperature).mean()


def m3col(
    mixed: tuple[Tensor, Tensor],
    plain: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    permutations: tuple[Tensor, Tensor],
    temperature: float = 0.1,
) -> Tensor:
    """M3CoL in both directions: mixed rows of each modality find their partners in the other.

        L = [ M(mixed_1, plain_2, w_1, p_1) + M(mixed_2, plain_1, w_2, p_2) ] / 2

    with :func:`mixup_info_nce` for ``M``; same source. The released code goes over to a soft CLIP
    loss after a third of the training, which is not here. ``weights = 1`` is CLIP's symmetric
    InfoNCE.

    Args:
        mixed, plain: embeddings ``(B, D)`` of mixed and of unmixed inputs, of both modalities.
        weights, permutations: of each modality, ``(B,)``, as :func:`draw_mixup` gives them.
        temperature: divides the cosines.
    """
    first = mixup_info_nce(mixed[0], plain[1], weights[0], permutations[0], temperature)
    second = mixup_info_nce(mixed[1], plain[0], weights[1], permutations[1], temperature)
    return (first + second) / 2


class MixupInfoNCE(nn.Module):
    """:func:`mixup_info_nce` as a module."""

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self, mixed: Tensor, candidates: Tensor, weights: Tensor, permutation: Tensor
    ) -> Tensor:
        return mixup_info_nce(mixed, candidates, weights, permutation, self.temperature)


class M3CoL(nn.Module):
    """:func:`m3col` as a module."""

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self,
        mixed: tuple[Tensor, Tensor],
        plain: tuple[Tensor, Tensor],
        weights: tuple[Tensor, Tensor],
        permutations: tuple[Tensor, Tensor],
    ) -> Tensor:
        return m3col(mixed, plain, weights, permutations, self.temperature)

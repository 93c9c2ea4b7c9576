"""Clusters in contrast: prototypes as candidates, and clusters as false negatives left out."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.checks import one_a_row, two_views
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def intent_contrast(
    first: Tensor, second: Tensor, intents: Tensor, temperature: float | Tensor = 1.0
) -> Tensor:
    """NT-Xent that leaves out false negatives: other samples of the anchor's own intent.

        L_i = -s_{i,i+} / T + log [exp(s_{i,i+} / T) + sum_{j: intent_j != intent_i} exp(s_ij / T)]

    Qin et al., "Intent Contrastive Learning with Cross Subsequences for Sequential Recommendation"
    (ICSRec), coarse-grain intent contrast; the released temperature. Their products are not
    normalised, these are cosines. Without shared intents it is
    :func:`tspcrep.common.losses.nt_xent`.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples.
        intents: ``(B,)`` integers: cluster, segment, next item. A negative one is nobody else's.
        temperature: divides the cosines.
    """
    one_a_row("intents", intents, len(first))
    z = two_views(first, second)
    both = torch.cat([intents, intents])
    pairs = replace(Pairs.views(len(first), 2, z.device), ignore=(both, both))
    return info_nce(z, z, pairs, temperature)


def prototype_contrast(
    embeddings: Tensor,
    assignments: Tensor,
    prototypes: Tensor,
    temperature: float | Tensor = 1.0,
) -> Tensor:
    """Each row finds the prototype of its own cluster among all prototypes.

        L_i = -s(z_i, c_{k(i)}) / T + log sum_k exp(s(z_i, c_k) / T)

    ICSRec's fine-grain intent contrast. There the candidates are the prototypes of the batch's
    rows, repeated, and same-cluster repeats are masked; distinct prototypes need no mask. With
    prototypes that are another view's rows and ``assignments = arange(B)`` it is
    :class:`tspcrep.common.losses.InfoNCE`.

    Args:
        embeddings: ``(B, D)``.
        assignments: ``(B,)`` integers below ``K``, as :func:`spherical_k_means` gives them.
        prototypes: ``(K, D)``.
        temperature: divides the cosines.
    """
    one_a_row("assignments", assignments, len(embeddings))
    cluster = torch.arange(len(prototypes), device=prototypes.device)
    pairs = Pairs(group=(assignments, cluster))
    candidates = unit(prototypes).to(embeddings.dtype)
    return info_nce(unit(embeddings), candidates, pairs, temperature)


@torch.no_grad()
def spherical_k_means(
    embeddings: Tensor, clusters: int, steps: int = 20, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Assignments ``(N,)`` and unit centroids ``(clusters, D)`` of rows ``(N, D)`` by cosine.

    A cluster that loses all its rows starts anew from the row that is farthest from its centroid.
    """
    if not 1 <= clusters <= len(embeddings):
        raise ValueError(f"clusters is {clusters}, expected 1 to {len(embeddings)}, the rows")
    z = unit(embeddings)
    start = torch.randperm(len(z), generator=generator, device=z.device)[:clusters]
    centroids = z[start]
    for _ in range(steps):
        score, assignment = (z @ centroids.T).max(1)
        sums = torch.zeros_like(centroids).index_add_(0, assignment, z)
        empty = (assignment.bincount(minlength=clusters) == 0).nonzero().squeeze(1)
        sums[empty] = z[score.topk(len(empty), largest=False).indices]
        centroids = unit(sums)
    return (z @ centroids.T).argmax(1), centroids


class IntentContrast(nn.Module):
    """:func:`intent_contrast` as a module."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor, intents: Tensor) -> Tensor:
        return intent_contrast(first, second, intents, self.temperature)


class PrototypeContrast(nn.Module):
    """:func:`prototype_contrast` as a module."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, assignments: Tensor, prototypes: Tensor) -> Tensor:
        return prototype_contrast(embeddings, assignments, prototypes, self.temperature)

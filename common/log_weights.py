"""Log-weights of candidates: communities, sampling and propensities.

Each function gives one number for each candidate ``j``, for the ``log_weight`` of
:class:`tspcrep.common.pairs.Pairs`: the logits of a loss become ``l_ij + log w_j``.
"""

import torch
from torch import Tensor

from tspcrep.common.losses.checks import one_a_row, positive


def community_strength(edges: Tensor, communities: Tensor, weight: Tensor | None = None) -> Tensor:
    """How much more a community is linked inside than by chance, ``(C,)``.

        c = inside / links - (degrees / (2 links))^2

    Chen et al., "CSGCL: Community-Strength-Enhanced Graph Contrastive Learning": ``links`` is the
    weight of all edges, ``inside`` of those within the community, ``degrees`` the sum of its nodes'
    degrees. The sum over communities is Newman's modularity. Points: over-segments as communities
    of the adjacency graph; series: clusters of windows.

    Args:
        edges: ``(E, 2)`` integers, each undirected edge once.
        communities: ``(N,)`` integers from 0: the community of each node.
        weight: ``(E,)``, at least 0; 1 when left out.
    """
    if edges.ndim != 2 or edges.shape[1] != 2 or not len(edges):
        raise ValueError(f"edges has shape {tuple(edges.shape)}, expected (E, 2) with E >= 1")
    if communities.ndim != 1 or not 0 <= int(edges.min()) <= int(edges.max()) < len(communities):
        raise ValueError(
            f"edges hold nodes {int(edges.min())} to {int(edges.max())}, expected places in "
            f"communities of shape {tuple(communities.shape)}"
        )
    if bool((communities < 0).any()):
        raise ValueError(f"communities hold {int(communities.min())}, expected numbers from 0")
    if weight is None:
        weight = torch.ones(len(edges), device=edges.device)
    one_a_row("weight", weight, len(edges))
    weight = weight.detach().double()
    links = weight.sum()
    if not bool((weight >= 0).all() & (links > 0) & links.isfinite()):
        raise ValueError("weight holds a negative or no positive number, expected weights >= 0")
    ends = communities[edges].long()  # (E, 2)
    zero = weight.new_zeros(int(communities.max()) + 1)
    degrees = zero.index_add(0, ends[:, 0], weight).index_add(0, ends[:, 1], weight)
    within = ends[:, 0] == ends[:, 1]
    inside = zero.index_add(0, ends[within, 0], weight[within])
    return inside / links - (degrees / (2 * links)).square()


def community_log_weight(
    strength: Tensor,
    communities: Tensor,
    epoch: int,
    temperature: float = 0.4,
    start: int = 500,
    ramp: int = 100,
    most: float = 1.0,
) -> Tensor:
    """CSGCL's Team-up: candidates of strong communities come to count for more, ``(N,)``.

        log w_j = g c_j / T,   g = clip((epoch - start) / ramp, 0, most)

    There the logits are ``(s_ij + g c_i + g c_j) / T``, the positive's too; ``g c_i`` is the same
    in numerator and denominator and cancels. Until ``start`` the weights are 1. Defaults are
    the released ones.

    Args:
        strength: ``(C,)`` of :func:`community_strength`.
        communities: ``(N,)`` of the candidates.
        epoch: of training, from 0.
        temperature: of the loss.
        start, ramp, most: of ``g``.
    """
    positive("temperature", temperature)
    if not ramp > 0 or not most >= 0:
        raise ValueError(f"ramp is {ramp} and most {most}, expected above 0 and at least 0")
    gain = min(max((epoch - start) / ramp, 0.0), most)
    return gain * strength[communities.long()] / temperature


def sampling_log_weight(probability: Tensor) -> Tensor:
    """The logQ correction: candidates that are drawn often count for less, ``(N,)``.

        log w_j = -log q_j

    Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations";
    Bengio and Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural
    Probabilistic Language Model". With candidates drawn from ``q`` the mean of ``w_j exp(l_j)`` is
    the sum of ``exp(l_j)`` over all there are, in expectation.

    Args:
        probability: ``(N,)``, above 0, at most 1: with which each candidate is drawn.
    """
    if not bool(((probability > 0) & (probability <= 1)).all()):
        raise ValueError("probability holds 0 or a number outside 0 to 1, expected 0 < q <= 1")
    return -probability.log()


def propensity_log_weight(
    surface: Tensor, semantic: Tensor, mix: float = 0.5, floor: float = 0.1
) -> Tensor:
    """Candidates that anybody would have picked count for less, ``(N,)``.

        p_j = max(mix surface_j + (1 - mix) semantic_j, floor),   w_j = (1 / p_j) / mean (1 / p)

    Our reading of Miao et al., "DebCSE: Rethinking Unsupervised Contrastive Sentence Embedding
    Learning in the Debiasing Perspective", whose abstract was at hand: pairs are chosen by inverse
    propensity, which follows from surface and semantic similarity. There pairs are sampled, here
    they are weighted; the mixture and the floor are ours. Equal similarities give weights of 1.

    Args:
        surface, semantic: ``(N,)`` in 0 to 1: how like its anchors a candidate is, raw (values of
            a window, colour of a segment) and by embedding.
        mix: share of the surface.
        floor: smallest propensity; no weight is above ``1 / floor`` times another.
    """
    one_a_row("semantic", semantic, len(surface))
    for name, x in (("surface", surface), ("semantic", semantic)):
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise ValueError(f"{name} holds a number outside 0 to 1, expected similarities")
    if not 0 <= mix <= 1 or not 0 < floor <= 1:
        raise ValueError(f"mix is {mix} and floor {floor}, expected 0 to 1 and above 0 to 1")
    inverse = 1 / (mix * surface + (1 - mix) * semantic).clamp_min(floor)
    return (inverse / inverse.mean()).log()

"""Transforms of embeddings: harder positives, more negatives, other views of the same rows.

Every function that draws takes a ``torch.Generator``.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn


def unit(x: Tensor) -> Tensor:
    """Rows ``(..., D)`` at length 1, in their dtype; a row of zeros stays one, with gradient 0.

    Lengths are summed in float32 or better, since squares of 16-bit numbers overflow or vanish.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    length = wide.norm(dim=-1, keepdim=True)
    return (wide / length.masked_fill(length == 0, torch.inf)).to(x.dtype)


def beta(
    shape: tuple[int, ...],
    a: float,
    b: float,
    like: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Beta(a, b) in the dtype and on the device of ``like``, exact for parameters near 0 too.

    ``Gamma(a) = Gamma(a + 1) U^(1/a)``, and the share of the first of two is Beta; in logarithms
    nothing underflows.
    """
    for name, x in (("a", a), ("b", b)):
        if not 0 < x < float("inf"):
            raise ValueError(f"{name} is {x}, expected a parameter of Beta above 0")
    device = drawn_on(generator, like)
    parameters = torch.tensor([a, b], dtype=torch.float64, device=device).expand(*shape, 2)
    gamma = torch._standard_gamma(parameters + 1, generator=generator)
    uniform = torch.rand(parameters.shape, generator=generator, dtype=torch.float64, device=device)
    return (gamma.log() + uniform.log() / parameters).softmax(-1)[..., 0].to(like)


def drawn_on(generator: torch.Generator | None, like: Tensor) -> torch.device:
    """Where numbers are drawn: the generator's device, else that of ``like``."""
    return like.device if generator is None else generator.device


def extrapolate_positives(
    queries: Tensor,
    keys: Tensor,
    concentration: float = 2.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Push the two rows of a positive pair apart along the line through them.

        q' = m q + (1 - m) k,   k' = m k + (1 - m) q,   m - 1 ~ Beta(a, a) for each dimension

    Zhu et al., "Improving Contrastive Learning by Visualizing Feature Transformation", positive
    extrapolation. With one ``m`` for all dimensions the new cosine before normalisation is
    ``2 m (1 - m) + (m^2 + (1 - m)^2) s <= s``: a harder positive. Both come out at length 1, where
    the code leaves that to an option. Enqueue ``keys``, not what comes out here.

    Args:
        queries, keys: unit rows ``(B, D)``.
        concentration: ``a``; the paper's 2.
    """
    m = 1 + beta(tuple(queries.shape), concentration, concentration, queries, generator)
    return unit(m * queries + (1 - m) * keys), unit(m * keys + (1 - m) * queries)


def interpolate_negatives(
    negatives: Tensor, concentration: float = 1.6, generator: torch.Generator | None = None
) -> Tensor:
    """Mix each negative with another one, ``n' = m n + (1 - m) n_p``, ``m ~ Beta(a, a)``.

    Zhu et al., "Improving Contrastive Learning by Visualizing Feature Transformation", negative
    interpolation, each dimension with its own ``m``. Rows come out at length 1: the code's option
    for that reaches positives alone, and shorter negatives are easier ones.

    Args:
        negatives: unit rows ``(K, D)``, such as a queue's.
        concentration: ``a``; the paper's 1.6.
    """
    device = drawn_on(generator, negatives)
    partner = torch.randperm(len(negatives), generator=generator, device=device)
    m = beta(tuple(negatives.shape), concentration, concentration, negatives, generator)
    return unit(m * negatives + (1 - m) * negatives[partner.to(negatives.device)])


def low_rank(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors ``left (..., N, q)``, ``right (..., q, M)`` of the nearest matrix of rank ``q``.

    LightGCL (Cai et al.) takes ``left (right E)`` as a second view of embeddings ``E``, for
    ``matrix`` an adjacency. A trajectory matrix of a series and a kNN affinity of points serve
    alike. ``left @ right`` is the closest of its rank in Frobenius norm (Eckart and Young); with
    full rank it is the matrix. Exact singular values, no gradient: form it once, not in each step.
    """
    if not 1 <= rank <= min(matrix.shape[-2:]):
        raise ValueError(f"rank is {rank}, expected 1 to {min(matrix.shape[-2:])}")
    u, s, vh = torch.linalg.svd(matrix.detach(), full_matrices=False)
    return u[..., :rank] * s[..., None, :rank], vh[..., :rank, :]


def nearest(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the row of ``bank`` with the largest cosine, and its place in the bank.

    NNCLR (Dwibedi et al., "With a Little Help from My Friends"): the neighbour of one view stands
    in as the positive of the other view. No gradient.

    Args:
        queries: ``(B, D)``.
        bank: ``(K, D)``, such as :attr:`tspcrep.common.queue.FeatureQueue.features`.
    """
    if not len(bank):
        raise ValueError("bank has no rows, expected at least one to choose from")
    u, candidates = unit(queries.detach()), unit(bank.detach())
    place = torch.cat([(q @ candidates.T).argmax(1) for q in u.split(1024)])
    return bank[place], place


def scaled_noise(
    embeddings: Tensor, strength: float = 0.1, generator: torch.Generator | None = None
) -> Tensor:
    """Add to each row ``z`` a vector of random direction and length ``strength ||z||``.

    The norm-scaled perturbation of multimodal item graphs ("Semantic Item Graph Enhancement"), in
    its generic reading: the abstract is all that was at hand.
    """
    if not strength >= 0:
        raise ValueError(f"strength is {strength}, expected at least 0")
    device = drawn_on(generator, embeddings)
    noise = torch.randn(embeddings.shape, generator=generator, device=device)
    length = strength * embeddings.detach().norm(dim=-1, keepdim=True)
    return embeddings + length * unit(noise.to(embeddings))


class LearnedAugmenter(nn.Module):
    """A small perceptron that makes a view of an embedding: ``(..., dim) -> (..., dim)``, unit.

    Qin et al., "Meta-optimized Contrastive Learning for Sequential Recommendation" (MCLRec): two of
    them, 64-32-16-64 with GELU, learn by turns with the encoder
    (:func:`tspcrep.common.losses.meta_contrast`), so their parameters are a phase of their own in a
    method that ``fit`` trains. Default widths are the released ones as fractions of ``dim``.

    Args:
        dim: of the embeddings.
        widths: hidden widths; ``(dim / 2, dim / 4)`` when left out.
    """

    def __init__(self, dim: int, widths: tuple[int, ...] | None = None) -> None:
        super().__init__()
        widths = (max(dim // 2, 1), max(dim // 4, 1)) if widths is None else widths
        if dim < 1 or min(widths, default=1) < 1:
            raise ValueError(f"dim is {dim} and widths {widths}, expected widths of at least 1")
        layers: list[nn.Module] = []
        for before, after in pairwise((dim, *widths)):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Linear((dim, *widths)[-1], dim))

    def forward(self, embeddings: Tensor) -> Tensor:
        return unit(self.net(embeddings))


def nearest_rows(values: Tensor, count: int = 5) -> Tensor:
    """Places ``(N, count)`` of the rows with the largest cosine to each row, itself among them.

    Form it once for each modality, not in each step: colour, normals or places of segments,
    exogenous columns of windows.

    Args:
        values: ``(N, F)``.
        count: neighbours of a row, itself included.
    """
    if values.ndim != 2 or not 1 <= count <= len(values):
        raise ValueError(
            f"count is {count} for values of shape {tuple(values.shape)}, expected 1 to N of (N, F)"
        )
    rows = unit(values.detach())
    return torch.cat([(u @ rows.T).topk(count).indices for u in rows.split(1024)])


def knn_smooth(embeddings: Tensor, neighbours: Tensor, hops: int = 1) -> Tensor:
    """A second view of rows: each is averaged with its neighbours, ``hops`` times.

        Z' = A^hops Z,   A_ij = 1 / k for the k neighbours j of i

    The item graphs of "MMHCL: Multi-Modal Hypergraph Contrastive Learning for Recommendation", by
    default with as many neighbours and, in our reading, links without weights. MMHCL contrasts the
    plain rows with such ones, one way, the rows of both as candidates, at temperature .6 and with a
    weight of .03 to .07. The gradient goes through the average. With ``hops=0`` it is ``Z``; equal
    rows stay as they are.

    Args:
        embeddings: ``(N, D)``.
        neighbours: ``(N, k)`` integers, of :func:`nearest_rows` on what the graph is made of.
        hops: how often.
    """
    if neighbours.ndim != 2 or len(neighbours) != len(embeddings):
        raise ValueError(
            f"neighbours has shape {tuple(neighbours.shape)}, expected ({len(embeddings)}, k)"
        )
    if hops < 0:
        raise ValueError(f"hops is {hops}, expected at least 0")
    for _ in range(hops):
        of_each = embeddings.index_select(0, neighbours.flatten()).unflatten(0, neighbours.shape)
        embeddings = of_each.mean(1)
    return embeddings


class Hallucinator(nn.Module):
    """More positives in feature space: a pair extrapolated, then smoothed by a small perceptron.

        h = x + W2 relu(W1 x),   x = m q + (1 - m) k,   m - 1 ~ Beta(a, a) for each dimension

    Our reading of Wu et al., "Hallucination Improves the Performance of Unsupervised Visual
    Representation Learning", of which the abstract was at hand: new positives are made in feature
    space by a differentiable map, share less with the pair than it shares, and are smoothed by
    non-linear operations. ``W2`` starts at 0, so at first it is :func:`extrapolate_positives`. Its
    parameters learn with the encoder's, by the loss of ``h`` against the pair.

    Args:
        dim: of the embeddings.
        hidden: width of the perceptron; ``dim`` when left out.
        concentration: ``a`` of :func:`extrapolate_positives`.
    """

    def __init__(self, dim: int, hidden: int | None = None, concentration: float = 2.0) -> None:
        super().__init__()
        self.concentration = concentration
        self.net = nn.Sequential(nn.Linear(dim, hidden or dim), nn.ReLU())
        self.out = nn.Linear(hidden or dim, dim)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, queries: Tensor, keys: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Unit rows ``(B, dim)``, one more positive for each pair of unit rows ``(B, dim)``."""
        x, _ = extrapolate_positives(queries, keys, self.concentration, generator)
        return unit(x + self.out(self.net(x)))

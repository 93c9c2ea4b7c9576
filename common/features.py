"""Transforms of embeddings: harder positives, more negatives, other views of the same rows.

Every function that draws takes a ``torch.Generator``.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize


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
    where = {"dtype": torch.float64, "device": drawn_on(generator, like)}
    parameters = torch.tensor([a, b], **where).expand(*shape, 2)
    gamma = torch._standard_gamma(parameters + 1, generator=generator)
    uniform = torch.rand(parameters.shape, generator=generator, **where)
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
    return normalize(m * queries + (1 - m) * keys, dim=-1), normalize(
        m * keys + (1 - m) * queries, dim=-1
    )


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
    return normalize(m * negatives + (1 - m) * negatives[partner.to(negatives.device)], dim=-1)


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
    unit = normalize(queries.detach(), dim=-1), normalize(bank.detach(), dim=-1)
    place = torch.cat([(q @ unit[1].T).argmax(1) for q in unit[0].split(1024)])
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
    return embeddings + length * normalize(noise.to(embeddings), dim=-1)

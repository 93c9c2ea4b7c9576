"""KoLeo: rows spread over the sphere, each away from its nearest neighbour."""

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.checks import of_one_sample
from tspcrep.common.losses.rows import exact_rows, full_precision


def koleo(embeddings: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Minus Kozachenko and Leonenko's estimate of differential entropy, up to a constant.

        L = -mean_i log min_{j != i} ||u_i - u_j||,   u = z / ||z||

    Sablayrolles et al., "Spreading Vectors for Similarity Search", as DINOv2 uses it, with a weight
    of .1 beside its other terms. DINOv2 adds ``epsilon`` to the distance; here
    ``epsilon^2`` is added to its square, so that equal rows have a gradient too, which is 0.
    For orthogonal rows it is ``-log(2) / 2``. Distances are taken in blocks: ``O(1024 N)`` memory.

    Args:
        embeddings: ``(N, D)``; one row has the loss 0. Two views are two calls: a row's nearest
            neighbour should not be the other view of its own sample.
        epsilon: keeps the logarithm of equal rows finite.
    """
    (z,) = exact_rows(embeddings=embeddings)
    if z.ndim != 2:
        raise ValueError(f"embeddings has shape {tuple(embeddings.shape)}, expected (N, D)")
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon is {epsilon}, expected a finite number above 0")
    if len(z) == 1:
        return of_one_sample(z)
    u = unit(z)
    near = []
    with torch.no_grad(), full_precision(u):
        for start in range(0, len(u), 1024):
            cosine = u[start : start + 1024] @ u.T
            cosine.diagonal(start).fill_(-torch.inf)
            near.append(cosine.argmax(1))
    # From differences: 2 - 2 <u, v> loses close pairs to rounding.
    squared = (u - u[torch.cat(near)]).square().sum(-1)
    return -(squared + epsilon**2).log().mean() / 2


class KoLeo(nn.Module):
    """:func:`koleo` as a module."""

    def __init__(self, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, embeddings: Tensor) -> Tensor:
        return koleo(embeddings, self.epsilon)

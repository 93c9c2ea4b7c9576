"""Similarity queries: of three samples, which two are alike?"""

import torch
from torch import Tensor, nn

from tspcrep.common.elementwise import softplus
from tspcrep.common.losses.rows import exact_rows


def similarity_queries(
    first: Tensor, second: Tensor, odd: Tensor, margin: float | None = 1.0
) -> Tensor:
    """Triplet loss of answered queries, each of the two alike as anchor in turn.

        L = mean_q [ h(d(a, b) - d(a, o)) + h(d(b, a) - d(b, o)) ] / 2
        d(x, y) = ||x - y||^2,   h(x) = relu(x + margin), or log(1 + e^x) without a margin

    Our reading of Bobu et al., "SIRL: Similarity-based Implicit Representation Learning", whose
    abstract alone was at hand: a person says which two of three behaviours are most alike, and the
    representation learns it. The two anchors, the squared distance and the margin are ours. Without
    a margin, ``h`` is the negative log-likelihood of a logistic choice, and for unit rows
    :class:`tspcrep.common.losses.InfoNCE` at temperature .5 of one positive and one negative.

    Args:
        first, second, odd: ``(Q, D)``: rows of the two alike and of the odd one, query by query.
        margin: at least 0, in squared distance; None for the logistic form.
    """
    if margin is not None and not 0 <= margin < float("inf"):
        raise ValueError(f"margin is {margin}, expected a finite number of at least 0, or None")
    a, b, o = exact_rows(first=first, second=second, odd=odd)

    def squared(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum(-1)

    gaps = torch.stack([squared(a, b) - squared(x, o) for x in (a, b)])
    return (softplus(gaps) if margin is None else (gaps + margin).relu()).mean()


class SimilarityQueries(nn.Module):
    """:func:`similarity_queries` as a module."""

    def __init__(self, margin: float | None = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, first: Tensor, second: Tensor, odd: Tensor) -> Tensor:
        return similarity_queries(first, second, odd, self.margin)

"""InfoNCE from the full matrix of logits: the reference of the tests, fastest for small batches."""

import torch
from torch import Tensor

from tspcrep.common.elementwise import softplus
from tspcrep.common.ops.relations import Relations


def rows(anchors: Tensor, candidates: Tensor, relations: Relations, scale: float, form) -> Tensor:
    """The loss of each anchor, ``(G, B)``, for anchors ``(G, B, D)``, candidates ``(G, N, D)``.

    ``form`` says which sums are taken (:class:`tspcrep.common.ops.Form`).
    """
    return rows_of_logits(scale * anchors @ candidates.mT, relations, form)


def rows_of_logits(logits: Tensor, relations: Relations, form) -> Tensor:
    """The same for logits ``(G, B, N)`` that are no plain inner products."""
    positive, dropped = relations.masks()
    weighted = logits
    if relations.value is not None:
        weighted = logits + relations.lift().masked_fill(positive, 0.0)
    weighted = weighted.masked_fill(dropped, -torch.inf)
    negative = weighted.masked_fill(positive, -torch.inf)
    if form.hardest is not None:
        negative = keep_hardest(negative, form.hardest)
        weighted = torch.where(positive, weighted, negative)

    if form.denominator == "own":
        partition = negative.logsumexp(-1, keepdim=True)
        # Not logaddexp, whose gradient near 0 is a difference of ones, and whose second is NaN.
        spread = softplus(partition - logits).masked_fill(~positive, 0.0)
        loss = spread.sum(-1) / positive.sum(-1)
        return loss.masked_fill(partition.squeeze(-1).isneginf(), -torch.inf)
    partition = (negative if form.denominator == "negatives" else weighted).logsumexp(-1)
    if form.positives == "none":
        return partition
    if form.positives == "sum":
        return partition - logits.masked_fill(~positive, -torch.inf).logsumexp(-1)
    return partition - (logits * positive).sum(-1) / positive.sum(-1)


def keep_hardest(negative: Tensor, count: int) -> Tensor:
    """Drop the negatives below the ``count``-th largest logit of their row; ties stay."""
    threshold = negative.detach().topk(min(count, negative.shape[-1]), -1).values[..., -1:]
    return negative.masked_fill(negative < threshold, -torch.inf)

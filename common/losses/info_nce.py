"""InfoNCE on unit rows, NT-Xent (two views of a batch) and MoCo (a queue of keys)."""

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.checks import one_a_row, same_shape, two_views
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def nt_xent(first: Tensor, second: Tensor, temperature: float | Tensor = 0.5) -> Tensor:
    """NT-Xent: each row finds its other view among the ``2B - 1`` other rows of both views.

        L_i = -s_{i,i+} / T + log sum_{j != i} exp(s_ij / T),   s = cosine

    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", Eq. 1;
    the default temperature is theirs for CIFAR-10. :func:`tspcrep.common.losses.mv_info_nce` with
    two views and :func:`tspcrep.common.losses.sup_con` with one label per sample are the same.

    Args:
        first, second: embeddings of two views ``(..., B, D)``, row by row of the same samples.
        temperature: divides the cosines.
    """
    z = two_views(first, second)
    return info_nce(z, z, Pairs.views(first.shape[-2], 2, z.device), temperature)


def moco(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    temperature: float | Tensor = 0.07,
    ids: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Each query finds its key among that key and a queue of earlier keys; keys get no gradient.

        L_i = -s(q_i, k_i) / T + log [exp(s(q_i, k_i) / T) + sum_{n in queue} exp(s(q_i, n) / T)]

    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", Eq. 1 and
    Algorithm 1. Other keys of the batch are no negatives, as there. With the batch's other keys as
    negatives in place of a queue, this is :class:`InfoNCE` on detached keys.

    Args:
        queries: ``(B, D)``, from the encoder.
        keys: ``(B, D)``, from the momentum encoder.
        queue: ``(K, D)``, keys of earlier batches.
        temperature: divides the cosines; the paper's default.
        ids: of the samples ``(B,)`` and of the queue's rows ``(K,)``, integers. Earlier keys of a
            query's own sample are then left out: a queue longer than the data set holds some. The
            paper keeps them.
    """
    same_shape("keys", keys, "queries", queries)
    batch, length = len(queries), len(queue)
    if not length:
        raise ValueError("queue has no rows, expected negatives: skip the loss until it has some")
    candidates = unit(torch.cat([keys, queue]).detach()).to(queries)  # (B + K, D)
    sample = torch.arange(batch, device=queries.device)
    none = sample.new_full((length,), -1)
    # Every query ignores the keys of the others: one id for all of the batch, none for the queue.
    ignore = torch.cat([torch.zeros_like(sample), none])
    row = None
    if ids is not None:
        one_a_row("ids[0]", ids[0], batch)
        one_a_row("ids[1]", ids[1], length)
        row = ids[0], torch.cat([none.new_full((batch,), -1), ids[1].long()])
    pairs = Pairs(row, (sample, torch.cat([sample, none])), (ignore[:batch], ignore))
    return info_nce(unit(queries), candidates, pairs, temperature)


class InfoNCE(nn.Module):
    """:func:`tspcrep.common.ops.info_nce` on unit rows: ``forward(anchors, candidates,
    pairs=None)``.

        L_i = -s_{i,i+} / T + log sum_j exp(s_ij / T)

    van den Oord et al., "Representation Learning with Contrastive Predictive Coding", Eq. 4.

    Args:
        temperature: divides the cosines, or the inner products where rows are not normalised.
        unit: normalise rows first.
    """

    def __init__(self, temperature: float = 0.1, unit: bool = True) -> None:
        super().__init__()
        self.temperature, self.unit = temperature, unit

    def forward(self, anchors: Tensor, candidates: Tensor, pairs: Pairs | None = None) -> Tensor:
        if self.unit:
            anchors, candidates = unit(anchors), unit(candidates)
        return info_nce(anchors, candidates, pairs, self.temperature)


class MoCo(nn.Module):
    """:func:`moco` as a module; :class:`tspcrep.common.queue.FeatureQueue` keeps the queue."""

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        queue: Tensor,
        ids: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        return moco(queries, keys, queue, self.temperature, ids)


class NTXent(nn.Module):
    """:func:`nt_xent` as a module."""

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return nt_xent(first, second, self.temperature)

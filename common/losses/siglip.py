"""SigLIP: each pair is judged by itself, so a batch of eight will do."""

import math

import torch
from torch import Tensor, nn

from tspcrep.common.elementwise import softplus
from tspcrep.common.features import unit
from tspcrep.common.losses.checks import one_a_row, positive
from tspcrep.common.losses.rows import exact_rows, full_precision


def siglip(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float | Tensor = 0.1,
    bias: float | Tensor = -10.0,
    labels: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Pairwise sigmoid loss.

        L = mean_i sum_j log(1 + exp(-y_ij (s_ij / T + bias))),   s = cosine,
        y_ij = 1 for a positive pair, -1 for any other

    Zhai et al., "Sigmoid Loss for Language Image Pre-Training", Algorithm 1, with its start values
    of the two learned numbers. An anchor may have several positives. As the bias falls,
    ``L + bias`` tends to ``-mean_i s_{i,i+} / T``: attraction alone. Memory is ``B x N``.

    Over several processes keep anchors local and gather the candidates:
    ``share(siglip(a, gather(c), labels=(ids, gather(ids))), len(a))``.

    Args:
        anchors: ``(B, D)``.
        candidates: ``(N, D)``.
        temperature: divides the cosines.
        bias: added to each logit; about ``-log N``, because most pairs are negative.
        labels: ``(B,)`` and ``(N,)``: pairs of equal labels are positive. Without them candidate
            ``i`` is the positive of anchor ``i``.
    """
    positive("temperature", temperature)
    (a,), (c,) = exact_rows(anchors=anchors), exact_rows(candidates=candidates)
    if labels is None:
        if len(c) < len(a):
            raise ValueError(f"there are {len(c)} candidates, expected {len(a)} or more, or labels")
        same = torch.eye(len(a), len(c), dtype=torch.bool, device=a.device)
    else:
        one_a_row("labels[0]", labels[0], len(a))
        one_a_row("labels[1]", labels[1], len(c))
        same = labels[0][:, None] == labels[1]
    with full_precision(a):
        logits = unit(a) @ unit(c).T / temperature + bias  # (B, N)
        return softplus(torch.where(same, -logits, logits)).sum(1).mean()


class SigLIP(nn.Module):
    """:func:`siglip` with its learned temperature and bias.

    Args:
        temperature, bias: start values; the temperature learns as ``log(1 / T)``.
    """

    def __init__(self, temperature: float = 0.1, bias: float = -10.0) -> None:
        super().__init__()
        positive("temperature", temperature)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(
        self, anchors: Tensor, candidates: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        return siglip(anchors, candidates, (-self.log_scale).exp(), self.bias, labels)

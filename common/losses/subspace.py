"""Rethinking Positive Pairs: any two classes may be a pair, in a subspace where they are alike."""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import one_a_row, positive
from tspcrep.common.ops import Form
from tspcrep.common.ops.dense import rows_of_logits
from tspcrep.common.ops.relations import Relations
from tspcrep.common.pairs import Pairs


def gated_info_nce(
    anchors: Tensor,
    candidates: Tensor,
    gates: Tensor,
    classes: tuple[Tensor, Tensor],
    candidate_classes: Tensor,
    temperature: float | Tensor = 0.1,
) -> Tensor:
    """InfoNCE of cosines in each anchor's own subspace, between the two classes of a pair.

        l_ij = <g_i z_i, g_i k_j> / (|g_i z_i| |g_i k_j|) / T
        L = 1 / sum_i |P_i| sum_i sum_{p in P_i} [ log(e^{l_ip} + sum_{n in N_i} e^{l_in}) - l_ip ]

    ``P_i``: candidates of the second class of pair ``i``; ``N_i``: candidates of neither class.
    Wu et al., "Rethinking Positive Pairs in Contrastive Learning". The released code forms the
    gated candidates ``(B, N, D)``; two products do: ``<g z, g k> = (g^2 z) k^T`` and
    ``|g k|^2 = g^2 (k^2)^T``. With gates of 1 it is :func:`tspcrep.common.ops.info_nce` of unit
    rows with ``denominator="own"`` and anchors weighted by their number of positives.

    Args:
        anchors: ``(B, D)``.
        candidates: ``(N, D)``.
        gates: ``(B, D)``, 0 to 1, of :class:`SubspaceGate`.
        classes: ``(B,)`` and ``(B,)`` integers: the anchor's own class and its partner's.
        candidate_classes: ``(N,)`` integers.
        temperature: divides the cosines; the paper's scale ``s = 1 / T`` starts at 10 and learns.
    """
    if gates.shape != anchors.shape:
        raise ValueError(
            f"gates have shape {tuple(gates.shape)}, expected {tuple(anchors.shape)} as anchors"
        )
    positive("temperature", temperature)
    for x in classes:
        one_a_row("classes", x, len(anchors))
    own, other = classes
    relations = Relations.of(
        Pairs(group=(other, candidate_classes), ignore=(own, candidate_classes)),
        anchors,
        candidates,
    )
    count = relations.index.positive_counts[0]
    if not bool(count.all()):
        raise ValueError(
            f"anchor {int((count == 0).nonzero()[0])} has no positive among the candidates; "
            "expected a candidate of its pair's second class"
        )
    square = gates.square()
    gated = gates * anchors  # (B, D)
    products = (gates * gated) @ candidates.T  # (B, N)
    lengths = (square @ candidates.square().T).clamp_min(1e-12).sqrt()
    length = gated.norm(dim=-1, keepdim=True)
    logits = products / (length.clamp_min(1e-6) * lengths) / temperature
    logits = logits.masked_fill(length == 0, 0.0)  # a row of zeros has no direction to learn
    loss = rows_of_logits(logits[None], relations, Form(denominator="own"))[0]
    if not bool(loss.isfinite().all()):
        raise ValueError(
            f"anchor {int((~loss.isfinite()).nonzero()[0])} has a loss that is not finite; "
            "expected finite embeddings and a candidate of neither class"
        )
    return (loss * count).sum() / count.sum()


class SubspaceGate(nn.Module):
    """The gate of a pair of classes: a perceptron of their mean embedding.

    ReLU, BN, 512 -> 1024, ReLU, BN, 1024 -> D, sigmoid, as released.

    Args:
        classes: how many.
        dim: of the gated embeddings.
        width: of the class embeddings.
    """

    def __init__(self, classes: int, dim: int, width: int = 512) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)
        self.net = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(width),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.BatchNorm1d(2 * width),
            nn.Linear(2 * width, dim),
            nn.Sigmoid(),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Gates ``(B, D)`` of classes ``(B,)`` and ``(B,)``."""
        return self.net((self.embedding(first) + self.embedding(second)) / 2)


class GatedInfoNCE(nn.Module):
    """:func:`gated_info_nce` with its gate and its learned temperature."""

    def __init__(self, classes: int, dim: int, temperature: float = 0.1) -> None:
        super().__init__()
        self.gate = SubspaceGate(classes, dim)
        self.log_scale = nn.Parameter(-torch.tensor(temperature).log())

    def forward(
        self, anchors: Tensor, candidates: Tensor, classes: Tensor, partners: Tensor, keys: Tensor
    ) -> Tensor:
        """Anchors of ``classes (B,)`` meet ``partners (B,)``; candidates are of ``keys (N,)``."""
        gates = self.gate(classes, partners)
        temperature = (-self.log_scale).exp()
        return gated_info_nce(anchors, candidates, gates, (classes, partners), keys, temperature)

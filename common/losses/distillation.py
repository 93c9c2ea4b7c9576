"""Balanced prototypes and self-distillation: SwAV and DINO, one loss with two kinds of target."""

import torch
from torch import Tensor, nn

from tspcrep.common.distributed import gather
from tspcrep.common.losses.checks import positive
from tspcrep.common.losses.rows import exact_rows, full_precision, total


def swapped_prediction(
    logits: Tensor, targets: Tensor, temperature: float | Tensor = 0.1
) -> Tensor:
    """Each view predicts the other views' targets: cross-entropy over prototypes.

        L = -mean_{t, v != t} mean_i sum_k q_tik log softmax_k(l_vik / T)

    Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments"
    (SwAV), Eqs. 1 and 2, and "Emerging Properties in Self-Supervised Vision Transformers" (DINO),
    Eqs. 2 and 3, with the temperature of both. Targets come from :func:`sinkhorn` (SwAV, DINOv2)
    or :func:`centred_targets` (DINO) and take no gradient. With targets that are all at one
    prototype it is :func:`tspcrep.common.losses.prototype_contrast` of that assignment.

    Args:
        logits: ``(V, B, K)``, views by samples by prototypes: cosines in SwAV, a head's outputs in
            DINO.
        targets: ``(A, B, K)``, ``A <= V``: probabilities for the first ``A`` views.
        temperature: divides the logits.
    """
    positive("temperature", temperature)
    (x,), (q,) = exact_rows(logits=logits), exact_rows(targets=targets.detach())
    if x.ndim != 3 or q.ndim != 3 or x.shape[1:] != q.shape[1:] or len(x) < max(len(q), 2):
        raise ValueError(
            f"logits has shape {tuple(x.shape)} and targets {tuple(q.shape)}, expected (V, B, K) "
            "with V >= 2 and (A, B, K) with A <= V"
        )
    if bool((q < 0).any()) or not bool(((q.sum(-1) - 1).abs() < 0.05).all()):
        raise ValueError("targets hold a row that is no distribution, expected sums of 1, none < 0")
    log_p = (x / temperature).log_softmax(-1)
    with full_precision(x):
        each = -torch.einsum("abk,vbk->avb", q, log_p).mean(-1)  # (A, V)
    pairs = len(q) * (len(x) - 1)
    return (each.sum() - each.diagonal().sum()) / pairs


@torch.no_grad()
def sinkhorn(
    scores: Tensor, epsilon: float = 0.05, iterations: int = 3, *, distributed: bool = False
) -> Tensor:
    """Soft assignments of rows to prototypes, each prototype with an equal share of the batch.

    Of all ``Q`` with rows that sum to 1 and columns that sum to ``B / K``, the one that maximises
    ``sum_ik Q_ik scores_ik + epsilon H(Q)``: SwAV, Eqs. 3 to 5, with the paper's ``epsilon`` and
    number of iterations; DINOv2 takes its teacher's temperature for ``epsilon``. Columns and rows
    are scaled by turns, in logarithms, rows last. Without iterations it is
    ``softmax(scores / epsilon)``.

    Args:
        scores: ``(B, K)``, or ``(..., B, K)`` for views that are balanced each by itself.
        epsilon: the smaller, the harder the assignment.
        iterations: pairs of scalings.
        distributed: the rows are this process's share, and the batch is that of all processes.

    Returns:
        Probabilities of the same shape, without gradient.
    """
    positive("epsilon", epsilon)
    if iterations < 0:
        raise ValueError(f"iterations is {iterations}, expected at least 0")
    (x,) = exact_rows(scores=scores)
    log_q = x / epsilon
    for _ in range(iterations):
        log_share = log_q.logsumexp(-2, keepdim=True)
        if distributed:
            log_share = gather(log_share[None]).logsumexp(0)
        log_q = (log_q - log_share).log_softmax(-1)
    return log_q.softmax(-1)


@torch.no_grad()
def centred_targets(logits: Tensor, centre: Tensor, temperature: float | Tensor = 0.04) -> Tensor:
    """DINO's targets: the teacher's outputs, centred and sharpened, without gradient.

        q_ik = softmax_k((l_ik - c_k) / T)

    Centring keeps one prototype from taking all, sharpening keeps the targets from being uniform:
    "Emerging Properties in Self-Supervised Vision Transformers", Section 3.1 and Algorithm 1. With
    a centre of 0 it is :func:`sinkhorn` without iterations at ``epsilon`` = the temperature.

    Args:
        logits: ``(..., B, K)`` of the teacher.
        centre: ``(K,)``, their running mean.
        temperature: of the teacher, below the student's: their .04, warmed up to .07.
    """
    positive("temperature", temperature)
    (x,) = exact_rows(logits=logits)
    if centre.shape != x.shape[-1:]:
        raise ValueError(f"centre has shape {tuple(centre.shape)}, expected ({x.shape[-1]},)")
    return ((x - centre) / temperature).softmax(-1)


class SwAV(nn.Module):
    """:func:`swapped_prediction` of :func:`sinkhorn`'s targets: ``forward(logits (V, B, K))``.

    Args:
        temperature, epsilon, iterations: of the two functions.
        assigned: number of first views that are targets; the paper's two.
        distributed: of :func:`sinkhorn`; the loss is the mean over this process's rows.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        assigned: int = 2,
        distributed: bool = False,
    ) -> None:
        super().__init__()
        self.temperature, self.assigned = temperature, assigned
        self.balance = epsilon, iterations
        self.distributed = distributed

    def forward(self, logits: Tensor) -> Tensor:
        codes = sinkhorn(logits[: self.assigned], *self.balance, distributed=self.distributed)
        return swapped_prediction(logits, codes, self.temperature)


class DINO(nn.Module):
    """:func:`swapped_prediction` of :func:`centred_targets`: ``forward(student, teacher)``.

    In training each call moves the centre, a buffer, after it was used:
    ``c <- m c + (1 - m) mean_i l_i`` over the teacher's rows of all views (DINO, Eq. 4). DINOv2's
    variant has no centre: ``swapped_prediction(student, sinkhorn(teacher, .04))``.

    Args:
        prototypes: ``K``; the paper's 65,536 are for a million images.
        temperature, teacher_temperature: of student and teacher.
        momentum: of the centre, the paper's.
        distributed: the centre is the mean over the rows of all processes.
    """

    centre: Tensor

    def __init__(
        self,
        prototypes: int,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.9,
        distributed: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}, expected at least 0 and below 1")
        self.temperature, self.teacher_temperature = temperature, teacher_temperature
        self.momentum, self.distributed = momentum, distributed
        self.register_buffer("centre", torch.zeros(prototypes))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Logits ``(V, B, K)`` of the student, and ``(A, B, K)`` of the teacher's first views."""
        targets = centred_targets(teacher, self.centre, self.teacher_temperature)
        loss = swapped_prediction(student, targets, self.temperature)
        if self.training:
            self._move(teacher.detach().flatten(0, -2).to(self.centre))
        return loss

    @torch.no_grad()
    def _move(self, rows: Tensor) -> None:
        count = total(rows.new_tensor(float(len(rows))), self.distributed)
        mean = total(rows.sum(0), self.distributed) / count
        self.centre.lerp_(mean, 1 - self.momentum)

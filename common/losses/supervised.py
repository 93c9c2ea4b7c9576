"""Contrast by labels: SupCon, and InfoNCE with graded positives."""

import torch
from torch import Tensor, nn

from tspcrep.common.errors import UserError
from tspcrep.common.features import unit
from tspcrep.common.losses.checks import one_a_row
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def sup_con(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float | Tensor = 0.1,
    skip_lonely: bool = False,
) -> Tensor:
    """Supervised contrastive loss: every other row of an anchor's label is a positive.

        L_i = -1/|P_i| sum_{p in P_i} log [ exp(s_ip / T) / sum_{j != i} exp(s_ij / T) ]

    Khosla et al., "Supervised Contrastive Learning", Eq. 2 (L_out), and its default
    temperature. With one label per sample and two views it is
    :func:`tspcrep.common.losses.nt_xent`.

    Args:
        embeddings: ``(..., N, D)``, the rows of all views together.
        labels: ``(N,)`` integers; a row with a negative label is a negative of all others, and no
            anchor.
        temperature: divides the cosines.
        skip_lonely: leave the anchors of :func:`lonely_rows` out of the mean in place of an error;
            they remain negatives.
    """
    z = unit(embeddings)
    if not skip_lonely:
        return info_nce(z, z, Pairs.labels(labels), temperature)
    kept, row = ~lonely_rows(labels), torch.arange(len(labels), device=labels.device)
    if not bool(kept.any()):
        raise UserError(
            f"labels: found no two of {len(labels)} rows with the same label, expected at least "
            "one pair: raise the batch size, or draw batches by label"
        )
    pairs = Pairs(row=(row[kept], row), group=(labels[kept], labels))
    return info_nce(z[..., kept, :], z, pairs, temperature)


def lonely_rows(labels: Tensor) -> Tensor:
    """Rows ``(N,)`` bool without a positive: no other row has their label, or it is negative.

    Their number, ``lonely_rows(labels).sum()``, is what :func:`sup_con` skips when asked to.
    """
    labels = labels.long()
    _, place, count = labels.unique(return_inverse=True, return_counts=True)
    return (count[place] == 1) | (labels < 0)


def soft_info_nce(
    embeddings: Tensor, memberships: Tensor, temperature: float | Tensor = 0.1
) -> Tensor:
    """InfoNCE with graded positives: ``f_ij`` is the degree to which ``j`` is a positive of ``i``.

        L_i = -sum_{j != i} f_ij / F_i log [ exp(s_ij / T) / sum_{k != i} exp(s_ik / T) ]
        f_ij = <m_i, m_j>,   F_i = sum_{j != i} f_ij

    The soft-label form that SPACE-2 (He et al.) uses for label trees. Grades come
    from memberships, so ``sum_j f_ij z_j = M_i (M^T Z)`` needs no B x B matrix: soft cluster
    assignments as they are, trees through :func:`tree_memberships`. One-hot memberships are
    :func:`sup_con`.

    Args:
        embeddings: ``(N, D)``.
        memberships: ``(N, K)``, not negative, no gradient.
        temperature: divides the cosines.
    """
    if memberships.ndim != 2 or len(memberships) != len(embeddings):
        raise ValueError(
            f"memberships has shape {tuple(memberships.shape)}, expected ({len(embeddings)}, K)"
        )
    z = unit(embeddings)
    row = torch.arange(len(z), device=z.device)
    partition = info_nce(z, z, Pairs(row=(row, row)), temperature, positives="none")
    z, m = z.to(partition.dtype), memberships.detach().to(partition.dtype)
    if not bool(((m >= 0) & m.isfinite()).all()):
        raise ValueError("memberships hold a negative number or NaN, expected numbers >= 0")
    own = m.square().sum(-1)  # f_ii
    grade = m @ m.sum(0) - own  # F_i
    lonely = grade <= own * 1e-6
    if bool(lonely.any()):
        raise UserError(
            f"anchor {int(lonely.nonzero()[0])} has no positive: its memberships meet no other "
            "row's; expected at least one row in common"
        )
    score = (z * (m @ (m.mT @ z) - own[:, None] * z)).sum(-1) / grade
    return partition - (score / temperature).mean()


def tree_memberships(paths: Tensor) -> Tensor:
    """Memberships whose inner product is the share of the path that two leaves have in common.

    Args:
        paths: ``(N, depth)`` integers: the branch taken at each level from the root.

    Returns:
        ``(N, K)``, one column per node of the tree that some row passes.
    """
    columns = []
    for level in range(1, paths.shape[1] + 1):
        nodes, node = torch.unique(paths[:, :level], dim=0, return_inverse=True)
        columns.append(torch.nn.functional.one_hot(node, len(nodes)))
    return torch.cat(columns, 1) / paths.shape[1] ** 0.5


class SupCon(nn.Module):
    """:func:`sup_con` as a module."""

    def __init__(self, temperature: float = 0.1, skip_lonely: bool = False) -> None:
        super().__init__()
        self.temperature, self.skip_lonely = temperature, skip_lonely

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        one_a_row("labels", labels, embeddings.shape[-2])
        return sup_con(embeddings, labels, self.temperature, self.skip_lonely)


class SoftInfoNCE(nn.Module):
    """:func:`soft_info_nce` as a module."""

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, memberships: Tensor) -> Tensor:
        return soft_info_nce(embeddings, memberships, self.temperature)

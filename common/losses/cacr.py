"""CACR: farther positives attract more, nearer negatives repel more."""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import of_one_sample, unit_views


def cacr(
    views: Tensor,
    attraction: float = 1.0,
    repulsion: float = 0.9,
    detach_weights: bool = False,
) -> Tensor:
    """Contrastive attraction and repulsion: weights grow with the distance of positives and the
    nearness of negatives.

        L = mean_{i,l} sum_{m != l} p_lm d(u_il, u_im)             p = softmax_m( attraction d)
          - mean_{l != m} mean_i sum_{j != i} q_ij d(u_il, u_jm)   q = softmax_j(-repulsion d)
        d(x, y) = ||x - y||^2 = 2 - 2 <x, y>

    Zheng et al., "Contrastive Attraction and Contrastive Repulsion for Representation Learning",
    with the released defaults for CIFAR-10. The released code repels over the pairs of views
    ``l < m`` alone, one way; here every view is an anchor against every other, so the order of
    views does not matter. With both strengths 0 the weights are equal: mean distance to positives
    minus mean distance to negatives. With ``detach_weights`` the gradient of the second line is
    that of ``log sum_j exp(-repulsion d) / repulsion``, the repulsion of DCL at temperature
    ``1 / (2 repulsion)``.

    Args:
        views: ``(V, B, D)``, ``V >= 2``; the paper takes 5. A single sample, which has no
            negatives, has the loss 0.
        attraction, repulsion: how sharply distance weighs, at least 0.
        detach_weights: no gradient through ``p`` and ``q``, as in the paper's large-scale runs.
    """
    for name, strength in (("attraction", attraction), ("repulsion", repulsion)):
        if not 0 <= strength < float("inf"):
            raise ValueError(f"{name} is {strength}, expected a finite number of at least 0")
    u = unit_views(views)
    count, batch, _ = u.shape
    if batch == 1:
        return of_one_sample(u)
    own = torch.eye(max(count, batch), dtype=torch.bool, device=u.device)

    def weighted(distance: Tensor, strength: float, dim: int) -> Tensor:
        left_out = own[: distance.shape[-2], : distance.shape[-1]]
        logits = (strength * distance).masked_fill(left_out, -torch.inf)
        weight = (logits.detach() if detach_weights else logits).softmax(dim)
        return (weight * distance).sum(dim).mean()

    rows = u.transpose(0, 1)  # (B, V, D)
    pull = weighted(2 - 2 * rows @ rows.mT, attraction, -1)
    push = u.new_zeros(())
    for left in range(count):
        for right in range(left + 1, count):
            distance = 2 - 2 * u[left] @ u[right].T  # (B, B), read by rows and by columns
            push = push + weighted(distance, -repulsion, 1) + weighted(distance, -repulsion, 0)
    return pull - push / (count * (count - 1))


class CACR(nn.Module):
    """:func:`cacr` as a module."""

    def __init__(
        self, attraction: float = 1.0, repulsion: float = 0.9, detach_weights: bool = False
    ) -> None:
        super().__init__()
        self.attraction, self.repulsion = attraction, repulsion
        self.detach_weights = detach_weights

    def forward(self, views: Tensor) -> Tensor:
        return cacr(views, self.attraction, self.repulsion, self.detach_weights)

"""Hard contrastive loss: only the nearest negatives count."""

import math

from torch import Tensor, nn

from tspcrep.common.losses.checks import two_views
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def hard_info_nce(
    first: Tensor, second: Tensor, temperature: float | Tensor = 0.3, fraction: float = 0.08
) -> Tensor:
    """NT-Xent over the positive and the upper quantile of the negatives.

        L_i = -log exp(s_{i,i+} / T) / [ exp(s_{i,i+} / T) + sum_{j: s_ij >= q_i} exp(s_ij / T) ]

    ``q_i`` is the upper ``fraction``-quantile of row ``i``'s negatives; ties with it stay. Wang and
    Liu, "Understanding the Behaviour of Contrastive Loss", hard contrastive loss; temperature
    and fraction are theirs for CIFAR-10. ``fraction=1`` is :func:`tspcrep.common.losses.nt_xent`.

    Args:
        first, second: embeddings of two views ``(..., B, D)``, row by row of the same samples.
        temperature: divides the cosines.
        fraction: share of the ``2B - 2`` negatives that is kept, rounded up.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}, expected a number above 0 and at most 1")
    z = two_views(first, second)
    batch = first.shape[-2]
    hardest = max(math.ceil(fraction * (2 * batch - 2)), 1)
    return info_nce(z, z, Pairs.views(batch, 2, z.device), temperature, hardest=hardest)


class HardInfoNCE(nn.Module):
    """:func:`hard_info_nce` as a module."""

    def __init__(self, temperature: float = 0.3, fraction: float = 0.08) -> None:
        super().__init__()
        self.temperature, self.fraction = temperature, fraction

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return hard_info_nce(first, second, self.temperature, self.fraction)

"""Several projection heads, each with a temperature of its own for every pair."""

import torch
from torch import Tensor, nn

from tspcrep.common.elementwise import sigmoid
from tspcrep.common.features import unit
from tspcrep.common.losses.checks import positive, same_shape
from tspcrep.common.ops import info_nce


def multihead_info_nce(
    first: Tensor,
    second: Tensor,
    scales: tuple[Tensor, Tensor],
    regulariser: float = 0.1,
) -> Tensor:
    """InfoNCE of ``C`` heads, with the inverse temperature ``1 / T_ij = a_i + b_j`` of each pair.

        L = mean_{c,i} [ -l_ii + log sum_j exp(l_ij) + regulariser (d/2 log T_ii + 1 / T_ii) ]
        l_ij = s(z_i, z'_j) (a_i + b_j)

    Rebuilt from "Adaptive Multi-head Contrastive Learning" (Wang et al.); this form is ours. The
    released code does not run and has no negatives. There, a perceptron sees every pair; a sum of
    two numbers, one a row, keeps the logits an inner product of longer rows,
    ``<(a_i z_i, z_i), (z'_j, b_j z'_j)>``, so no B x B matrix is kept. The regulariser is the
    paper's Gaussian likelihood (temperature as variance), taken where it is observed: on positive
    pairs. One head with constant scales is :class:`tspcrep.common.losses.InfoNCE` plus a constant.

    Args:
        first, second: ``(C, B, D)``, two views through each head.
        scales: ``a`` and ``b``, ``(C, B)`` each, above 0.
        regulariser: its weight, the paper's .1.
    """
    same_shape("second", second, "first", first)
    a, b = scales
    for name, x in (("scales[0]", a), ("scales[1]", b)):
        if x.shape != first.shape[:-1]:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}, expected {tuple(first.shape[:-1])}, one a row"
            )
        if not bool(((x > 0) & x.isfinite()).all()):
            raise ValueError(f"{name} holds a number not above 0, expected inverse temperatures")
    z, other = unit(first), unit(second)
    anchors = torch.cat([z * a[..., None], z], -1)  # (C, B, 2D)
    candidates = torch.cat([other, other * b[..., None]], -1)
    contrast = info_nce(anchors, candidates, None, 1.0)
    inverse = a + b  # 1 / T_ii
    return contrast + regulariser * (inverse - first.shape[-1] / 2 * inverse.log()).mean()


class MultiheadInfoNCE(nn.Module):
    """:func:`multihead_info_nce` with its heads: two-layer perceptrons, and one scale a row.

    Args:
        in_dim: of the encoder's embeddings.
        dim: of a head's output; the released code's 128.
        heads: how many; the released code's 3.
        low, high: bounds of a pair's temperature. The released lower bound of 1e-5 lets one
            product outweigh everything else; .05 is the lowest in use.
        regulariser: see :func:`multihead_info_nce`.
    """

    def __init__(
        self,
        in_dim: int,
        dim: int = 128,
        heads: int = 3,
        low: float = 0.05,
        high: float = 2.0,
        regulariser: float = 0.1,
    ) -> None:
        super().__init__()
        positive("low", low)
        if not low < high:
            raise ValueError(f"high is {high}, expected a temperature above low = {low}")
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(in_dim, in_dim), nn.ReLU(), nn.Linear(in_dim, dim))
            for _ in range(heads)
        )
        self.scale = nn.ModuleList(nn.Linear(dim, 1) for _ in range(heads))
        self.bounds = 0.5 / high, 0.5 / low  # of each half of 1 / T
        self.regulariser = regulariser

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of two views ``(B, in_dim)``."""
        a, b = (torch.stack([head(x) for head in self.heads]) for x in (first, second))  # (C, B, D)
        return multihead_info_nce(a, b, (self._half(a), self._half(b)), self.regulariser)

    def _half(self, z: Tensor) -> Tensor:
        least, most = self.bounds
        rows = unit(z)
        raw = torch.stack([scale(x).squeeze(-1) for scale, x in zip(self.scale, rows, strict=True)])
        return least + (most - least) * sigmoid(raw)

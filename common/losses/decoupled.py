"""Losses without the positive in the denominator: DCL, DCLW, DHEL."""

import torch
from torch import Tensor, nn

from tspcrep.common.losses.checks import of_one_sample, positive, two_views
from tspcrep.common.losses.multiview import mv_dhel
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def dcl(first: Tensor, second: Tensor, temperature: float | Tensor = 0.1) -> Tensor:
    """Decoupled contrastive loss: NT-Xent without the positive in the denominator.

        L_i = -s_{i,i+} / T + log sum_{j not in {i, i+}} exp(s_ij / T)

    Yeh et al., "Decoupled Contrastive Learning", the loss L_DC; their default temperature. Both
    views' rows are anchors and negatives. ``log(exp(L_i) + 1)`` is NT-Xent's ``L_i``: the
    positive's term put back. The loss may be negative; a single sample, which has no negatives, has
    the loss 0.

    Args:
        first, second: embeddings of two views ``(..., B, D)``, row by row of the same samples.
        temperature: divides the cosines.
    """
    z = two_views(first, second)
    if first.shape[-2] == 1:
        return of_one_sample(z)
    pairs = Pairs.views(first.shape[-2], 2, z.device)
    return info_nce(z, z, pairs, temperature, denominator="negatives")


def dclw(
    first: Tensor, second: Tensor, temperature: float | Tensor = 0.1, sigma: float = 0.5
) -> Tensor:
    """DCL whose attraction is weighted: the farther the positive, the harder it pulls.

        L_i = -w_i s_{i,i+} / T + log sum_{j not in {i, i+}} exp(s_ij / T)
        w_i = 2 - B exp(s_{i,i+} / sigma) / sum_k exp(s_{k,k+} / sigma)

    Yeh et al., "Decoupled Contrastive Learning", the loss L_DCW. The weights carry no
    gradient: the paper does not say, and a pull that also learns its own strength is no longer a
    weighted pull. As ``sigma`` grows the weights tend to 1 and the loss to :func:`dcl`.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples.
        temperature: divides the cosines.
        sigma: sharpness of the weights, the paper's default.
    """
    positive("sigma", sigma)
    z = two_views(first, second)
    batch = first.shape[-2]
    if batch == 1:
        return of_one_sample(z)
    pairs = Pairs.views(batch, 2, z.device)
    repulsion = info_nce(
        z, z, pairs, temperature, positives="none", denominator="negatives"
    )  # fmt: skip
    score = (z[..., :batch, :].to(repulsion.dtype) * z[..., batch:, :]).sum(-1)  # (..., B)
    weight = 2 - batch * (score.detach() / sigma).softmax(-1)
    return repulsion - (weight * score / temperature).mean()


def dhel(first: Tensor, second: Tensor, temperature: float | Tensor = 0.3) -> Tensor:
    """Decoupled hyperspherical energy: negatives of an anchor come from its own view alone.

        L_i = -s(z_i, z'_i) / T + log sum_{j != i} exp(s(z_i, z_j) / T)
                                + log sum_{j != i} exp(s(z'_i, z'_j) / T)

    Koromilas et al., "Bridging Mini-Batch and Asymptotic Analysis in Contrastive Learning", DHEL,
    with the default temperature of the released code. It is :func:`tspcrep.common.losses.mv_dhel`
    with two views.

    Args:
        first, second: embeddings of two views ``(B, D)``, row by row of the same samples.
        temperature: divides the cosines.
    """
    two_views(first, second)
    return mv_dhel(torch.stack([first, second]), temperature)


class DCL(nn.Module):
    """:func:`dcl`, or :func:`dclw` with a ``sigma``."""

    def __init__(self, temperature: float = 0.1, sigma: float | None = None) -> None:
        super().__init__()
        self.temperature, self.sigma = temperature, sigma

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        if self.sigma is None:
            return dcl(first, second, self.temperature)
        return dclw(first, second, self.temperature, self.sigma)


class DHEL(nn.Module):
    """:func:`dhel` as a module."""

    def __init__(self, temperature: float = 0.3) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return dhel(first, second, self.temperature)

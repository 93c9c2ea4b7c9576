"""CVIB: a twin that prunes itself by an information bottleneck is the second view."""

from typing import Literal

import torch
from torch import Tensor, nn

from tspcrep.common.features import unit
from tspcrep.common.losses.rows import exact_rows
from tspcrep.common.ops import info_nce


class VariationalGate(nn.Module):
    """Multiplicative Gaussian noise on hidden units that learns which of them are needed.

        y = z x,   z_d ~ N(mu_d, sigma_d^2), drawn for each row in training, mu_d afterwards
        KL = sum_d log(1 + mu_d^2 / sigma_d^2)

    Chang et al., "Contrastive Variational Information Bottleneck for Aspect-based Sentiment
    Analysis" (CVIB), whose gates are those of Dai et al., "Compressing Neural Networks using the
    Variational Information Bottleneck", up to a factor of KL that its weight takes up. A unit whose
    noise outweighs it, ``log(sigma^2 / mu^2) > threshold``, is closed: after training it is 0, and
    the twin can be built without it. With ``sigma`` at 0 it is a product.

    Args:
        dim: hidden units, the last dimension.
        log_variance: at the start; that of the usual implementation, -9. ``mu`` starts at 1.
        threshold: above it a unit is closed.
    """

    def __init__(self, dim: int, log_variance: float = -9.0, threshold: float = 0.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.ones(dim))
        self.log_variance = nn.Parameter(torch.full((dim,), float(log_variance)))
        self.threshold = threshold

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``(..., dim)``; the noise comes from ``generator`` in training."""
        if x.shape[-1] != len(self.mean):
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (..., {len(self.mean)})")
        if not self.training:
            return x * torch.where(self.open_units(), self.mean, 0.0).to(x)
        device = x.device if generator is None else generator.device
        noise = torch.randn(x.shape, generator=generator, device=device).to(x)
        return x * (self.mean + (self.log_variance / 2).exp() * noise).to(x.dtype)

    def open_units(self) -> Tensor:
        """``(dim,)`` bool: the units that are kept."""
        return self.log_variance.detach() - self.mean.detach().square().log() <= self.threshold

    def kl(self) -> Tensor:
        """The price of the information that passes, a scalar."""
        return (self.mean.square() * (-self.log_variance).exp()).log1p().sum()


def bottleneck_contrast(
    pruned: Tensor,
    original: Tensor,
    turn: Literal["pruned", "original"],
    temperature: float | Tensor = 0.05,
    weight: float = 0.25,
    kl: Tensor | None = None,
    kl_weight: float = 1e-7,
) -> Tensor:
    """InfoNCE between a pruned twin and its original, one of which learns in each turn.

        L = weight mean_i [ -s_ii / T + log sum_j exp(s_ij / T) ] + kl_weight KL,
        s_ij = cosine of pruned i and original j; no gradient to the one whose turn it is not

    CVIB, with the released weights and temperature for its laptop reviews. Each of the two also has
    the task's loss there, and the original's turn comes first; here they are two phases of a Method
    and the task is up to it. The value of both turns is one number, and with ``weight=1`` and
    without KL it is :class:`tspcrep.common.losses.InfoNCE` of the pruned rows.

    Args:
        pruned: ``(B, D)``, of the twin with :class:`VariationalGate`.
        original: ``(B, D)``.
        turn: which of the two learns.
        temperature: divides the cosines.
        weight: of the contrast.
        kl: sum of the gates' :meth:`VariationalGate.kl`, used in the pruned twin's turn.
        kl_weight: of it.
    """
    if turn not in ("pruned", "original"):
        raise ValueError(f"turn is {turn!r}, expected 'pruned' or 'original'")
    pruned, original = exact_rows(pruned=pruned, original=original)
    if turn == "pruned":
        original = original.detach()
    else:
        pruned = pruned.detach()
    loss = weight * info_nce(unit(pruned), unit(original), None, temperature)
    return loss if kl is None or turn == "original" else loss + kl_weight * kl


class BottleneckContrast(nn.Module):
    """:func:`bottleneck_contrast` as a module."""

    def __init__(
        self, temperature: float = 0.05, weight: float = 0.25, kl_weight: float = 1e-7
    ) -> None:
        super().__init__()
        self.temperature, self.weight, self.kl_weight = temperature, weight, kl_weight

    def forward(
        self,
        pruned: Tensor,
        original: Tensor,
        turn: Literal["pruned", "original"],
        kl: Tensor | None = None,
    ) -> Tensor:
        numbers = self.temperature, self.weight
        return bottleneck_contrast(pruned, original, turn, *numbers, kl, self.kl_weight)

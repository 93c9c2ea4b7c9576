"""The augmentation network of AutoTCL: views that keep the informative steps of a series.

Zheng et al., "Parametric Augmentation for Time Series Contrastive Learning", ICLR 2024, sec. 3.
A series is factorised into an informative part and the rest by a binary mask ``h(x)``; a non-zero
``g(x)`` transforms the part that is kept: ``v = eta(g(x) * h(x) * x)`` (Eq. 2, 3). ``eta``, which
drops time steps of the encoder's first hidden layer, is in :mod:`tsrep.contrast.autotcl`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tspcrep.common.elementwise import sigmoid
from tsrep.encoders.dilated_conv import DilatedConv

# Hard concrete (Louizos et al., ICLR 2018, sec. 4): temperature and the stretch beyond [0, 1].
TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1


@dataclass(frozen=True)
class View:
    """A view and the factors it was made from."""

    values: Tensor  # (B, T, C), the view before eta
    keep: Tensor  # (B, T, 1), the mask h in [0, 1]
    logit: Tensor  # (B, T, 1), of the probability pi that a step is kept
    gain: Tensor  # (B, T, C), the transformation g


class ViewNetwork(nn.Module):
    """A small dilated network with two heads: which steps to keep, and factors to scale them by.

    Parameters
    ----------
    channels : channels C of the series.
    hidden, depth : channels of the network, and its number of residual blocks before the last.
    factorise : learn ``h``; otherwise every step is kept ("w/o h" in the paper's Table 4).
    transform : learn ``g``; otherwise it is 1 ("w/o g").

    Departures from the paper:

    - ``g = exp(tanh(.))``, in (1/e, e): never zero, as sec. 3.2 demands of an invertible
      transformation, and able to amplify. The released code's sigmoid only attenuates.
    - The network is not causal: an augmentation may look ahead.
    - ``pi`` starts near .9 and ``g`` at 1, so that the first views are close to the series.
    """

    def __init__(
        self,
        channels: int,
        hidden: int = 16,
        depth: int = 3,
        factorise: bool = True,
        transform: bool = True,
    ):
        super().__init__()
        self.factorise, self.transform = factorise, transform
        self.body = DilatedConv(channels, hidden, hidden, depth, causal=False)
        self.keep = nn.Linear(hidden, 1)
        self.gain = nn.Linear(hidden, channels)
        nn.init.constant_(self.keep.bias, 2.0)
        nn.init.zeros_(self.gain.bias)

    def forward(self, x: Tensor, uniform: Tensor) -> View:
        """A view of ``x (B, T, C)``; ``uniform (B, T, 1)`` in (0, 1) decides what is kept."""
        features = torch.nn.functional.gelu(self.body(x))
        logit = self.keep(features)
        keep = _hard_concrete(logit, uniform) if self.factorise else torch.ones_like(logit)
        gain = self.gain(features).tanh().exp() if self.transform else torch.ones_like(x)
        # A missing value stays missing, but outside of the chain rule: its 0 * NaN would be NaN.
        values = torch.where(x.isnan(), x, gain * keep * x.nan_to_num())
        return View(values, keep, logit, gain)


def random_view(x: Tensor, uniform: Tensor, normal: Tensor) -> View:
    """The same two factors drawn instead of learned ("Random" in the paper's Table 4).

    Steps are kept with probability .9 and multiplied by one log-normal gain per sample and channel;
    ``uniform (B, T, 1)`` and ``normal (B, 1, C)`` hold the draws.
    """
    keep = (uniform < 0.9).to(x.dtype)
    gain = (0.5 * normal.clamp(-2, 2)).exp().expand_as(x)
    return View(gain * keep * x, keep, torch.full_like(keep, math.log(9)), gain)


def _hard_concrete(logit: Tensor, uniform: Tensor) -> Tensor:
    """Eq. 4 and 5: a differentiable draw from {0, 1} with atoms at both ends.

        s = sigmoid((logit(uniform) + logit) / temperature),  h = clip(s (high - low) + low, 0, 1)

    The released code passes a probability where the logit belongs, so that no step is ever dropped
    with probability above one half.
    """
    s = sigmoid((uniform.logit() + logit) / TEMPERATURE)
    return (s * (HIGH - LOW) + LOW).clamp(0, 1)


def expected_l0(logit: Tensor) -> Tensor:
    """Eq. 7: the expected share of steps kept, ``mean_t P(h_t > 0)``, a scalar.

    ``P(h > 0) = sigmoid(logit - temperature * log(-low / high))``. The paper sums over the steps
    and multiplies the logit by the temperature too; the sum would tie beta to the window's length,
    and the second factor contradicts Eq. 4 (a test draws from Eq. 4 and compares).
    """
    return sigmoid(logit - TEMPERATURE * math.log(-LOW / HIGH)).mean()


def temporal_consistency(keep: Tensor, anchor: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Eq. 9: ``mean_b |h[a] - h[p]| - |h[a] - h[n]|``, with one anchor, neighbour and far step per
    sample.

    Parameters
    ----------
    keep : (B, T, 1) masks.
    anchor, near, far : (B,) steps of each sample. The released code compares all pairs of samples
        and has the sign of the far term reversed.
    """
    mask = keep.squeeze(-1)

    def at(step: Tensor) -> Tensor:
        return mask.gather(1, step[:, None]).squeeze(1)

    return ((at(anchor) - at(near)).abs() - (at(anchor) - at(far)).abs()).mean()


def linear_mmd(first: Tensor, second: Tensor) -> Tensor:
    """Eq. 8: ``|| mean f(x) - mean f(v) ||^2`` over the rows of two (B, D) embeddings."""
    return (first.mean(0) - second.mean(0)).square().sum()


def gaussian_mmd(first: Tensor, second: Tensor, kernels: int = 5) -> Tensor:
    """Squared MMD with a mixture of Gaussian kernels (Gretton et al., 2012, Eq. 5, biased).

    The bandwidths are the mean squared distance times powers of 2, without gradient. The released
    code uses this in place of Eq. 8.
    """
    rows = torch.cat([first, second])
    squared = torch.cdist(rows, rows).square()
    middle = squared.detach().mean().clamp_min(1e-12)
    powers = torch.arange(kernels, device=rows.device, dtype=rows.dtype) - kernels // 2
    kernel = torch.exp(-squared[..., None] / (middle * 2.0**powers)).mean(-1)
    n = len(first)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()

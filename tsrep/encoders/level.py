"""Removal of the level of a series by a trailing mean: instance normalisation for streams."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory, with_past

WINDOW = 168
"""Steps of the trailing mean if no season is known: a week of hours."""
MOST = 1_000_000
"""Largest number of them: an encoder holds so many past steps of every channel."""


def level_window(period: int | None) -> int:
    """Steps of the trailing mean for a series with this season in steps: seven seasons."""
    return min(7 * period, MOST) if period else WINDOW


def centred(network: Encoder, window: int | None) -> Encoder:
    """``network`` behind a trailing mean of ``window`` steps; itself if that is None or 0."""
    return Centred(network, window) if window else network


class Centred(Encoder):
    """An encoder that removes the level of a series and appends it to its output.

        m_t = mean of x_{t-window+1} .. x_t        z_t = [encoder(x - m)_t ; m_t - x_t ; x_t]

    With a drifting level, no later window resembles the training windows, and the level is a
    shortcut by which contrastive learning tells windows apart. Reversible instance normalisation
    (Kim et al., ICLR 2022) subtracts the mean of a window; a trailing mean does the same for every
    step of a series in one causal pass. The scale is not changed: dividing by a trailing deviation
    made forecasts worse.

    Parameters
    ----------
    encoder : maps (B, T, C) to (B, T, D').
    window : steps of the trailing mean; a week of hours by default. At the first steps of a series
        the mean is over the steps so far. Missing values are ignored.

    The output has ``dim = D' + 2 C`` channels. Adding a constant to a series changes only the last
    ``level_channels = C`` of them.
    """

    def __init__(self, encoder: Encoder, window: int = WINDOW):
        super().__init__()
        if not 1 <= window <= MOST:
            raise UserError(f"window: found {window}, expected 1 .. {MOST:,} steps")
        self.encoder = encoder
        self.window: int = window
        for name in ("in_channels", "causal", "memory_grows"):
            setattr(self, name, getattr(encoder, name))
        self.level_channels = encoder.in_channels
        self.dim = encoder.dim + 2 * encoder.in_channels
        self.receptive_field = encoder.receptive_field + window - 1

    @property
    def config(self) -> dict:
        return {"encoder": self.encoder.config, "window": self.window}

    @property
    def network(self) -> Encoder:
        return self.encoder

    def rewrap(self, network: Encoder) -> "Centred":
        return Centred(network, self.window)

    def network_input(self, x: Tensor) -> Tensor:
        return x - self.level(x)

    def level(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """The trailing mean (B, T, C) of ``x (B, T, C)``."""
        known = ~x.isnan()
        pair = torch.cat([x.nan_to_num(), known.to(x.dtype)], -1).transpose(1, 2)  # (B, 2 C, T)
        past = with_past(pair.double(), self.window - 1, self, memory)
        sums = F.pad(past.cumsum(-1), (1, 0))
        total, count = (sums[..., self.window :] - sums[..., : -self.window]).chunk(2, 1)
        return (total / count.clamp_min(1)).transpose(1, 2).to(x.dtype)

    def body(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        level = self.level(x, memory)
        z = self.encoder(x - level, memory)
        now = torch.where(x.isnan(), level, x)
        return torch.cat([z, level - now, now], -1)

    def last(self, x: Tensor) -> Tensor:
        """The vector of the last step only: (B, T, C) -> (B, D)."""
        level = self.level(x)
        z = self.encoder.last(x - level)
        now = torch.where(x[:, -1].isnan(), level[:, -1], x[:, -1])
        return torch.cat([z, level[:, -1] - now, now], -1)

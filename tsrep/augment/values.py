"""Augmentations that change values and leave places: noise and masks."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tsrep.augment.base import Dice, PerSample, spline, within
from tsrep.augment.kernels import compiled, curves


@dataclass(frozen=True)
class Jitter(PerSample):
    """Adds white noise: ``x + sigma * n``, ``n ~ N(0, 1)`` for each value.

    Um et al. 2017, "Data augmentation of wearable sensor data for Parkinson's disease monitoring";
    the default is that of the authors' notebook.

    sigma: standard deviation in units of x, thought of as standardised. p: probability that a
    sample is changed.
    """

    sigma: float = within(0.05, 0)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.normal(dice.length, dice.channels, scale=self.sigma * amount),)

    def _apply(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + noise.to(x.dtype)


@dataclass(frozen=True)
class Scaling(PerSample):
    """Multiplies each channel by its own factor ``N(1, sigma^2)``.

    Um et al. 2017, with the default of the authors' notebook.

    sigma: standard deviation of the factor. p: probability that a sample is changed.
    """

    sigma: float = within(0.1, 0)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.normal(1, dice.channels, scale=self.sigma * amount).add_(1),)

    def _apply(self, x: Tensor, factor: Tensor) -> Tensor:
        return x * factor.to(x.dtype)


@dataclass(frozen=True)
class Shift(PerSample):
    """Moves the level of each channel by its own ``N(0, sigma^2)``.

    Woo et al. 2022, "CoST", whose views are scaling, shift and jitter, each with p = 0.5 and this
    sigma. Values shift, not time: for that see :class:`Crop`.

    sigma: standard deviation in units of x. p: probability that a sample is changed.
    """

    sigma: float = within(0.5, 0)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.normal(1, dice.channels, scale=self.sigma * amount),)

    def _apply(self, x: Tensor, offset: Tensor) -> Tensor:
        return x + offset.to(x.dtype)


@dataclass(frozen=True)
class MagnitudeWarp(PerSample):
    """Multiplies each channel by its own smooth curve around 1.

    The curve is the cubic spline through ``knots + 2`` evenly spaced values ``N(1, sigma^2)``.
    Um et al. 2017, with the defaults of the authors' notebook.

    sigma: standard deviation at the knots. knots: how many between the two ends. p: probability
    that a sample is changed.
    """

    sigma: float = within(0.2, 0)
    knots: int = within(4, 0)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.normal(self.knots + 2, dice.channels, scale=self.sigma * amount),)

    def _apply(self, x: Tensor, bumps: Tensor) -> Tensor:
        exact = torch.promote_types(x.dtype, torch.float32)
        basis = spline(x.shape[1], self.knots + 2).to(x.device, exact)  # (T, K)
        curve = curves(basis, bumps.to(exact)).to(x.dtype)  # (B, T, C)
        # In place where no graph forbids it: fresh memory costs more here than the arithmetic.
        return curve.mul_(x) if compiled(x) else x * curve


@dataclass(frozen=True)
class _Mask(PerSample):
    """Base of masks, which replace values by ``fill``; ``float("nan")`` marks them missing."""

    fill: float = field(default=0.0, kw_only=True)

    def _apply(self, x: Tensor, hidden: Tensor) -> Tensor:
        return x.masked_fill(hidden, self.fill)


@dataclass(frozen=True)
class CutOut(_Mask):
    """Hides one window of time in all channels.

    Luo et al. 2023, "Time Series Contrastive Learning with Information-Aware Augmentations"
    (InfoTS), whose code cuts a tenth.

    ratio: share of the steps that is hidden, rounded down to whole steps. fill: the value put
    there.
    p: probability that a sample is changed.
    """

    ratio: float = within(0.1, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (_windows(dice, 1, _steps(self.ratio * amount, dice.length)),)


@dataclass(frozen=True)
class TimestampMask(_Mask):
    """Hides each timestamp, in all channels, with probability ``ratio``.

    Yue et al. 2022, "TS2Vec" (``binomial``). There and in AutoTCL it hides vectors behind the first
    layer, (B, T, D), which it takes as well as it takes a series.

    ratio: probability that a step is hidden. fill: the value put there. p: probability that a
    sample is changed.
    """

    ratio: float = within(0.5, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.uniform(dice.length, 1) < (self.ratio * amount)[:, None, None],)


@dataclass(frozen=True)
class ContinuousMask(_Mask):
    """Hides several windows of time in all channels; they may overlap.

    Yue et al. 2022, "TS2Vec" (``continuous``), with its defaults: half of the steps at most.

    windows: how many. ratio: length of each as a share of the series, rounded down to whole steps,
    yet at least one unless strength or ratio is 0. fill: the value put there. p: probability that a
    sample is changed.
    """

    windows: int = within(5, 1)
    ratio: float = within(0.1, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        share = self.ratio * amount
        steps = _steps(share, dice.length).clamp(min=1).masked_fill(share == 0, 0)
        return (_windows(dice, self.windows, steps),)


@dataclass(frozen=True)
class ChannelMask(_Mask):
    """Hides each channel, at all steps, with probability ``ratio``; one channel at least stays.

    The default has no one source: of seven channels it hides less than one on average. A series of
    one channel never changes.

    ratio: probability that a channel is hidden. fill: the value put there. p: probability that a
    sample is changed.
    """

    ratio: float = within(0.1, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        chance = dice.uniform(1, dice.channels)
        hidden = chance < (self.ratio * amount)[:, None, None]
        return (hidden & (chance < chance.amax(2, keepdim=True)),)


@dataclass(frozen=True)
class FrequencyMask(PerSample):
    """Removes each frequency of each channel with probability ``ratio``.

    Zhang et al. 2022, "Self-Supervised Contrastive Pre-Training For Time Series via Time-Frequency
    Consistency" (TF-C), whose code removes a tenth; frequency 0, the level, is one of them. Missing
    values count as 0 in the spectrum and stay missing.

    ratio: probability that a frequency is removed. p: probability that a sample is changed.
    """

    ratio: float = within(0.1, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        chance = dice.uniform(dice.length // 2 + 1, dice.channels, dtype=torch.float32)
        return (chance < (self.ratio * amount)[:, None, None],)  # (B, F, C)

    def _apply(self, x: Tensor, removed: Tensor) -> Tensor:
        if x.numel() == 0:
            return x.clone()  # the transform refuses what is empty
        exact = torch.promote_types(x.dtype, torch.float32)
        known = x.masked_fill(x.isnan(), 0).to(exact)
        spectrum = torch.fft.rfft(known, dim=1) * removed
        # What goes is subtracted, rather than what stays put together: nothing gone, no change.
        return x - torch.fft.irfft(spectrum, n=x.shape[1], dim=1).to(x.dtype)


def _steps(share: Tensor, length: int) -> Tensor:
    """Whole steps, rounded down, of a share of the series; 28.999999999999996 of 100 are 29."""
    return (share * length + 1e-9).floor_()


def _windows(dice: Dice, count: int, steps: Tensor) -> Tensor:
    """Whether a step lies in one of ``count`` random windows of ``steps`` (B,): bool (B, T, 1)."""
    steps = steps[:, None]
    begin = dice.below(dice.length - steps + 1, count)  # (B, count)
    opened = torch.zeros(dice.batch, dice.length + 1, dtype=torch.int32)
    one = opened.new_ones(()).expand(dice.batch, count)
    opened.scatter_add_(1, begin.long(), one).scatter_add_(1, (begin + steps).long(), -one)
    return (opened.cumsum(1)[:, :-1] > 0)[:, :, None]

"""Augmentations that read the same values at other places: slices, warps, permutations, crops."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tsrep.augment.base import Augmentation, Dice, PerSample, check, spline, within
from tsrep.augment.kernels import curves, remap, resample

Pieces = tuple[Tensor, Tensor, Tensor]  # starts, sources, slopes: float64 (B, S)


@dataclass(frozen=True)
class _Piecewise(PerSample):
    """Base of piecewise linear maps of time, see :func:`tsrep.augment.kernels.remap`."""

    def _apply(self, x: Tensor, starts: Tensor, sources: Tensor, slopes: Tensor) -> Tensor:
        return remap(x, starts, sources, slopes)


@dataclass(frozen=True)
class WindowSlice(_Piecewise):
    """Stretches a random window to the length of the series.

    Le Guennec et al. 2016, "Data augmentation for time series classification using convolutional
    neural networks", with the default of Iwana and Uchida 2021, "An empirical survey of data
    augmentation for time series classification with neural networks". Here the window starts
    anywhere, there at whole steps.

    ratio: length of the window as a share of the series. p: probability that a sample is changed.
    """

    ratio: float = within(0.9, 0, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> Pieces:
        slope = 1 - amount * (1 - self.ratio)
        source = dice.uniform() * (1 - slope) * (dice.length - 1)
        return torch.zeros(dice.batch, 1, dtype=torch.float64), source[:, None], slope[:, None]


@dataclass(frozen=True)
class WindowWarp(_Piecewise):
    """Slows a random window of time down or speeds it up; the rest makes room.

    Le Guennec et al. 2016, with the defaults of Iwana and Uchida 2021. There the window is
    interpolated, then the longer series once more; here the two maps are one, so values are
    interpolated once. ``strength`` is an exponent of the scale: halving and doubling weaken alike.

    ratio: length of the window as a share of the series. scales: how many times longer the window
    becomes, one chosen at random per sample. p: probability that a sample is changed.
    """

    ratio: float = within(0.1, 0, 1)
    scales: tuple[float, ...] = (0.5, 2.0)

    def __post_init__(self):
        super().__post_init__()
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales are {self.scales}, expected one or more numbers above 0")

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> Pieces:
        last = dice.length - 1
        # Whole steps, so that scale 1 is the identity without rounding.
        window = min(max(round(self.ratio * dice.length), 1), last)
        begin = dice.below(last - window + 1)
        scales = torch.tensor(self.scales, dtype=torch.float64)
        scale = scales[dice.below(len(scales)).long()] ** amount
        speed = 1 + window * (scale - 1) / max(last, 1)  # of the rest: more where it makes room
        starts = torch.stack([torch.zeros_like(begin), begin, begin + window * scale], 1)
        sources = torch.stack([torch.zeros_like(begin), begin, begin + window], 1)
        slopes = torch.stack([speed, speed / scale, speed], 1)
        return starts / speed[:, None], sources, slopes


@dataclass(frozen=True)
class Permutation(_Piecewise):
    """Cuts time into equal segments and puts them in random order.

    Um et al. 2017. As in Iwana and Uchida 2021 the number of segments is random per sample; here it
    is 1 to ``segments`` (their code never reaches the last). Lengths differ by one step at most,
    and each step is read exactly once.

    segments: maximal number of segments; ``strength`` scales the number beyond one. p:
    probability that a sample is changed.
    """

    segments: int = within(5, 1)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> Pieces:
        most = 1 + (amount * (self.segments - 1)).round()
        count = 1 + dice.below(most)[:, None]  # (B, 1)
        cuts = torch.arange(self.segments + 1, dtype=torch.float64) * dice.length / count
        cuts = cuts.floor_().clamp_(max=dice.length)  # (B, S + 1), segments past count are empty
        beyond = torch.arange(self.segments) >= count
        order = dice.uniform(self.segments).masked_fill_(beyond, torch.inf).argsort(1)
        sizes = cuts.diff(dim=1).gather(1, order)
        sources = cuts.gather(1, order)
        return sizes.cumsum(1) - sizes, sources, torch.ones_like(sources)


@dataclass(frozen=True)
class TimeWarp(PerSample):
    """Lets time run faster here and slower there; the two ends stay.

    The speed is the cubic spline through ``knots + 2`` evenly spaced values ``N(1, sigma^2)``;
    places are its running sum, brought to the length of the series. Um et al. 2017, with the
    defaults of the authors' notebook. There the sum says where a step goes to, here where it comes
    from: the inverse map, of the same kind, and nothing to solve. Speeds stay at a tenth or more,
    so time never turns back.

    sigma: standard deviation of the speed at the knots. knots: how many between the two ends. p:
    probability that a sample is changed.
    """

    slowest: ClassVar[float] = 0.1

    sigma: float = within(0.2, 0)
    knots: int = within(4, 0)

    def _draw_amounts(self, dice: Dice, amount: Tensor) -> tuple[Tensor]:
        return (dice.normal(self.knots + 2, 1, scale=self.sigma * amount),)  # (B, K, 1)

    def _apply(self, x: Tensor, bumps: Tensor) -> Tensor:
        last = x.shape[1] - 1
        basis = spline(x.shape[1], self.knots + 2, between=True).to(x.device)  # (T - 1, K)
        speed = curves(basis, bumps.double())[..., 0].clamp_(min=self.slowest)  # (B, T - 1)
        walked = torch.nn.functional.pad(speed.cumsum_(1), (1, 0))  # (B, T)
        return resample(x, walked.mul_(last / walked[:, -1:].clamp(min=self.slowest)))


@dataclass(frozen=True)
class Crop(Augmentation):
    """Keeps a random run of steps: (B, L, C) with L = round(size * T), at least 1.

    Yue et al. 2022, "TS2Vec", there of random length; a fixed one keeps the batch rectangular. For
    a window stretched to the old length see :class:`WindowSlice`.

    size: share of the steps that stays; ``strength`` scales the share that goes.
    """

    size: float = 0.5

    def __post_init__(self):
        check("size", self.size, 0, 1)

    def output_length(self, length: int, strength: float = 1.0) -> int:
        """L of a series of ``length`` steps."""
        return max(round(length * (1 - strength * (1 - self.size))), 1)

    def _draw(self, dice: Dice, strength: float) -> tuple[Tensor]:
        length = self.output_length(dice.length, strength)
        first = dice.below(dice.length - length + 1, 1)  # (B, 1)
        return (first + torch.arange(length, dtype=torch.float64),)  # (B, L)

    def _apply(self, x: Tensor, positions: Tensor) -> Tensor:
        return resample(x, positions)

"""Base classes of augmentations: random parameters drawn on the host, then a pure function."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

import torch
from scipy.interpolate import CubicSpline
from torch import Generator, Tensor

Params = tuple  # of tensors (B, ...), or for Compose of Params


def take(params: Params, rows: slice | Tensor) -> Params:
    """The parameters of some samples of a batch: those of one rank, say."""
    return tuple(take(p, rows) if isinstance(p, tuple) else p[rows] for p in params)


class Augmentation:
    """``aug(x, generator, strength)`` changes a batch: ``draw`` on the host, then ``apply``."""

    _draw: Callable[["Dice", float], Params]  # parameters of a batch, with a strength
    _apply: Callable[..., Tensor]  # x, parameters

    def __call__(
        self, x: Tensor, generator: Generator | None = None, strength: float = 1.0
    ) -> Tensor:
        """x: float (B, T, C). generator: on CPU, default torch's own. strength: 0 to 1."""
        if x.ndim != 3 or not x.is_floating_point() or x.shape[1] < 1:
            raise ValueError(
                f"x is {x.dtype} of shape {tuple(x.shape)}, expected floats (B, T, C) with T >= 1"
            )
        return self.apply(x, self.draw(x.shape[0], x.shape[1], x.shape[2], generator, strength))

    def draw(
        self,
        batch: int,
        length: int,
        channels: int,
        generator: Generator | None = None,
        strength: float = 1.0,
    ) -> Params:
        """Parameters for a batch of B series of T steps and C channels: host tensors (B, ...)."""
        for name, value, least in (("batch", batch, 0), ("length", length, 1)):
            if value < least:
                raise ValueError(f"{name} is {value}, expected at least {least}")
        check("strength", strength, 0, 1)
        if generator is not None and generator.device.type != "cpu":
            raise ValueError(
                f"generator is on {generator.device}, expected one on cpu: draws are made on the "
                "host, so that every device sees the same"
            )
        return self._draw(Dice(batch, length, channels, generator), strength)

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """The view of x (B, T, C) that these parameters ask for. Pure: nothing is drawn."""
        return self._apply(x, *(p.to(x.device, non_blocking=True) for p in params))

    def output_length(self, length: int, strength: float = 1.0) -> int:
        """Steps of the result for a series of ``length`` steps: as many, except after a crop."""
        return length


@dataclass(frozen=True)
class Compose(Augmentation):
    """One augmentation after the other, each with its own draw."""

    steps: Sequence[Augmentation]

    def __post_init__(self):
        object.__setattr__(self, "steps", tuple(self.steps))
        for step in self.steps:
            if not isinstance(step, Augmentation):
                raise ValueError(f"steps hold {step!r}, expected augmentations, such as Jitter()")

    def _draw(self, dice: "Dice", strength: float) -> Params:
        drawn, length = [], dice.length
        for step in self.steps:
            drawn.append(step.draw(dice.batch, length, dice.channels, dice.generator, strength))
            length = step.output_length(length, strength)
        return tuple(drawn)

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """As :meth:`Augmentation.apply`; without steps, a copy of x."""
        if not self.steps:
            return x.clone()
        for step, drawn in zip(self.steps, params, strict=True):
            x = step.apply(x, drawn)
        return x

    def output_length(self, length: int, strength: float = 1.0) -> int:
        """Steps after the last augmentation."""
        for step in self.steps:
            length = step.output_length(length, strength)
        return length


@dataclass(frozen=True)
class Dice:
    """A source of random numbers for a batch of B series of T steps and C channels."""

    batch: int
    length: int
    channels: int
    generator: Generator | None

    def uniform(self, *shape: int, dtype=torch.float64) -> Tensor:
        """(B, *shape) in [0, 1)."""
        return torch.rand(self.batch, *shape, generator=self.generator, dtype=dtype)

    def normal(self, *shape: int, scale: Tensor) -> Tensor:
        """float32 (B, *shape), N(0, scale[b]^2). scale: (B,)."""
        normal = torch.randn(self.batch, *shape, generator=self.generator)
        return normal.mul_(scale.float().view(-1, *[1] * len(shape)))

    def below(self, bound: int | Tensor, *shape: int) -> Tensor:
        """Whole numbers from 0 to bound - 1, as float64 (B, *shape)."""
        return (self.uniform(*shape) * bound).floor_()


@dataclass(frozen=True)
class PerSample(Augmentation):
    """Base of augmentations that change each sample with probability p.

    ``_draw_amounts`` is given the strength for each sample, float64 (B,), which is 0 for a sample
    left unchanged. With an amount of 0 the parameters are exactly those of the identity.
    """

    p: float = field(default=1.0, kw_only=True, metadata={"low": 0, "high": 1})

    def __post_init__(self):
        for f in fields(self):
            if "low" in f.metadata:
                whole = isinstance(f.default, int)
                check(f.name, getattr(self, f.name), **f.metadata, whole=whole)

    def _draw(self, dice: Dice, strength: float) -> Params:
        chosen = dice.uniform() < self.p
        return self._draw_amounts(dice, chosen.double() * float(strength))

    def _draw_amounts(self, dice: Dice, strength: Tensor) -> Params:
        """The parameters of a batch, given the strength for each sample."""
        raise NotImplementedError


def within(default: float, low: float, high: float = math.inf):
    """A field of :class:`PerSample` with its limits; a default that is an int asks for one."""
    return field(default=default, metadata={"low": low, "high": high})


def check(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Raise ValueError where ``value`` is not a number (a whole one) from ``low`` to ``high``."""
    kind = Integral if whole else Real
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or not low <= value <= high:
        number = "a whole number" if whole else "a number"
        limits = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
        raise ValueError(f"{name} is {value!r}, expected {number} {limits}")


@functools.lru_cache(maxsize=32)
def spline(length: int, knots: int, between: bool = False) -> Tensor:
    """Matrix from values at evenly spaced knots to those of their cubic spline at each step.

    Float64 (T, K), or (T - 1, K) half-way between steps. Shared between callers: not to be written
    to. A spline is linear in its values, so all curves of a batch are one product with this matrix.
    """
    places = torch.arange(length - 1) + 0.5 if between else torch.arange(float(length))
    ends = torch.linspace(0, max(length - 1, 1), knots, dtype=torch.float64)
    curve = CubicSpline(ends.numpy(), torch.eye(knots, dtype=torch.float64).numpy())
    return torch.from_numpy(curve(places.double().numpy()))

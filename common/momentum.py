"""The momentum encoder: a slowly following copy."""

import copy
import math

import torch
from torch import Tensor, nn


class MomentumEncoder(nn.Module):
    """A copy whose parameters follow the encoder's: ``target = m target + (1 - m) online``.

        m_k = final - (final - momentum) (1 + cos(pi k / steps)) / 2

    MoCo keeps ``m = .999`` (``steps=None``); BYOL's schedule rises from .996 to 1 over training.
    Buffers, such as batch statistics, are copied as they are. Copy, momentum and step count stand
    in the state dict, so a resumed run follows on bit by bit.

    Args:
        encoder: what to follow; not kept.
        momentum: at the first update.
        final: at update ``steps``.
        steps: length of the schedule; without it ``momentum`` stays.
    """

    def __init__(
        self,
        encoder: nn.Module,
        momentum: float = 0.999,
        final: float = 1.0,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        for name, m in (("momentum", momentum), ("final", final)):
            if not 0 <= m <= 1:
                raise ValueError(f"{name} is {m}, expected a number from 0 to 1")
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}, expected at least 1")
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.start, self.final, self.steps = momentum, final, steps
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def momentum(self) -> float:
        """Of the next update."""
        if self.steps is None:
            return self.start
        progress = min(int(self.updates) / self.steps, 1.0)
        return self.final - (self.final - self.start) * (1 + math.cos(math.pi * progress)) / 2

    @torch.no_grad()
    def update(self, encoder: nn.Module) -> None:
        """Take one step towards ``encoder``: after each step of the optimiser."""
        mine, theirs = list(self.encoder.parameters()), list(encoder.parameters())
        if [p.shape for p in mine] != [p.shape for p in theirs]:
            raise ValueError(
                f"encoder has {len(theirs)} parameters that do not match the copy's {len(mine)}"
            )
        if mine:
            torch._foreach_lerp_(mine, [p.detach() for p in theirs], 1 - self.momentum)
        for own, other in zip(self.encoder.buffers(), encoder.buffers(), strict=True):
            own.copy_(other)
        self.updates += 1

    @torch.no_grad()
    def forward(self, *args, **kwargs) -> Tensor:
        return self.encoder(*args, **kwargs)

"""The momentum encoder: a slowly following copy."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class MomentumEncoder(nn.Module, Generic[Module]):
    """A copy whose parameters follow the encoder's: ``copy = m copy + (1 - m) encoder``.

    The key encoder of MoCo (He et al., CVPR 2020, Eq. 2), and the running mean of weights by which
    a model is evaluated. Buffers, such as batch statistics, are copied as they are. The copy is
    part of the state dict, so a resumed run continues it bit by bit.

    Args:
        encoder: the module to follow; only its copy is kept.
        momentum: m, from 0 to 1; MoCo's default.
    """

    updates: Tensor

    def __init__(self, encoder: Module, momentum: float = 0.999) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum}, expected a number from 0 to 1")
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum = momentum
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))  # steps taken so far

    @torch.no_grad()
    def update(self, encoder: nn.Module) -> None:
        """Move the copy towards ``encoder``; call it after each step of the optimiser."""
        mine: list[Tensor] = list(self.encoder.parameters())
        theirs = list(encoder.parameters())
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

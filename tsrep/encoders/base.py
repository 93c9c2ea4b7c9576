"""Base class of all encoders of series, and helpers for causal layers."""

import inspect
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from tsrep.datasets.series import Scaler

Memory = dict[nn.Module, Tensor]
"""State of a stream: the earlier steps that each layer still needs."""


class Encoder(nn.Module):
    """A map from a series to one vector per step: ``x (B, T, C) -> embed -> body -> z (B, T, D)``.

    A subclass sets ``in_channels`` and ``dim``, defines ``body``, overrides the other defaults
    where they do not hold, and keeps each argument of ``__init__`` as an attribute of its name.
    ``forward(x, memory)`` continues the series that ``memory`` (an empty dict at its start)
    remembers, so encoding a series in pieces equals encoding it whole; causal encoders only.

    Attributes
    ----------
    in_channels : channels C of the input, read together. An encoder of one channel can encode each
        channel of a series by itself.
    dim : channels D of the representation.
    causal : the vector of step t depends on steps up to t only.
    receptive_field : steps of the input, the present one included, that a causal vector depends on.
    stride : steps that share a vector, counted from the last step backwards.
    memory_grows : the memory of a stream, and the cost of a step, grow with the series; a series
        much longer than the training windows is best encoded through such windows.
    level_channels : how many of the last of the D channels carry the level of the series.
    window : length in steps of the trailing mean that is removed from the input; None for none.
    columns, scaler : those of the series that an encoder from a file was trained on.
    """

    in_channels: int
    dim: int
    causal: bool = True
    receptive_field: float = math.inf
    stride: int = 1
    memory_grows: bool = False
    level_channels: int = 0
    window: int | None = None
    columns: tuple[str, ...] = ()
    scaler: "Scaler | None" = None

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """Names of the arguments of ``__init__``."""
        return tuple(inspect.signature(cls).parameters)

    @classmethod
    def default_depth(cls, reach: int) -> int:
        """Layers if no number is given; for convolutions enough to look back ``reach`` steps."""
        return 2

    @property
    def config(self) -> dict:
        """Keyword arguments that build this encoder again."""
        return {name: getattr(self, name) for name in self.arguments()}

    @property
    def network(self) -> "Encoder":
        """The encoder that training updates: this one, or the one inside a wrapper."""
        return self

    def rewrap(self, network: "Encoder") -> "Encoder":
        """The same encoder around another ``network``."""
        return network

    @property
    def pooled_dim(self) -> int:
        """Numbers P of :meth:`pooled`."""
        return self.dim

    def network_input(self, x: Tensor) -> Tensor:
        """The input of ``network`` for ``x (B, T, C)``, same shape."""
        return x

    def apart(self, values: np.ndarray) -> list[np.ndarray]:
        """``values (..., C)`` as the encoder reads them: C arrays (..., 1), or one with all C."""
        return np.split(values, values.shape[-1], axis=-1) if self.in_channels == 1 else [values]

    def embed(self, x: Tensor) -> Tensor:
        """The first hidden layer (B, T, H), where AutoTCL masks steps; by default the input."""
        return x

    def body(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """The layers after ``embed``, (B, T, H) -> (B, T, D)."""
        raise NotImplementedError

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        return self.body(self.embed(x), memory)

    def last(self, x: Tensor) -> Tensor:
        """The vector of the last step only: (B, T, C) -> (B, D)."""
        return self(x)[:, -1]

    def summary(self, x: Tensor) -> Tensor:
        """One vector for each series, (B, T, C) -> (B, S); by default :meth:`pooled`."""
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """The part of :meth:`summary` that training contrasts, (B, T, C) -> (B, P).

        By default the maximum over steps, :func:`largest`.
        """
        return largest(self(x), x)

    def every(self, x: Tensor, stride: int) -> Tensor:
        """The vectors of every ``stride``-th step, the last step among them: (B, N, D)."""
        return self(x)[:, (x.shape[1] - 1) % stride :: stride]


def largest(z: Tensor, x: Tensor) -> Tensor:
    """The maximum (B, D) of ``z (B, T, D)`` over the steps where ``x (B, T, C)`` has a value.

    A series without any value has the maximum over all of its steps.
    """
    missing = x.isnan().all(-1)  # (B, T)
    missing = missing & ~missing.all(1, keepdim=True)
    return z.masked_fill(missing[..., None], -torch.inf).amax(1)


def embed_known(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer(x)``, (B, T, C) -> (B, T, H), and 0 at each step with a missing value (NaN)."""
    missing = x.isnan().any(-1, keepdim=True)  # (B, T, 1)
    return layer(x.nan_to_num()).masked_fill(missing, 0.0)


def blocks_that_reach(steps: int) -> int:
    """The fewest blocks that look back so many steps: n of them look back ``4 (2**n - 1)``.

    For blocks of two convolutions of 3 taps with dilations 1, 2, 4, ..
    """
    return max(1, math.ceil(math.log2(steps / 4 + 1)))


def with_past(x: Tensor, steps: int, layer: nn.Module, memory: Memory | None) -> Tensor:
    """``x (B, H, T)`` behind the ``steps`` values before it, zeros where a series begins."""
    past = None if memory is None else memory.get(layer)
    if past is None:
        past = x.new_zeros(*x.shape[:2], steps)
    whole = torch.cat([past, x], -1)
    if memory is not None:
        # A view would keep all of a long chunk alive, in every layer.
        memory[layer] = whole[..., whole.shape[-1] - steps :].clone()
    return whole

"""A stacked LSTM."""

import torch
from torch import Tensor, nn

from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory, embed_known


class LSTM(Encoder):
    """A linear layer and layers of long short-term memory (Hochreiter & Schmidhuber 1997).

    ``x (B, T, C) -> embed (B, T, D) -> LSTM (B, T, D)``

    Zhang et al. (2023, sec. 3) use 5 layers and state "320 hidden" and 660K parameters, which
    contradict each other: dim 128 has 661K parameters, 320 would have 4.1M.

    Parameters
    ----------
    in_channels : channels C of the input, read together.
    dim : channels D of every layer and of the representation.
    depth : layers.

    A step with a missing value (NaN) is read as 0 after the first layer. ``forward(x, memory)``
    continues a series as :class:`DilatedConv` does, at a constant cost per step. Always causal; the
    receptive field is the whole past.
    """

    def __init__(self, in_channels: int, dim: int = 64, depth: int = 2):
        super().__init__()
        if min(in_channels, dim, depth) < 1:
            raise UserError(
                f"in_channels {in_channels}, dim {dim}, depth {depth}: expected at least 1 each"
            )
        self.in_channels, self.dim, self.depth = in_channels, dim, depth
        self.input = nn.Linear(in_channels, dim)
        self.lstm = nn.LSTM(dim, dim, depth, batch_first=True)

    def embed(self, x: Tensor) -> Tensor:
        """The first hidden layer, (B, T, C) -> (B, T, D), where AutoTCL masks time steps."""
        return embed_known(self.input, x)

    def body(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """The layers after ``embed``, (B, T, D) -> (B, T, D)."""
        past = None if memory is None else memory.get(self.lstm)  # (2, depth, B, D)
        y, state = self.lstm(hidden, None if past is None else (past[0], past[1]))
        if memory is not None:
            memory[self.lstm] = torch.stack(state)
        return y

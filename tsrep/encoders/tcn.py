"""A temporal convolutional network: dilated causal convolutions with residual connections."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.errors import UserError
from tsrep.encoders.base import Encoder, Memory, blocks_that_reach, embed_known, with_past


class TCN(Encoder):
    """The network of Bai, Kolter & Koltun (2018, sec. 3), causal, padded on the left.

    ``x (B, T, C) -> embed (B, T, D) -> blocks (B, T, D)``

    Block ``i`` is ``relu(y + relu(conv(relu(conv(y)))))`` with dilation ``2**i``. Weight norm and
    dropout are left out. "TCN" in Zhang et al. (2023) is another network, that of TS2Vec:
    ``DilatedConv(C, dim=320, hidden=64, depth=10)`` has the 637K parameters that they state.

    Parameters
    ----------
    in_channels : channels C of the input, read together.
    dim : channels D of every block and of the representation.
    depth : blocks; 6 reach back 253 steps, 10 reach back 4093.
    kernel : taps of a convolution.

    A step with a missing value (NaN) is read as 0 after the first layer. ``forward(x, memory)``
    continues a series as :class:`DilatedConv` does.
    """

    def __init__(self, in_channels: int, dim: int = 64, depth: int = 6, kernel: int = 3):
        super().__init__()
        if min(in_channels, dim, kernel) < 1 or depth < 0:
            raise UserError(
                f"in_channels {in_channels}, dim {dim}, depth {depth}, kernel {kernel}: expected "
                "at least 1 each, and depth >= 0"
            )
        self.in_channels, self.dim, self.depth, self.kernel = in_channels, dim, depth, kernel
        self.receptive_field = 1 + 2 * (kernel - 1) * (2**depth - 1)
        self.input = nn.Linear(in_channels, dim)
        self.blocks = nn.ModuleList(_Block(dim, kernel, 2**i) for i in range(depth))

    @classmethod
    def default_depth(cls, reach: int) -> int:
        return blocks_that_reach(reach)

    def embed(self, x: Tensor) -> Tensor:
        """The first hidden layer, (B, T, C) -> (B, T, D), where AutoTCL masks time steps."""
        return embed_known(self.input, x)

    def body(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        """The blocks, (B, T, D) -> (B, T, D)."""
        y = hidden.transpose(1, 2)  # (B, D, T)
        for block in self.blocks:
            y = block(y, memory)
        return y.transpose(1, 2)


class _Block(nn.Module):
    """``relu(y + relu(conv(relu(conv(y)))))`` on (B, D, T)."""

    def __init__(self, dim: int, kernel: int, dilation: int):
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, kernel, dilation=dilation) for _ in range(2))

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        y = x
        for conv in self.convs:
            y = F.relu(conv(with_past(y, self.reach, conv, memory)))
        return torch.relu(x + y)

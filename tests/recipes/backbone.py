"""A toy backbone: a linear layer on the mean of the last steps."""

from torch import Tensor, nn

from tsrep.encoders.base import Encoder, Memory, with_past


class MovingMean(Encoder):
    def __init__(self, in_channels: int, dim: int, depth: int):
        super().__init__()
        self.in_channels, self.dim, self.depth = in_channels, dim, depth
        self.receptive_field = depth
        self.layer = nn.Linear(in_channels, dim)

    def body(self, hidden: Tensor, memory: Memory | None = None) -> Tensor:
        x = hidden.nan_to_num().transpose(1, 2)  # (B, C, T)
        x = with_past(x, self.depth - 1, self, memory)
        return self.layer(x.unfold(2, self.depth, 1).mean(-1).transpose(1, 2))

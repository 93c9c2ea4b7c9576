"""Dropout that is the same on any number of processes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tspcrep.common.distributed import own_rows, ranks


class Dropout(nn.Dropout):
    """``nn.Dropout`` for batches (B, ...), of which each of W processes holds some rows.

    Every process draws for the rows of all, and drops by its own part: what one process drops that
    has all rows. The generators of all processes must be in one state, as in
    :func:`tspcrep.common.training.fit`.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p or ranks()[1] == 1:
            return super().forward(x)

        def draw(count: int) -> Tensor:
            ones = torch.ones(count, *x.shape[1:], dtype=x.dtype, device=x.device)
            return F.dropout(ones, self.p)

        return x * own_rows(draw, len(x))

"""Positive and dropped pairs in a tile of logits: listed where they are few, else as masks.

Both kinds answer the same calls. Numbers of pairs are a vector over the list, or fill the tile
``(g, t, N)``, all finite, where those of positives count; numbers of rows are vectors ``(g * t,)``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Listed:
    """Flat positions in the tile: memory by the number of pairs."""

    positive: Tensor  # (P,)
    line: Tensor  # (P,), the row of each positive
    dropped: Tensor

    def take(self, logits: Tensor) -> Tensor:
        """The logits of the positives; masks give all, and in place."""
        return logits.view(-1)[self.positive]

    def put(self, logits: Tensor, x: Tensor) -> None:
        """Give the positives the logits ``x``."""
        logits.view(-1)[self.positive] = x

    def hide(self, logits: Tensor) -> None:
        """Leave the positives out of the denominator."""
        logits.view(-1).index_fill_(0, self.positive, -torch.inf)

    def drop(self, logits: Tensor) -> None:
        """Leave the dropped pairs out of the denominator."""
        logits.view(-1).index_fill_(0, self.dropped, -torch.inf)

    def subtract(self, tile: Tensor, x: Tensor) -> None:
        """Take ``x`` from the positives."""
        tile.view(-1).index_add_(0, self.positive, x, alpha=-1)

    def of_row(self, x: Tensor) -> Tensor:
        """Numbers of rows, for each positive that of its row."""
        return x[self.line]

    def sum(self, x: Tensor, rows: int) -> Tensor:
        """Sums over the positives of each row."""
        return x.new_zeros(rows).index_add_(0, self.line, x)

    def amax(self, x: Tensor, rows: int) -> Tensor:
        """Maxima over the positives of each row."""
        return x.new_full((rows,), -torch.inf).scatter_reduce_(0, self.line, x, "amax")


class Masked:
    """Masks of the tile: memory by its size, whatever the number of pairs.

    Args:
        positive: ``(g, t, N)`` bool.
        dropped: a mask too, or flat positions.
    """

    def __init__(self, positive: Tensor, dropped: Tensor) -> None:
        self.positive, self.dropped = positive, dropped
        self.one: Tensor  # made by take(), which comes first

    def take(self, logits: Tensor) -> Tensor:
        self.one = self.positive.to(logits.dtype)  # a product is several times faster than where()
        return logits

    def put(self, logits: Tensor, x: Tensor) -> None:
        torch.where(self.positive, x, logits, out=logits)

    def hide(self, logits: Tensor) -> None:
        logits.masked_fill_(self.positive, -torch.inf)

    def drop(self, logits: Tensor) -> None:
        if self.dropped.dtype == torch.bool:
            logits.masked_fill_(self.dropped, -torch.inf)
        else:
            logits.view(-1).index_fill_(0, self.dropped, -torch.inf)

    def subtract(self, tile: Tensor, x: Tensor) -> None:
        tile.addcmul_(self.one, x, value=-1)

    def of_row(self, x: Tensor) -> Tensor:
        return x.view(*self.positive.shape[:2], 1)

    def sum(self, x: Tensor, rows: int) -> Tensor:
        return (self.one * x).sum(-1).view(rows)

    def amax(self, x: Tensor, rows: int) -> Tensor:
        return torch.where(self.positive, x, -torch.inf).amax(-1).view(rows)

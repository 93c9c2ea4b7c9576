"""A queue of earlier embeddings: more negatives, or a bank of neighbours."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tspcrep.common.distributed import gather


class FeatureQueue(nn.Module):
    """The last ``length`` embeddings, first in first out, at length 1, without gradient.

    All of it stands in the state dict. In a process group, :meth:`enqueue` gathers the rows of all
    ranks in order, so every rank holds the same queue, and the queue of one process with the whole
    batch. Until ``length`` rows have come, :attr:`features` holds those that have: random rows
    would be negatives of nothing.

    Args:
        length: rows kept. Longer than the data set, and an anchor meets its own sample as a
            negative.
        dim: of a row.
    """

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        for name, number in (("length", length), ("dim", dim)):
            if number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")
        self.length = length
        self.register_buffer("rows", torch.zeros(length, dim))
        self.register_buffer("row_ids", torch.full((length,), -1))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return min(int(self.seen), self.length)

    @property
    def features(self) -> Tensor:
        """Rows so far, ``(len, D)``; not in order of age once the queue has gone round."""
        return self.rows[: len(self)].clone()

    @property
    def ids(self) -> Tensor:
        """The id given with each row, ``(len,)``; -1 where none was."""
        return self.row_ids[: len(self)].clone()

    @torch.no_grad()
    def enqueue(self, rows: Tensor, ids: Tensor | None = None) -> None:
        """Put in the rows of all ranks, and drop as many of the oldest once the queue is full.

        Args:
            rows: ``(B, D)``; brought to length 1.
            ids: ``(B,)`` integers: sample, label, segment.

        Raises:
            ValueError: more rows than the queue is long, in all ranks together; a row that is not
                finite.
        """
        if rows.ndim != 2 or rows.shape[1] != self.rows.shape[1]:
            raise ValueError(
                f"rows has shape {tuple(rows.shape)}, expected (B, {self.rows.shape[1]})"
            )
        if ids is not None and ids.shape != rows.shape[:1]:
            raise ValueError(f"ids has shape {tuple(ids.shape)}, expected ({len(rows)},)")
        if ids is None:
            ids = torch.full((len(rows),), -1, device=rows.device)
        rows, ids = gather(rows.detach()), gather(ids)
        if len(rows) > self.length:
            raise ValueError(
                f"rows are {len(rows)} on all ranks, expected at most {self.length}, the queue's "
                "length"
            )
        finite = rows.isfinite().all(1)
        if not bool(finite.all()):
            raise ValueError(f"rows: row {int((~finite).nonzero()[0])} is not finite")
        place = (self.seen + torch.arange(len(rows), device=rows.device)) % self.length
        self.rows[place] = normalize(rows.to(self.rows.dtype), dim=-1)
        self.row_ids[place] = ids
        self.seen += len(rows)

"""A queue of earlier embeddings, used as extra negatives or as a bank of neighbours."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tspcrep.common.distributed import gather


class FeatureQueue(nn.Module):
    """The last ``length`` embeddings, normalised to length 1, first in first out, no gradient.

    The queue is part of the state dict. In a process group, :meth:`enqueue` gathers the rows of all
    ranks in order, so every rank has the queue of one process with the whole batch. Before
    ``length`` rows have been seen, :attr:`features` holds only those: a random initialisation, as
    in MoCo's code, would be compared with as if it were data.

    Args:
        length: number of rows kept. If it exceeds the data set, an anchor meets its own sample as a
            negative, unless :func:`tspcrep.common.losses.moco` is given the ``ids``.
        dim: dimension of the rows.
    """

    rows: Tensor
    row_ids: Tensor
    seen: Tensor

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
        """The rows so far, ``(len, D)``; in order of age only until the queue is full."""
        return self.rows[: len(self)].clone()

    @property
    def ids(self) -> Tensor:
        """The id that was given with each row, ``(len,)``; -1 for rows without one."""
        return self.row_ids[: len(self)].clone()

    @torch.no_grad()
    def enqueue(self, rows: Tensor, ids: Tensor | None = None) -> None:
        """Append the rows of all ranks; a full queue drops as many of its oldest rows.

        Args:
            rows: ``(B, D)``; normalised to length 1.
            ids: ``(B,)`` integers, such as the sample, label or segment of each row.

        Raises:
            ValueError: the rows of all ranks together exceed the length of the queue, or a row is
                not finite.
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

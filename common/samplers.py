"""Batch samplers that are a pure function of seed, epoch, position and rank, so a run can resume.

Each sampler is a ``batch_sampler`` for :class:`torch.utils.data.DataLoader`. The global batch of
``world_size * batch_size`` rows is split into one contiguous slice per rank, so ``W`` processes
with ``B`` rows each see exactly the batches of one process with ``W * B`` rows.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from tspcrep.common.errors import UserError

Batch = TypeVar("Batch")


class EpochSampler:
    """Every row once per epoch, in an order drawn from ``(seed, epoch)``.

    Args:
        size: number of rows.
        batch_size: rows per batch on each rank.
        seed: seed of the order of rows.
        rank, world_size: index of this process and number of processes.
        drop_last: leave out the last global batch if it is not full. Otherwise it is split as
            evenly as possible, with one row more on the earlier ranks.

    Raises:
        ValueError: an argument out of range.
        UserError: with ``drop_last``, fewer rows than one batch; without it, a last batch with
            fewer rows than ranks.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        for name, number in (
            ("size", size),
            ("batch_size", batch_size),
            ("world_size", world_size),
        ):
            if number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected at least 0")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}, expected 0 <= rank < world_size = {world_size}")
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world_size = rank, world_size
        together = batch_size * world_size
        full, rest = divmod(size, together)
        if drop_last and not full:
            raise UserError(
                f"size is {size}, less than one batch of {together} rows, and drop_last leaves none"
            )
        if rest and rest < world_size and not drop_last:
            raise UserError(
                f"size is {size}: the last batch has {rest} rows for {world_size} ranks, expected "
                "at least one per rank; set drop_last or change batch_size"
            )
        self._batches = full if drop_last or not rest else full + 1
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Go to ``epoch`` and skip its first ``start`` batches, which were consumed before."""
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}, expected at least 0")
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}, expected 0 to {len(self)} batches per epoch")
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Batches per epoch, the same on every rank and for every ``start``."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield this rank's slice of each batch from ``start`` on."""
        order = self._order(np.random.default_rng((self.seed, self.epoch)))
        together = self.batch_size * self.world_size
        for batch in range(self.start, len(self)):
            rows = order[batch * together : (batch + 1) * together]
            yield np.array_split(rows, self.world_size)[self.rank].tolist()

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.size)


class ReplicatedSampler(EpochSampler):
    """Rows of several concatenated sources, each source repeated within an epoch.

    AdaInf (Wang et al., "Do Generated Data Always Help Contrastive Learning?"): with generated rows
    mixed in, repeat the real ones (10 times for 50,000 real and 1 million generated) and weaken the
    augmentation. Compare runs at equal numbers of steps, not of epochs.

    ``strength`` is the factor for the strengths of the augmentation: 1 for a single source,
    otherwise the paper's one half (its colour jitter falls from .8 to .4).

    Args:
        sizes: number of rows of each source, real data first: rows of source 1 start at
            ``sizes[0]``.
        repeats: number of times that an epoch shows each row of each source.
        batch_size, seed, rank, world_size, drop_last: see :class:`EpochSampler`.
    """

    def __init__(
        self, sizes: Sequence[int], repeats: Sequence[int], batch_size: int, seed: int, **options
    ) -> None:
        if not sizes or len(sizes) != len(repeats):
            raise ValueError(
                f"repeats has {len(repeats)} entries, expected {max(len(sizes), 1)}, one per source"
            )
        for name, numbers in (("sizes", sizes), ("repeats", repeats)):
            if min(numbers) < 1:
                raise ValueError(f"{name} is {list(numbers)}, expected numbers of at least 1")
        super().__init__(int(np.dot(sizes, repeats)), batch_size, seed, **options)
        starts = np.cumsum([0, *sizes])
        self._rows = np.concatenate(
            [
                np.tile(np.arange(start, start + size), repeat)
                for start, size, repeat in zip(starts, sizes, repeats, strict=False)
            ]
        )
        self.strength = 1.0 if len(sizes) == 1 else 0.5

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self._rows)


class GroupedSampler(EpochSampler):
    """Runs of ``per_group`` rows of the same group, so that every anchor has a positive.

    The rows of a group are shuffled and cut into runs of ``per_group``; the runs are shuffled. The
    last run of a group is filled up with rows of that group drawn again, so every row appears at
    least once per epoch. In a full batch no run is split between batches or ranks.

    Args:
        groups: group of each row, ``(size,)`` integers.
        per_group: rows per run; must divide ``batch_size``.
        batch_size, seed, rank, world_size, drop_last: see :class:`EpochSampler`.
    """

    def __init__(
        self, groups: Sequence[int], per_group: int, batch_size: int, seed: int, **options
    ) -> None:
        ids = np.asarray(groups)
        if ids.ndim != 1 or not len(ids):
            raise ValueError(f"groups has shape {ids.shape}, expected (rows,) with rows > 0")
        if per_group < 1 or batch_size % per_group:
            raise ValueError(
                f"per_group is {per_group}, expected a divisor of batch_size = {batch_size}"
            )
        _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
        runs = -(-counts // per_group)
        super().__init__(int(runs.sum()) * per_group, batch_size, seed, **options)
        self.per_group = per_group
        self._members = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        runs = []
        for members in self._members:
            rows = rng.permutation(members)
            again = rng.choice(members, -len(members) % self.per_group)
            runs.append(np.concatenate([rows, again]).reshape(-1, self.per_group))
        return rng.permutation(np.concatenate(runs)).ravel()


def as_batch(batch: Batch) -> Batch:
    """``collate_fn`` for a dataset that returns whole batches from ``__getitems__``."""
    return batch

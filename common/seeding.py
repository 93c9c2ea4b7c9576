"""Random numbers that depend on the seed and the step alone, and their replay."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tspcrep.common.samplers import EpochSampler, as_batch


def seed_all(*numbers: int) -> None:
    """Seed the global generators of torch (all devices), numpy and random with ``numbers``.

    Random numbers of a step that depend on ``(seed, step)`` alone are drawn again after a run was
    resumed, or after an evaluation drew others in between.
    """
    seed = _mixed(numbers)
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - data sets of others draw from it
    random.seed(seed)


class RandomState:
    """The state of all global generators at one moment, to draw the same numbers once more."""

    def __init__(self) -> None:
        self._torch, self._numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        self._random = random.getstate()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    def restore(self) -> None:
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._random)
        torch.cuda.set_rng_state_all(self._cuda)


def seeded_loader(data: Any, sampler: EpochSampler, chunks: int, workers: int) -> DataLoader:
    """Load the batches of ``sampler``, each as a list of ``chunks`` parts of nearly equal size.

    Before a batch is drawn, all generators are seeded from (seed, number of the batch, rank), in a
    worker process too: a data set that draws random numbers returns the same batch again.
    """
    return DataLoader(
        _SeededBatches(data, chunks),
        batch_sampler=_SeededSampler(sampler),
        collate_fn=as_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A forked worker would inherit the locks that threads of this process hold.
        multiprocessing_context="spawn" if workers else None,
    )


class _SeededBatches(Dataset):
    def __init__(self, data: Any, chunks: int) -> None:
        self.data, self.chunks = data, chunks

    def __getitems__(self, item: list[Any]) -> list[Any]:
        numbers, rows = item
        seed_all(*numbers)
        parts = np.array_split(rows, self.chunks)
        return [self.data.__getitems__(part.tolist()) for part in parts if len(part)]


class _SeededSampler:
    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[Any]]:
        """Lists of two, for ``_SeededBatches``: what the generators are seeded from, and rows."""
        sampler = self.sampler
        first = sampler.epoch * len(sampler) + sampler.start
        for batch, rows in enumerate(sampler, first):
            yield [(sampler.seed, batch, 1 + sampler.rank), rows]


def _mixed(numbers: tuple[int, ...]) -> int:
    """One seed from several numbers; other numbers give an unrelated one."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)

"""Batches of one corpus or of several together, to pretrain an encoder on."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError
from tsrep.datasets.windows import Windows


class Corpus(Protocol):
    """Series of equal length: one ``(T, C)``, NaN where missing, for each index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...

    def fingerprint(self) -> str: ...


class CorpusBatches:
    """Series of several corpora in batches, for :func:`tspcrep.common.training.fit`.

    Parameters
    ----------
    corpora : of series with the same number of steps.
    repeats : how often an epoch shows each series of each corpus. AdaInf (Wang et al., "Do
        Generated Data Always Help Contrastive Learning?") repeats the real ones among made ones
        about ten times and weakens the augmentation by half.
    """

    def __init__(self, corpora: Sequence[Corpus], repeats: Sequence[int]):
        if not corpora or len(corpora) != len(repeats) or min(repeats) < 1:
            raise UserError(
                f"repeats: found {list(repeats)} for {len(corpora)} corpora, expected one number "
                "of at least 1 for each"
            )
        self.corpora, self.repeats = list(corpora), list(repeats)
        self._ends = np.cumsum([len(c) * r for c, r in zip(corpora, repeats, strict=True)])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitems__(self, indices: Sequence[int]) -> Windows:
        """A batch: values (B, T, C), index (B,)."""
        values = np.stack([self._series(int(index)) for index in indices])
        return Windows(torch.from_numpy(values), torch.tensor(indices))

    def fingerprint(self) -> str:
        return fingerprint(*[c.fingerprint() for c in self.corpora], str(self.repeats))

    def _series(self, index: int) -> np.ndarray:
        which = int(np.searchsorted(self._ends, index, side="right"))
        corpus = self.corpora[which]
        first = self._ends[which] - len(corpus) * self.repeats[which]
        return corpus[int(index - first) % len(corpus)]

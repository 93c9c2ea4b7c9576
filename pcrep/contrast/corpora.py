"""Batches of several sources of scenes together, to pretrain an encoder on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pcrep.cloud import Batch, Cloud
from pcrep.encoders.inputs import completed
from pcrep.encoders.voxelize import thin
from pcrep.preparation import prepare
from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import UserError


class Corpus(Protocol):
    """A scene for each index; it can be sent to the processes that load batches."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Cloud: ...

    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class PreparedCorpus:
    """Scenes prepared each time they are read, in the process that reads them, without a cache.

    Segments and objectness (:func:`pcrep.preparation.prepare`), thinned to half a voxel, and
    heights and normals where the network reads them. About 0.7 s of a core for a scene.

    scenes : with z up.
    voxel : voxel size of the views, metres. inputs : see :mod:`pcrep.encoders.inputs`.
    segments : whether segments are found, which takes the most time.
    """

    scenes: Corpus
    voxel: float
    inputs: tuple[str, ...]
    segments: bool = True

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Cloud:
        cloud = self.scenes[index]
        cloud = completed(prepare(cloud) if self.segments else cloud, self.inputs)
        return thin(cloud, self.voxel)

    def fingerprint(self) -> str:
        return self.scenes.fingerprint()


class MixedScenes:
    """Prepared scenes of several sources in batches, for :func:`tspcrep.common.training.fit`.

    Parameters
    ----------
    corpora : the sources, which give equally many scenes to an epoch.
    size : scenes of each source in an epoch; those of a smaller source come again.
    """

    def __init__(self, corpora: Sequence[Corpus], size: int):
        if not corpora or size < 1:
            raise UserError(
                f"found {len(corpora)} sources and size {size}, expected at least 1 of each"
            )
        self.corpora, self.size = tuple(corpora), size

    def __len__(self) -> int:
        return len(self.corpora) * self.size

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch([self._scene(int(index)) for index in indices])

    def fingerprint(self) -> str:
        return fingerprint(*[corpus.fingerprint() for corpus in self.corpora], self.size)

    def _scene(self, index: int) -> Cloud:
        which, own = divmod(index, self.size)
        corpus = self.corpora[which]
        return corpus[own % len(corpus)]

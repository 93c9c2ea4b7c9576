"""Classes of the points of many clouds: a callable of batches that can be pickled.

    segment = Segment("runs/seg")
    table = segment(table)  # an Arrow table with a cloud a row, its points in the column coords

A batch is an Arrow table or a dict of numpy arrays. The weights are read when a process sees its
first batch, once, and are not in the pickle.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.cloud import Cloud
from pcrep.evaluation.segmentation import SEGMENTER
from pcrep.prediction import SegmentationPipeline
from tspcrep.common.batches import Batch, cells, names_of, versioned, with_columns
from tspcrep.common.errors import UserError

_READ = ("colour", "intensity", "normal", "height")


@dataclass(frozen=True)
class Segment:
    """Adds the class of each point of the cloud of each row, and the network's confidence in it.

    segmenter : a run folder of ``tools/finetune_segmentation.py``, or its segmenter.safetensors.

    Columns are lists of N, or of N lists of 3, with the names of :class:`pcrep.cloud.Cloud`:
    coords in metres, and those of colour (0 .. 1), intensity, normal, height that are known.
    ``predicted`` (N,), the number of a class, and ``confidence`` (N,), 0 .. 1, are added;
    :attr:`classes` has the names. A cloud must fit into memory; tiles of a scan do.

    Raises
    ------
    UserError
        Of the call: no such segmenter or column, or one of the new ones is there; what is in a row
        is no cloud.
    """

    segmenter: str | Path

    def __call__(self, batch: Batch) -> Batch:
        pipeline = self._pipeline()
        columns = {"coords": cells(batch, "coords")}
        for name in _READ:
            if name in names_of(batch):
                columns[name] = cells(batch, name)
        rows = zip(*columns.values(), strict=True)
        clouds = [_cloud(dict(zip(columns, row, strict=True)), i) for i, row in enumerate(rows)]
        found = [pipeline(cloud) for cloud in clouds]
        return with_columns(
            batch,
            {"predicted": [p.label for p in found], "confidence": [p.confidence for p in found]},
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by their number."""
        return self._pipeline().classes

    def _pipeline(self) -> SegmentationPipeline:
        path = Path(self.segmenter)
        return _loaded(*versioned(path / SEGMENTER if path.is_dir() else path))


@lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> SegmentationPipeline:
    """changed: when the file was written last, so that new weights are read again."""
    return SegmentationPipeline.load(path)


def _cloud(row: dict[str, np.ndarray], number: int) -> Cloud:
    coords = row.pop("coords").astype(np.float64)
    where = f"row {number}"
    if coords.ndim != 2 or coords.shape[1] != 3 or not np.isfinite(coords).all():
        raise UserError(f"{where}: coords: found shape {coords.shape}, expected (N, 3), finite")
    if "colour" in row and not 0 <= row["colour"].min() <= row["colour"].max() <= 1:
        found = row["colour"]
        raise UserError(
            f"{where}: colour: found {found.min():g} .. {found.max():g}, expected 0 .. 1"
        )
    origin = coords.min(0)
    inputs: dict[str, Any] = {name: values.astype(np.float32) for name, values in row.items()}
    try:  # float32 is fine near 0, and not in a national grid
        return Cloud((coords - origin).astype(np.float32), **inputs, name=where, origin=origin)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None

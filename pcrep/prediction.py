"""Segment new scans of any size with a segmenter that was trained.

pipeline = SegmentationPipeline.load("runs/seg")
prediction = pipeline(load_points("scan.laz"))  # label and confidence of each point
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pcrep.cloud import Cloud
from pcrep.datasets.open3d import as_cloud
from pcrep.encoders.inputs import completed, inputs_of, say_missing
from pcrep.encoders.unet import UNetConfig
from pcrep.encoders.voxelize import voxelize
from pcrep.evaluation.segmentation import SEGMENTER, Segmenter, load_segmenter
from pcrep.evaluation.smoothing import smoothed, with_segments
from pcrep.preparation.planes import upright
from pcrep.sparse import SparseTensor
from tspcrep.common.errors import UserError

_MOST = 400_000
"""Points of a tile, without those around it."""
_WIDEST = 256
"""Largest overlap of tiles, voxels."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """label : (N,) int64, an index into ``classes``. confidence : (N,) float32 in 0 .. 1, the
    network's probability of that class."""

    label: np.ndarray
    confidence: np.ndarray
    classes: tuple[str, ...]


class SegmentationPipeline:
    """A segmenter with all that a raw cloud goes through before it: upright, inputs, voxels.

    A large cloud is cut into tiles of at most ``most`` points that overlap by the receptive field
    of the network, at most 256 voxels, so that a tile sees what the whole would show it; memory
    beside the cloud does not grow with its size.

    Parameters
    ----------
    segmenter, classes : as :func:`pcrep.evaluation.segmentation.load_segmenter` returns them.
    most : points of a tile.
    """

    def __init__(self, segmenter: Segmenter, classes: tuple[str, ...], most: int = _MOST):
        if most < 1:
            raise UserError(f"tile: found {most} points, expected at least 1")
        self.segmenter, self.classes, self.most = segmenter.eval(), tuple(classes), most

    @classmethod
    def load(cls, path: str | Path, most: int = _MOST) -> "SegmentationPipeline":
        """Load a run folder of ``tools/finetune_segmentation.py``, or its segmenter.safetensors.

        Raises UserError where there is none.
        """
        path = Path(path)
        return cls(*load_segmenter(path / SEGMENTER if path.is_dir() else path), most)

    def __call__(self, cloud: Cloud, bar: bool = False) -> Prediction:
        """Classes of the points of a cloud as ``load_points`` reads it, or of Open3D. bar : show
        the tiles.

        Warns where the cloud lacks an input. Raises UserError where it is 2^17 voxels wide.
        """
        names, cloud = self.segmenter.encoder.inputs, as_cloud(cloud)
        cloud = upright(cloud) if self.segmenter.upright else cloud
        say_missing(cloud, names)
        coords = cloud.coords - cloud.coords.min(0)
        tiles = [*tiles_of(coords, self.most, self.overlap)]
        values = inputs_of(_completed(cloud, tiles, names), names)
        label = np.empty(len(cloud), np.int64)
        confidence = np.empty(len(cloud), np.float32)
        for inside, around in tqdm(tiles, desc="predict", unit="tile", disable=not bar, delay=2):
            found = self.predict_tile(cloud.take(around), coords[around], values[around])
            kept = np.searchsorted(around, inside)
            label[inside], confidence[inside] = (part[kept] for part in found)
        return Prediction(label, confidence, self.classes)

    @property
    def overlap(self) -> float:
        """Metres around a tile that its points see."""
        return self.segmenter.voxel * min(reach(self.segmenter.encoder.config), _WIDEST)

    def predict_tile(
        self, cloud: Cloud, coords: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Label and confidence of the points of a tile; the grid starts at the cloud's origin."""
        model, device = self.segmenter, self.segmenter.head.weight.device
        try:
            voxels = voxelize(torch.from_numpy(coords), model.voxel)
        except ValueError as error:
            name = cloud.name or "a cloud"
            raise UserError(f"{name}: {error}; is its unit the metre?") from None
        with torch.inference_mode():
            features = voxels.reduce(torch.from_numpy(values)).to(device)
            x = SparseTensor(voxels.coordinates.to(device), features)
            found = model.scores(x).float().softmax(1)
        rows, found = voxels.point_to_voxel, found.cpu()
        if model.smooth:
            of_points = smoothed(found[rows].numpy(), with_segments(cloud).known("segment"))
            return of_points.argmax(1), of_points.max(1)
        confidence, label = found.max(1)
        return label[rows].numpy(), confidence[rows].numpy()


def reach(config: UNetConfig) -> int:
    """Voxels along an axis from which on nothing has an influence, rounded up."""
    levels = len(config.encoder)
    total = config.stem_kernel // 2
    for level, blocks in enumerate(config.encoder_blocks, 1):
        total += (1 + 2 * blocks) << level  # two convolutions a block
    for level, blocks in enumerate(config.decoder_blocks, 1):
        total += (2 + 2 * blocks) << (levels - level)
    return total


def tiles_of(
    coords: np.ndarray, most: int, overlap: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of the points of each tile, and of these with all up to ``overlap`` metres around it.

    Tiles are rectangles of the ground plan, halved across their longer side until none has more
    than ``most`` points. Rows rise.
    """
    plan = coords[:, :2]
    for rows in halves(plan, most):
        low, high = plan[rows].min(0) - overlap, plan[rows].max(0) + overlap
        yield rows, np.flatnonzero((plan >= low).all(1) & (plan <= high).all(1))


def halves(plan: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Rising rows of the points of each tile of a plan (N, 2)."""
    open_tiles = [np.arange(len(plan))]
    while open_tiles:
        rows = open_tiles.pop()
        if len(rows) <= most:
            yield rows
            continue
        low, high = plan[rows].min(0), plan[rows].max(0)
        axis, half = int(np.argmax(high - low)), len(rows) // 2
        values = plan[rows, axis]
        value = np.partition(values, half)[half]
        first = first_half(values, value, value == low[axis], half)
        open_tiles += [rows[first], rows[~first]]


def first_half(values: np.ndarray, value: float, ties: bool, half: int) -> np.ndarray:
    """Which of the points (N,) of a tile, or of a part of it, are in its first half.

    They lie below the middle ``value``; with ``ties``, where none does, they are the first
    ``half``.
    """
    return np.arange(len(values)) < half if ties else values < value


def _completed(
    cloud: Cloud, tiles: list[tuple[np.ndarray, np.ndarray]], names: Sequence[str]
) -> Cloud:
    """The cloud with heights and normals where the network reads them, found tile by tile.

    Their resolution follows the number of points: a tile has about as many as a scene to learn
    from.
    """
    if len(tiles) == 1:
        return completed(cloud, names)
    found: dict[str, Any] = {}
    for inside, around in tiles:
        part = completed(cloud.take(around), names)
        kept = np.searchsorted(around, inside)
        for name in ("height", "normal"):
            values = getattr(part, name)
            if values is not None and getattr(cloud, name) is None:
                whole = found.setdefault(name, np.empty((len(cloud), *values.shape[1:]), "f4"))
                whole[inside] = values[kept]
        if not found:  # nothing to complete
            return cloud
    return replace(cloud, **found)

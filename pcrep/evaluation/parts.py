"""The part of a scan that a training step sees, as dense as the scan is when it is segmented."""

import numpy as np
import torch

from pcrep.augment import AugmentConfig, augmented
from pcrep.cloud import Batch, Cloud
from pcrep.encoders.voxelize import voxelize
from tspcrep.common.distributed import own_rows

_POINTS = 50
"""Points a voxel of a part, beyond which distant ones are left out before any is voxelised."""


def views_of(batch: Batch, voxel: float, most: int, augment: AugmentConfig) -> list[Cloud]:
    """:func:`part_of` each cloud of a batch, augmented.

    They depend on torch's seed and on the cloud's number in the batch of all processes alone.
    """
    seed = int(torch.randint(1 << 31, ()))  # fit sets torch's state by (seed, step) alone
    numbers = own_rows(torch.arange, len(batch.clouds)).tolist()
    found = []
    for number, cloud in zip(numbers, batch.clouds, strict=True):
        part = part_of(cloud, voxel, most, np.random.default_rng((seed, number)))
        found.append(augmented(part, augment, (seed, number, 1)))
    return found


def part_of(cloud: Cloud, voxel: float, most: int, random: np.random.Generator) -> Cloud:
    """The cloud, or of more than ``most`` voxels those around a random labelled point.

    Around is on the plan: the nearest columns, whole. Thinning all of the cloud to as many points
    would be simpler, but a network of voxels then meets scans of another density than it learnt
    from: on made rooms of 19,000 voxels of 5 cm, of which 20,000 random points hit 12,000, that
    cost 2 to 9 points of mIoU. (On real tiles, each a little denser or thinner than the next, it
    cost 2 with five labelled and helped with one: a changing density is an augmentation.)

    voxel : size, metres.
    """
    label = cloud.known("label")
    labelled = np.flatnonzero(label >= 0)
    centre = cloud.coords[random.choice(labelled if len(labelled) else len(label)), :2]
    if len(cloud) > _POINTS * most:
        cloud = cloud.take(np.sort(_nearest(cloud.coords, centre, _POINTS * most)))
    voxels = voxelize(torch.from_numpy(cloud.coords), voxel)
    if len(voxels) <= most:
        return cloud
    kept = np.zeros(len(voxels), bool)
    kept[_nearest(cloud.coords[voxels.first.numpy()], centre, most)] = True
    return cloud.take(np.flatnonzero(kept[voxels.point_to_voxel.numpy()]))


def _nearest(coords: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` rows of ``coords (N, 3)`` that are nearest to ``centre (2,)`` on the plan."""
    distance = ((coords[:, :2] - centre) ** 2).sum(1)
    return np.argpartition(distance, count)[:count]

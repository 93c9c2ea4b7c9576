"""Clouds on their way to :func:`tspcrep.common.training.fit`."""

from collections.abc import Sequence
from dataclasses import replace

from pcrep.cloud import Cloud, Scenes

KEPT = 20_000_000  # points that stay in memory, about 1 GB


class Batch:
    """The clouds of a step. ``fit`` moves tensors to its device and leaves other classes alone."""

    def __init__(self, clouds: Sequence[Cloud]):
        self.clouds = tuple(clouds)


def keep(scenes: Scenes, most: int = KEPT) -> Scenes:
    """The same scenes; those read first stay in memory, ``most`` points in all."""
    kept: dict[int, Cloud] = {}

    def read(index: int) -> Cloud:
        if index in kept:
            return kept[index]
        cloud = scenes[index]
        if sum(map(len, kept.values())) + len(cloud) <= most:
            kept[index] = cloud
        return cloud

    return replace(scenes, read=read)

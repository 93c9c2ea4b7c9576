"""Scenes in segments with objectness, without the code that finds them."""

from dataclasses import replace

import numpy as np

from pcrep.cloud import Cloud
from tests.pcrep.made_scenes import made_scene


def segmented(seed: int, objects: tuple[int, ...] = (1, 2), points: int = 300) -> Cloud:
    """A made scene: the floor in four segments of objectness 0, each object in two of 0.9.

    A few points of the floor have no segment.
    """
    cloud = made_scene(seed, objects, points)
    x, y = cloud.coords[:, 0], cloud.coords[:, 1]
    number = (cloud.coords[:, 2] > 0.1).astype(np.int64)
    floor = cloud.label == 0
    side = np.where(np.arange(len(cloud)) < points + points // 2, 0, 1)  # first or second object
    segment = np.where(floor, 2 * (x > 0.5) + (y > 0.5), 4 + 2 * side + number)
    segment[:5] = -1
    count = 4 + 2 * len(objects)
    scores = np.where(np.arange(count) < 4, 0.0, 0.9).astype(np.float32)
    return replace(cloud, segment=segment, objectness=scores)

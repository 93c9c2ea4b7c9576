"""Time of two matched, voxelised views of a room, relative to voxelisation alone.

As in a training step before the network: augment all 321,015 points of the S3DIS room twice,
voxelise both views at 2 cm, and match their voxels. The reference is two calls of MinkowskiEngine's
``sparse_quantize`` on the same points, which is voxelisation alone. Systems take turns, call by
call, so that other load on the machine affects all of them alike.
"""

import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from suites.sparse import room
from suites.table import Row

from pcrep.augment import AugmentConfig, augment
from pcrep.cloud import Cloud
from pcrep.contrast.views import ViewConfig, correspond, draw_views

VOXEL = 0.02
AUGMENTATIONS = {
    "defaults": AugmentConfig(),
    "all-points": AugmentConfig(crop="none"),
    "everything": AugmentConfig(elastic=0.05, drop=0.1, crop="cuboid", shuffle=True),
}


def rows(calls: int = 30, threads: int = 2) -> list[Row]:
    """Milliseconds per call of each system, medians and minima, and their ratios.

    Needs ``$TSPCREP_DATA`` for the S3DIS room, and MinkowskiEngine.
    """
    points = room()
    colour = torch.rand(points.shape, generator=torch.Generator().manual_seed(0)).numpy()
    segment, objectness = np.zeros(len(points), np.int64), np.ones(1, np.float32)
    cloud = Cloud(points.numpy(), colour, segment=segment, objectness=objectness)
    before = torch.get_num_threads()
    peer = f"minkowskiengine-{version('MinkowskiEngine')}"
    systems: dict[str, Callable[[int], object]] = {peer: _quantize_twice(points)}
    for name, config in AUGMENTATIONS.items():
        systems[f"views-{name}"] = lambda seed, c=config: _two_views(cloud, c, seed)
        systems[f"augment-{name}"] = lambda seed, c=config: _augment_twice(cloud, c, seed)
    try:
        torch.set_num_threads(threads)
        times = _take_turns(systems, calls)
    finally:
        torch.set_num_threads(before)
    case, found = f"two-views/{len(cloud)}-points/2cm/{threads}-threads", []
    for metric, of in (("median", statistics.median), ("minimum", min)):
        values = {system: of(times[system]) for system in systems}
        found += [Row(case, system, metric, value, "ms") for system, value in values.items()]
        found += [
            Row(case, system, f"{metric}_times_{peer}", value / values[peer], "x")
            for system, value in values.items()
            if system != peer
        ]
    return found


def _take_turns(systems: dict[str, Callable], calls: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {system: [] for system in systems}
    for call in range(calls + 3):
        for system, run in systems.items():
            start = time.perf_counter()
            run(call)
            if call >= 3:  # the first calls compile and warm up
                times[system].append(1e3 * (time.perf_counter() - start))
    return times


def _two_views(cloud: Cloud, config: AugmentConfig, seed: int) -> torch.Tensor:
    views = draw_views([cloud], ViewConfig(VOXEL, len(cloud), augment=config), seed)
    return correspond(views.a, views.b, len(cloud))


def _augment_twice(cloud: Cloud, config: AugmentConfig, seed: int) -> None:
    for view in (1, 2):
        augment(cloud.coords, cloud.colour, config, (seed, view))


def _quantize_twice(points: torch.Tensor) -> Callable[[int], None]:
    from pcrep.sparse.engines.minkowski import load

    quantize = load().utils.sparse_quantize

    def run(seed: int) -> None:
        for _ in range(2):
            quantize(points, return_index=True, return_inverse=True, quantization_size=VOXEL)

    return run

"""Generate a scene: a room, the images of a walk through it, and the cloud merged from them."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.random import Generator

from pcrep.cloud import Cloud, Scenes
from pcrep.encoders.voxelize import voxelize
from pcrep.procedural.camera import Camera, shoot, walk
from pcrep.procedural.rooms import about_z, furnish
from pcrep.procedural.shapes import CLASSES
from tspcrep.common.errors import UserError

BACKGROUND = ("floor", "wall", "ceiling")
"""The classes that are not objects."""


@dataclass(frozen=True)
class SceneConfig:
    room_width: tuple[float, float] = (2.8, 4.8)
    """Smallest and largest edge of the floor, metres."""
    room_height: tuple[float, float] = (2.4, 3.0)
    """Smallest and largest height of the ceiling, metres; at least 2.4."""
    poses: int = 6
    """Number of images merged into a cloud."""
    voxel: float = 0.02
    """Voxel size in metres: of the points in a voxel, the one with the smallest depth is kept."""
    camera: Camera = Camera()

    def __post_init__(self) -> None:
        if not 2 < self.room_width[0] <= self.room_width[1]:
            raise UserError(f"room_width: found {self.room_width}, expected 2 < least <= greatest")
        if not 2.4 <= self.room_height[0] <= self.room_height[1]:
            raise UserError(
                f"room_height: found {self.room_height}, expected 2.4 <= least <= greatest"
            )
        if self.poses < 1 or self.voxel <= 0:
            raise UserError(
                f"poses, voxel: found {self.poses}, {self.voxel}, expected at least 1 and above 0"
            )


def procedural(count: int, seed: int = 0, config: SceneConfig = SceneConfig()) -> Scenes:
    """``count`` labelled indoor scenes, bit-equal for the same (seed, index, config).

    A room of random size holds at least one object of each class of ``CLASSES`` that fits, and
    objects on its tables. A depth camera sees it from several places, with occlusion, noise that
    grows with depth, and lost rays at grazing incidence. Colours are drawn per object independently
    of its class, so that shape alone tells the class. The room is rotated at random about z, which
    points up, with the floor at z = 0.

    Each cloud has ``coords``, ``colour`` and exact ``label`` and ``instance``; 20 to 70 thousand
    points. Reading a scene takes about 0.2 s; nothing is cached. Raises UserError for a count
    below 1.
    """
    if count < 1:
        raise UserError(f"count: found {count}, expected at least 1 scene")
    names = tuple(f"procedural-{seed}-{i}" for i in range(count))
    things = tuple(name for name in CLASSES if name not in BACKGROUND)
    return Scenes("procedural", names, partial(_scene, seed, config, names), CLASSES, things)


def unseen(seed: int, index: int) -> Cloud:
    """A room as those of :func:`procedural`, but none of them, whatever their seed."""
    rng = np.random.default_rng([seed, index, 4])
    return _room(rng, SceneConfig(), f"procedural-{seed}-{index}")


def _scene(seed: int, config: SceneConfig, names: tuple[str, ...], index: int) -> Cloud:
    return _room(np.random.default_rng([seed, index]), config, names[index])


def _room(rng: Generator, config: SceneConfig, name: str) -> Cloud:
    room = furnish(rng, config.room_width, config.room_height)
    light = rng.uniform(-0.4, 0.4, 3) * room.size
    light[2] = room.size[2] - 0.3
    shots = [
        shoot(rng, config.camera, room.solids, light, origin, view)
        for origin, view in walk(rng, room, config.poses)
    ]
    coords, depth, colour, solid = (
        np.concatenate([getattr(shot, part) for shot in shots])
        for part in ("coords", "depth", "colour", "solid")
    )
    nearest = np.argsort(depth, kind="stable")
    kept = nearest[voxelize(torch.from_numpy(coords[nearest]), config.voxel).first.numpy()]
    turn = about_z(rng.uniform(0, 2 * np.pi))
    return Cloud(
        # einsum sums in a fixed order, a BLAS product does not
        coords=np.einsum("ij,nj->ni", turn, coords[kept]).astype(np.float32),
        colour=colour[kept].astype(np.float32),
        label=room.solids.label[solid[kept]],
        instance=room.solids.instance[solid[kept]],
        name=name,
    )

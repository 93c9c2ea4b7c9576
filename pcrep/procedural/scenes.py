"""Scenes: a room, the images of a walk through it, and the cloud that they make together."""

from dataclasses import dataclass

import numpy as np
import torch

from pcrep.cloud import Cloud, Scenes
from pcrep.encoders.voxelize import voxelize
from pcrep.procedural.camera import Camera, shoot, walk
from pcrep.procedural.rooms import about_z, furnish
from pcrep.procedural.shapes import CLASSES
from tspcrep.common.errors import UserError

BACKGROUND = ("floor", "wall", "ceiling")
"""The classes that are no objects."""


@dataclass(frozen=True)
class SceneConfig:
    room_width: tuple[float, float] = (2.8, 4.8)
    """Least and greatest edge of the floor, metres."""
    room_height: tuple[float, float] = (2.4, 3.0)
    """Of the ceiling, metres; at least 2.4."""
    poses: int = 6
    """Images that are merged."""
    voxel: float = 0.02
    """Of all points in a cube of this edge, the one seen from the nearest stays; metres."""
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
    """``count`` labelled indoor scenes, each the same bit by bit for a (seed, index, config).

    A room of random size holds at least one of each class of ``CLASSES`` that finds a place, with
    things on its tables. A depth camera sees it from several places: what is hidden is missing,
    depth errs the more the farther it is, rays that graze a surface are often lost. Colours are
    drawn for each object, whatever its class: what a thing is, its form alone says. The room is
    turned at random about z, which points up. The floor is at z = 0.

    Each cloud has ``coords``, ``colour``, ``label`` and ``instance``, both exact; 20 to 70 thousand
    points. A scene takes about 0.2 s when it is read, and none is kept. Raises UserError for a
    count below 1.
    """
    if count < 1:
        raise UserError(f"count: found {count}, expected at least 1 scene")
    names = tuple(f"procedural-{seed}-{i}" for i in range(count))
    things = tuple(name for name in CLASSES if name not in BACKGROUND)
    return Scenes("procedural", names, lambda i: _scene(seed, i, config, names[i]), CLASSES, things)


def _scene(seed: int, index: int, config: SceneConfig, name: str) -> Cloud:
    rng = np.random.default_rng([seed, index])
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
        # einsum sums three terms in one order; a matrix product's order is BLAS's affair
        coords=np.einsum("ij,nj->ni", turn, coords[kept]).astype(np.float32),
        colour=colour[kept].astype(np.float32),
        label=room.solids.label[solid[kept]],
        instance=room.solids.instance[solid[kept]],
        name=name,
    )

"""Rooms of more kinds than those of ``procedural()``: shapes, furniture, clutter, sensors."""

from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator

from pcrep.cloud import Cloud
from pcrep.encoders.voxelize import voxelize
from pcrep.procedural import more_furniture
from pcrep.procedural.camera import Camera, shoot, walk
from pcrep.procedural.furniture import ON_A_TOP, ON_THE_FLOOR, Piece, slab
from pcrep.procedural.rays import NOTHING, first_hits
from pcrep.procedural.rooms import Builder, Room, about_z, hang, hang_boards, place, shell
from pcrep.procedural.shapes import Solids

_BELOW = np.array([[0.0, 0.0, -np.pi / 2, 100.0]])
"""Relief of a ground 100 m below the floor, out of sight."""


def room(seed: int, index: int) -> Cloud:
    """A furnished room, z up, floor at z = 0; bit-equal for the same arguments.

    Small and large, long and L-shaped, with pillars, partitions or a sloping ceiling, sparsely or
    densely furnished; seen by a depth camera or a laser scanner from random places, with
    occlusion, noise and a density that differ between scenes. ``label`` are indices of
    ``ROOM_CLASSES``. Colours are drawn independently of the class.
    """
    rng = np.random.default_rng([seed, index, 3])
    made = furnish_varied(rng)
    light = rng.uniform(-0.4, 0.4, 3) * made.size
    light[2] = made.size[2] - 0.3
    look = _by_laser if rng.random() < 0.35 else _by_camera
    coords, depth, colour, solid = look(rng, made, light)
    nearest = np.argsort(depth, kind="stable")
    size = float(np.exp(rng.uniform(np.log(0.012), np.log(0.04))))
    kept = nearest[voxelize(torch.from_numpy(coords[nearest]), size).first.numpy()]
    turn = about_z(rng.uniform(0, 2 * np.pi))
    return Cloud(
        np.einsum("ij,nj->ni", turn, coords[kept]).astype(np.float32),
        colour=colour[kept].astype(np.float32),
        label=made.solids.label[solid[kept]],
        instance=made.solids.instance[solid[kept]],
        name=f"rooms-{seed}-{index}",
    )


def furnish_varied(rng: Generator) -> Room:
    """The room without a sensor."""
    w = rng.uniform(2.2, 7.5)
    d = rng.uniform(2.2, 4.0) if rng.random() < 0.4 else rng.uniform(2.5, 7.5)
    h = rng.uniform(2.4, 3.4)
    room = Builder(rng, w, d)
    shell(room, w, d, h)
    _inner_walls(room, w, d, h)
    hang_boards(room, h)
    for _ in range(int(rng.integers(1, 4))):
        hang(room, more_furniture.door(rng), h, (0.0, 0.0))
    for _ in range(int(rng.integers(0, 4))):
        hang(room, more_furniture.window(rng), h, (0.7, 1.1))
    if rng.random() < 0.4:
        spot = rng.uniform(-0.5, 0.5, 2) * room.half
        room.put(more_furniture.rug(rng), np.array([*spot, 0.0]), rng.uniform(0, np.pi))
    kinds = (*ON_THE_FLOOR, *more_furniture.ON_THE_FLOOR_TOO)
    liked = rng.dirichlet(np.full(len(kinds), 0.6))  # a bedroom, an office, a store
    for k in rng.choice(len(kinds), rng.poisson(rng.uniform(0.3, 0.9) * w * d) + 2, p=liked):
        place(room, kinds[k](rng), _on_top)
    for _ in range(rng.poisson(rng.uniform(0, 1.2) * w * d)):  # what lies about
        place(room, ON_A_TOP[rng.integers(2)](rng))
    return Room(room.solids(), np.array([w, d, h]), np.array(room.things).reshape(-1, 3))


def _on_top(rng: Generator) -> Piece:
    return (more_furniture.screen if rng.random() < 0.2 else ON_A_TOP[rng.integers(3)])(rng)


def _inner_walls(room: Builder, w: float, d: float, h: float) -> None:
    """Perhaps pillars, a partition from one wall, a beam, or a ceiling that slopes along x."""
    rng = room.rng
    for _ in range(rng.poisson(0.4)):
        x, y = rng.uniform(-0.7, 0.7, 2) * room.half
        side = rng.uniform(0.12, 0.3)
        _wall(room, x - side, x + side, y - side, y + side, 0.0, h)
    if rng.random() < 0.3 and w > 4:
        x, long = rng.uniform(-0.25, 0.25) * w, rng.uniform(0.3, 0.6) * d
        top = h if rng.random() < 0.5 else rng.uniform(1.2, 1.9)
        _wall(room, x - 0.05, x + 0.05, -d / 2, -d / 2 + long, 0.0, top)
    if rng.random() < 0.3:
        x = rng.uniform(-0.4, 0.4) * w
        beam = slab(x - 0.12, x + 0.12, -d / 2, d / 2, h - rng.uniform(0.15, 0.3), h)
        room.put(Piece("ceiling", (beam,), 0, 0), np.zeros(3), 0)
    if rng.random() < 0.2:
        tilt, side = rng.uniform(0.3, 0.7), rng.choice([-1.0, 1.0])
        middle = (0.0, d / 2, h - 0.2 * d * np.tan(tilt) + 0.05)
        slope = replace(
            slab(-w / 2, w / 2, -0.8 * d, 0.8 * d, -0.05, 0.05), centre=middle, lean=-tilt
        )
        room.put(Piece("ceiling", (slope,), 0, 0), np.zeros(3), 0.0 if side > 0 else np.pi)


def _wall(room: Builder, x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> None:
    room.put(Piece("wall", (slab(x0, x1, y0, y1, z0, z1),), 0, 0), np.zeros(3), 0)
    within = (room.cells > (x0 - 0.1, y0 - 0.1)) & (room.cells < (x1 + 0.1, y1 + 0.1))
    room.taken |= within.all(-1)


def _by_camera(rng: Generator, made: Room, light: np.ndarray) -> tuple[np.ndarray, ...]:
    """Coordinates, depth, colour and solid of the pixels of a few images."""
    fine = rng.uniform(0.8, 1.6)
    camera = Camera(
        width=round(120 * fine),
        height=round(90 * fine),
        field_of_view=rng.uniform(50, 90),
        noise=float(np.exp(rng.uniform(np.log(0.0004), np.log(0.004)))),
        dropout=rng.uniform(0, 0.1),
    )
    poses = walk(rng, made, int(rng.integers(4, 10)))
    shots = [shoot(rng, camera, made.solids, light, origin, view) for origin, view in poses]
    return tuple(
        np.concatenate([getattr(shot, part) for shot in shots])
        for part in ("coords", "depth", "colour", "solid")
    )


def _by_laser(rng: Generator, made: Room, light: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same of one to three turns of a scanner on a tripod, which sees all but straight down."""
    solids, count = made.solids, int(rng.integers(1, 4))
    step = np.radians(rng.uniform(0.8, 1.5))
    up = np.arange(np.radians(-60), np.radians(90), step)
    around = np.arange(0, 2 * np.pi, step)
    a, e = (part.ravel() for part in np.meshgrid(around, up, indexing="ij"))
    ray = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 1)
    origins = [origin for origin, _ in walk(rng, made, count)]
    origin, ray = np.repeat(origins, len(ray), 0), np.tile(ray, (count, 1))
    t, solid, normal = first_hits(
        origin, ray, 30.0, _BELOW, solids.kind, solids.size, solids.centre, solids.axes,
        np.zeros(len(solids)), 0,
    )  # fmt: skip
    kept = (solid != NOTHING) & (t > 0.3) & (rng.random(len(t)) > 0.02)
    origin, ray, t, solid, normal = origin[kept], ray[kept], t[kept], solid[kept], normal[kept]
    error = np.clip(rng.standard_normal(len(t)), -3, 3) * rng.uniform(0.001, 0.005)
    coords = origin + (t + error)[:, None] * ray
    colour = _shaded(rng, solids, solid, coords, normal, light)
    return coords, t, colour, solid


def _shaded(
    rng: Generator,
    solids: Solids,
    solid: np.ndarray,
    coords: np.ndarray,
    normal: np.ndarray,
    light: np.ndarray,
) -> np.ndarray:
    towards = light - coords
    lit = (towards * normal).sum(1) / np.linalg.norm(towards, axis=1)
    shade = rng.uniform(0.7, 1.15) * (0.55 + 0.45 * np.maximum(lit, 0))
    colour = solids.colour[solid] * shade[:, None] + rng.normal(0, 0.03, coords.shape)
    return colour.clip(0, 1)

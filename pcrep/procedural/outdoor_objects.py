"""What stands outdoors, of random shape, each in its own coordinates.

The origin is on the ground below the centre, z is up. Sizes are in metres. What stands on the
ground reaches ``SUNK`` below it, so that there is no gap on a slope.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural.roofs import GABLE, HIP, SHED
from pcrep.procedural.shapes import BOX, ELLIPSOID, FRUSTUM

SUNK = 1.0
"""How far objects reach into the ground, metres."""


@dataclass(frozen=True)
class Solid:
    """A solid of an object. colour: in 0 .. 1. shine: share of a laser pulse that comes back.
    turn: about z; lean: about x, before it; radians. leafy: see ``rays.first_hits``."""

    kind: int
    size: tuple[float, float, float]
    centre: tuple[float, float, float]
    colour: tuple[float, float, float]
    shine: float = 0.5
    turn: float = 0.0
    lean: float = 0.0
    leafy: float = 0.0


@dataclass(frozen=True)
class Thing:
    """label: class. half: half width and half depth of the footprint. solids: its parts."""

    label: str
    half: tuple[float, float]
    solids: tuple[Solid, ...]


def _box(x0, x1, y0, y1, z0, z1, colour, **more) -> Solid:
    size = ((x1 - x0) / 2, (y1 - y0) / 2, (z1 - z0) / 2)
    return Solid(BOX, size, ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), colour, **more)


def _post(x, y, z0, z1, r0, r1, colour, **more) -> Solid:
    size = (r0, r1, (z1 - z0) / 2)
    return Solid(FRUSTUM, size, (x, y, (z0 + z1) / 2), colour, **more)


def _paint(rng: Generator, low=(0.1, 0.1, 0.1), high=(0.9, 0.9, 0.9)) -> tuple:
    return tuple(rng.uniform(low, high).tolist())


def building(rng: Generator) -> Thing:
    """A house with a roof of one of four kinds, and perhaps a wing, a garage or a chimney."""
    a, b = sorted(rng.uniform(3.0, 7.0, 2))
    solids = _block(rng, 0.0, 0.0, a, b, rng.uniform(2.6, 9.0))
    half = [a, b]
    if rng.random() < 0.35:  # a garage or a wing beside it
        c, e = rng.uniform(1.4, 2.5), rng.uniform(2.0, b)
        y = rng.uniform(-1, 1) * (b - e)
        wall = solids[0].size[2] * 2 - SUNK
        solids += _block(rng, a + c, y, c, e, rng.uniform(2.2, wall))
        half[0] = a + 2 * c
    if rng.random() < 0.4:
        x, y = rng.uniform(-0.5, 0.5) * a, rng.uniform(-0.8, 0.8) * b
        top = solids[0].size[2] * 2 - SUNK + 0.45 * a + 1.0
        solids.append(_box(x - 0.3, x + 0.3, y - 0.3, y + 0.3, 2.0, top, _paint(rng)))
    return Thing("building", (half[0] + 0.5, half[1] + 0.5), tuple(solids))


def _block(rng: Generator, x: float, y: float, a: float, b: float, wall: float) -> list[Solid]:
    """Walls to a height, and a flat, gable, hip or shed roof that stands over them."""
    colour, shine = _paint(rng, (0.5, 0.45, 0.4), (0.95, 0.92, 0.9)), rng.uniform(0.3, 0.7)
    roof = _paint(rng, (0.3, 0.15, 0.1), (0.75, 0.5, 0.45))
    solids = [_box(x - a, x + a, y - b, y + b, -SUNK, wall, colour, shine=shine)]
    over, kind = rng.uniform(0.0, 0.5), int(rng.integers(4))
    if kind == 3:  # flat, with a parapet or an edge
        over, tall = 0.3 * over, rng.uniform(0.1, 0.6)
        edge = (x - a - over, x + a + over, y - b - over, y + b + over)
        return [*solids, _box(*edge, wall, wall + tall, roof, shine=0.3)]
    w, d, turn = a + over, b + over, 0.0
    if w > d:  # a ridge along the longer side
        w, d, turn = d, w, np.pi / 2
    pitch = rng.uniform(0.1, 0.35) if kind == 2 else rng.uniform(0.35, 1.2)
    size = (w, d, w * pitch)
    return [*solids, Solid((GABLE, HIP, SHED)[kind], size, (x, y, wall), roof, 0.35, turn)]


def tree(rng: Generator) -> Thing:
    """A broad-leaved tree of several round clumps, or a conifer."""
    trunk, bark = rng.uniform(0.1, 0.3), _paint(rng, (0.2, 0.15, 0.1), (0.45, 0.35, 0.3))
    leaves = _paint(rng, (0.1, 0.25, 0.05), (0.55, 0.6, 0.25))
    leafy, shine = rng.uniform(0.3, 0.75), rng.uniform(0.3, 0.6)
    if rng.random() < 0.3:
        height, r = rng.uniform(5, 16), rng.uniform(1.0, 2.2)
        low = rng.uniform(0.3, 1.5)
        crown = [_post(0, 0, low, height, r, 0.05, leaves, shine=shine, leafy=leafy)]
        top = low + 0.3
    else:
        top, r = rng.uniform(1.8, 4.5), rng.uniform(1.0, 2.8)
        tall = r * rng.uniform(0.7, 1.4)
        crown = []
        for _ in range(int(rng.integers(4, 9))):
            away = rng.normal(size=3)
            away *= rng.uniform(0.2, 0.6) / np.linalg.norm(away)
            size = tuple((np.array([r, r, tall]) * rng.uniform(0.4, 0.65)).tolist())
            middle = away * (r, r, tall) + (0, 0, top + tall)
            clump = Solid(ELLIPSOID, size, tuple(middle.tolist()), leaves, shine, leafy=leafy)
            crown.append(clump)
    solids = [_post(0, 0, -SUNK, top + 0.5, trunk, 0.7 * trunk, bark), *crown]
    return Thing("tree", (r, r), tuple(solids))


def hedge(rng: Generator, length: float) -> Thing:
    """A hedge along x."""
    thick, height = rng.uniform(0.25, 0.6), rng.uniform(0.8, 2.2)
    leaves = _paint(rng, (0.1, 0.25, 0.05), (0.4, 0.5, 0.2))
    x = length / 2
    solid = _box(-x, x, -thick, thick, -SUNK, height, leaves, shine=0.45, leafy=0.15)
    return Thing("hedge", (x, thick), (solid,))


def car(rng: Generator) -> Thing:
    """A car or a van along x, on four wheels."""
    long, wide = rng.uniform(1.8, 2.5), rng.uniform(0.82, 0.98)
    sill, waist, top = rng.uniform(0.2, 0.35), rng.uniform(0.8, 1.0), rng.uniform(1.4, 1.6)
    paint, shine = _paint(rng, (0.05, 0.05, 0.05), (0.95, 0.95, 0.95)), rng.uniform(0.1, 0.9)
    solids = [_box(-long, long, -wide, wide, sill, waist, paint, shine=shine)]
    if rng.random() < 0.25:  # a van
        solids += [_box(-long, 0.55 * long, -wide, wide, waist, rng.uniform(1.8, 2.4), paint)]
    else:
        back, front = rng.uniform(-0.95, -0.6) * long, rng.uniform(0.2, 0.5) * long
        cabin, glass = 0.85 * wide, (0.1, 0.1, 0.12)
        solids += [_box(back, front, -cabin, cabin, waist, top, glass, shine=0.15)]
    for x in (-0.6 * long, 0.6 * long):
        for y in (-wide + 0.12, wide - 0.12):
            wheel = (0.32, 0.32, 0.11)
            lying = {"lean": np.pi / 2, "shine": 0.1}
            solids.append(Solid(FRUSTUM, wheel, (x, y, 0.32), (0.05, 0.05, 0.05), **lying))
    return Thing("car", (long, wide), tuple(solids))


def pole(rng: Generator) -> Thing:
    """A street lamp with an arm towards +y, a traffic sign or a mast."""
    grey, r = _paint(rng, (0.3, 0.3, 0.3), (0.7, 0.7, 0.7)), rng.uniform(0.05, 0.12)
    kind = rng.random()
    height = rng.uniform(2.2, 3.2) if kind < 0.3 else rng.uniform(4.5, 9.0)
    solids = [_post(0, 0, -SUNK, height, r, 0.7 * r, grey)]
    if kind < 0.3:
        side = rng.uniform(0.25, 0.4)
        face = _paint(rng)
        solids += [_box(-side, side, r, r + 0.03, height - 2 * side, height, face, shine=0.95)]
    elif kind < 0.75:
        arm = rng.uniform(0.6, 1.8)
        solids += [_box(-0.05, 0.05, 0, arm, height - 0.12, height, grey)]
        solids += [_box(-0.15, 0.15, arm - 0.5, arm, height - 0.2, height - 0.05, grey)]
    return Thing("pole", (0.15, 0.15), tuple(solids))

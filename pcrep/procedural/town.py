"""Lay out a stretch of a street: houses, gardens, trees, cars and poles on ground with relief."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural import outdoor_objects as objects
from pcrep.procedural.outdoor_objects import Thing
from pcrep.procedural.rays import relief_at
from pcrep.procedural.rooms import about_x, about_z
from pcrep.procedural.shapes import Solids

OUTDOOR_CLASSES = ("ground", "building", "tree", "hedge", "car", "pole")
"""Classes of outdoor scenes; all but the ground are objects."""


@dataclass(frozen=True, eq=False)
class Town:
    """A street along x through the origin, and what stands beside it.

    solids : all but the ground; labels are indices of ``OUTDOOR_CLASSES``, instances from 1 on.
    leafy, shine : (P,) of each solid, see ``outdoor_objects.Solid``.
    waves : (K, 4), the ground, see :func:`pcrep.procedural.rays.relief`.
    road, walk : half width of the road, and that including its pavements, metres.
    half : half length of the street and of the ground beside it, metres.
    """

    solids: Solids
    leafy: np.ndarray
    shine: np.ndarray
    waves: np.ndarray
    road: float
    walk: float
    half: float


class _Builder:
    """A town under construction: its solids, and footprints (x, y, half x, half y) of things."""

    def __init__(self, rng: Generator, waves: np.ndarray):
        self.rng, self.waves = rng, waves
        self.rows: list[tuple] = []
        self.taken: list[tuple[float, float, float, float]] = []
        self.count = 0

    def put(self, thing: Thing, x: float, y: float, quarter: int, gap: float = 0.3) -> bool:
        """Add a thing, turned by quarters, if nothing stands within ``gap``; whether it was."""
        hx, hy = thing.half if quarter % 2 == 0 else thing.half[::-1]
        for ox, oy, ohx, ohy in self.taken:
            if abs(x - ox) < hx + ohx + gap and abs(y - oy) < hy + ohy + gap:
                return False
        self.taken.append((x, y, hx, hy))
        self.count += 1
        turn = about_z(quarter * np.pi / 2)
        at = np.array([x, y, relief_at(self.waves, np.array([[x, y]]))[0]])
        for s in thing.solids:
            axes = turn @ about_z(s.turn) @ about_x(s.lean)
            centre = at + turn @ np.array(s.centre)
            label = OUTDOOR_CLASSES.index(thing.label)
            place = (s.kind, s.size, centre, axes, label, self.count)
            self.rows.append((*place, s.colour, s.leafy, s.shine))
        return True

    def town(self, road: float, walk: float, half: float) -> Town:
        kind, size, centre, axes, label, instance, colour, leafy, shine = (
            np.array(column) for column in zip(*self.rows, strict=True)
        )
        wave = self.rng.normal(0, 5, (len(kind), 3))
        solids = Solids(kind, size.astype(float), centre, axes, label, instance, colour, wave)
        return Town(solids, leafy.astype(float), shine, self.waves, road, walk, half)


def lay_out(rng: Generator, half: float) -> Town:
    """A random town; ``half`` : half length of its street, metres."""
    road = rng.uniform(2.8, 5.5)
    walk = road + rng.uniform(1.2, 3.0)
    town = _Builder(rng, _waves(rng))
    for side in (-1, 1):
        _along_the_street(town, side, road, walk, half)
        x = -half
        while x < half:
            width = rng.uniform(14, 26)
            _parcel(town, side, x, min(x + width, half), walk, half)
            x += width
    return town.town(road, walk, half)


def _waves(rng: Generator) -> np.ndarray:
    """Relief (3, 4): a slope of at most 6 % from each of three waves of 40 to 200 m."""
    length, angle = rng.uniform(40, 200, 3), rng.uniform(0, 2 * np.pi, 3)
    number = 2 * np.pi / length
    steep = rng.uniform(0, 0.06, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    return np.stack([number * np.cos(angle), number * np.sin(angle), phase, steep / number], 1)


def _along_the_street(town: _Builder, side: int, road: float, walk: float, half: float) -> None:
    """Poles and trees on the pavement, and cars that park or drive."""
    rng, inward = town.rng, 2 if side > 0 else 0
    x, pitch = -half + rng.uniform(0, 10), rng.uniform(12, 28)
    with_trees = rng.random() < 0.4
    while x < half:
        town.put(objects.pole(rng), x, side * (road + 0.4), inward)
        if with_trees:
            town.put(objects.tree(rng), x + pitch / 2, side * (walk + 0.5), 0)
        x += pitch
    x, full = -half + 3, rng.uniform(0, 0.8)
    while x < half - 3:
        if rng.random() < full:
            town.put(objects.car(rng), x, side * (road - 1.1), 0 if side < 0 else 2)
        x += rng.uniform(5.5, 7.5)


def _parcel(town: _Builder, side: int, start: float, end: float, walk: float, half: float) -> None:
    """A house with a garden, or a green, from ``start`` to ``end`` along the street."""
    rng, middle, wide = town.rng, (start + end) / 2, end - start
    if rng.random() < 0.8 and wide > 12:
        for back in (rng.uniform(5, 9), rng.uniform(24, 30)):  # a second row behind
            quarter = int(rng.integers(4))
            house = objects.building(rng)
            y = walk + back + house.half[quarter % 2 == 0]
            if y + 6 < half:
                town.put(house, middle + rng.uniform(-1, 1), side * y, quarter, 1.0)
        if rng.random() < 0.5:
            long = wide * rng.uniform(0.4, 0.8)
            town.put(objects.hedge(rng, long), start + long / 2 + 0.5, side * (walk + 0.8), 0)
        if rng.random() < 0.5:
            town.put(objects.car(rng), end - 1.6, side * (walk + 4), 1)
    for _ in range(rng.poisson(wide * (half - walk) / 70)):
        x, y = rng.uniform(start, end), rng.uniform(walk + 1, half)
        town.put(objects.tree(rng), x, side * y, 0)

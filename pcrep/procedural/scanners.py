"""Laser scanners outdoors: pulses of an airborne one and of a rotating one, and their echoes."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural.rays import GROUND, NOTHING, first_hits, relief_at
from pcrep.procedural.town import OUTDOOR_CLASSES, Town
from tspcrep.common.errors import UserError

_DEPTH = 0.12
"""Mean depth to which a pulse enters leaves, metres; three times that at most."""


@dataclass(frozen=True)
class AirborneConfig:
    density: tuple[float, float] = (4.0, 25.0)
    """Smallest and largest number of pulses per square metre of level ground."""
    half: float = 25.0
    """Half edge of the tile, metres."""
    altitude: tuple[float, float] = (400.0, 1500.0)
    """Lowest and highest flight over the ground, metres."""
    angle: float = 25.0
    """Largest angle of a flight line from the vertical, seen from the tile, degrees."""
    noise: float = 0.02
    """Standard deviation of a range, metres; cut at three of them."""

    def __post_init__(self) -> None:
        low, high = self.density
        if not (0 < low <= high and self.half >= 10 and 0 < self.altitude[0] <= self.altitude[1]):
            raise UserError(
                f"density {self.density}, half {self.half}, altitude {self.altitude}: expected two "
                "numbers in order above 0, at least 10 m, two numbers in order above 0"
            )


@dataclass(frozen=True)
class RotatingConfig:
    beams: tuple[int, ...] = (16, 32, 64)
    """Numbers of beams, one of which is drawn."""
    lowest: float = -25.0
    """Elevation of the lowest beam, degrees; the highest looks up by 2 to 15."""
    azimuths: int = 1200
    """Pulses of each beam in a turn."""
    turns: tuple[int, int] = (1, 4)
    """Smallest and largest number of turns, from places along the street."""
    height: tuple[float, float] = (1.6, 2.3)
    """Lowest and highest scanner over the road, metres."""
    most: float = 50.0
    """Largest range, metres."""
    noise: float = 0.015
    """Standard deviation of a range, metres; cut at three of them."""

    def __post_init__(self) -> None:
        if not self.beams or min(self.beams) < 2 or self.azimuths < 8:
            raise UserError(
                f"beams {self.beams}, azimuths {self.azimuths}: expected at least 2 and at least 8"
            )
        if not 1 <= self.turns[0] <= self.turns[1]:
            raise UserError(f"turns: found {self.turns}, expected 1 <= least <= greatest")


@dataclass(frozen=True, eq=False)
class Pulses:
    """N pulses: origin and direction (N, 3), metres and of unit length; most, the longest range."""

    origin: np.ndarray
    direction: np.ndarray
    most: float


@dataclass(frozen=True, eq=False)
class Echoes:
    """M echoes: coords (M, 3), metres; solid (M,), GROUND for the ground; normal (M, 3); cosine
    (M,) of the incidence; inside (M,), metres from the surface into leaves; error (M,) of the
    range, metres; pulse (M,), the row of the pulse."""

    coords: np.ndarray
    solid: np.ndarray
    normal: np.ndarray
    cosine: np.ndarray
    inside: np.ndarray
    error: np.ndarray
    pulse: np.ndarray


def airborne(rng: Generator, config: AirborneConfig) -> Pulses:
    """One or two flight lines over a square tile, each with one of three scan patterns.

    Parallel lines, of a rotating polygon; a zigzag, of an oscillating mirror; arcs, of a Palmer
    scanner. Line and point spacing differ by up to a factor of three; together the pulses of a
    flight line have the drawn density on level ground.
    """
    density, angle = rng.uniform(*config.density), rng.uniform(0, 2 * np.pi)
    lines = int(rng.integers(1, 3))
    flights = [_flight(rng, config, density / lines, angle + k * np.pi / 2) for k in range(lines)]
    origin, aim = (np.concatenate(part) for part in zip(*flights, strict=True))
    away = aim - origin
    far = np.linalg.norm(away, axis=1, keepdims=True)
    return Pulses(origin, away / far, 2 * config.altitude[1])


def _flight(
    rng: Generator, config: AirborneConfig, density: float, heading: float
) -> tuple[np.ndarray, np.ndarray]:
    """Origins and places on level ground (N, 3) of the pulses of one flight line."""
    reach = config.half * 1.5  # the tile in any direction, and what high roofs shade
    between = rng.uniform(0.6, 1.7) / np.sqrt(density)
    within = 1 / (density * between)
    line = np.arange(-reach, reach, between)
    point = np.arange(-reach, reach, within)
    u, v = (part.ravel() for part in np.meshgrid(line, point, indexing="ij"))
    pattern = rng.integers(3)
    if pattern == 1:  # every other line comes back, while the aircraft flies on
        odd = np.repeat(np.arange(len(line)) % 2 == 1, len(point))
        v = np.where(odd, -v, v)
        u = u + between * (np.where(odd, -v, v) + reach) / (2 * reach)
    high = rng.uniform(*config.altitude)
    off = high * np.tan(np.radians(rng.uniform(-config.angle, config.angle)))
    place = np.stack([u, np.full_like(u, off), np.full_like(u, high)], 1)
    if pattern == 2:  # the mirror's circle is around a place behind what it sees
        circle = high * np.tan(np.radians(rng.uniform(15, 20)))
        across = v - rng.uniform(-0.3, 0.3) * circle
        ahead = np.sqrt(np.maximum(circle**2 - across**2, (0.2 * circle) ** 2))
        u = u + ahead - ahead.mean()
        place[:, 0] -= ahead.mean()
    shake = 0.1 * np.array([between, within])
    u, v = (x + rng.normal(0, s, len(x)) for x, s in zip((u, v), shake, strict=True))
    c, s = np.cos(heading), np.sin(heading)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    aim = np.stack([u, v, np.zeros_like(u)], 1) @ turn.T
    near = (np.abs(aim[:, :2]) < config.half * 1.2).all(1)
    return (place @ turn.T)[near], aim[near]


def rotating(rng: Generator, config: RotatingConfig, town: Town) -> Pulses:
    """Turns of a scanner on a car that drives along the street, on the right or on the left."""
    beams, turns = int(rng.choice(config.beams)), int(rng.integers(*config.turns, endpoint=True))
    up = np.radians(np.linspace(config.lowest, rng.uniform(2, 15), beams))
    up = up + rng.normal(0, np.radians(0.05), beams)  # as mounted
    lane = rng.choice([-1, 1]) * rng.uniform(0, 1) * max(town.road - 3.4, 0)  # beside parked cars
    start, step = rng.uniform(-12, 2), rng.uniform(2, 6)
    height = rng.uniform(*config.height)
    origins, directions = [], []
    for k in range(turns):
        place = np.array([start + k * step, lane, 0.0])
        place[2] = relief_at(town.waves, place[None])[0] + height
        round_ = (
            rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(config.azimuths) / config.azimuths
        )
        a, e = (part.ravel() for part in np.meshgrid(round_, up, indexing="ij"))
        ray = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 1)
        origins.append(np.broadcast_to(place, ray.shape))
        directions.append(ray)
    return Pulses(np.concatenate(origins), np.concatenate(directions), config.most)


def measure(rng: Generator, town: Town, pulses: Pulses, noise: float) -> Echoes:
    """The first echo of each pulse that has one; 2 % are lost, and more at grazing incidence.

    In leaves an echo comes from some depth, exponentially distributed. noise : metres.
    """
    s = town.solids
    t, which, normal = first_hits(
        pulses.origin, pulses.direction, pulses.most, town.waves,
        s.kind, s.size, s.centre, s.axes, town.leafy, int(rng.integers(2**62)),
    )  # fmt: skip
    cosine = -(normal * pulses.direction).sum(1)
    kept = (which != NOTHING) & (rng.random(len(t)) > 0.02)
    kept &= rng.random(len(t)) < cosine / 0.05
    rows = np.flatnonzero(kept)
    t, which = t[rows], which[rows]
    error = noise * np.clip(rng.standard_normal(len(t)), -3, 3)
    deep = np.minimum(rng.exponential(_DEPTH, len(t)), 3 * _DEPTH)
    deep = np.where((which != GROUND) & (town.leafy[which] > 0), deep, 0.0)
    coords = pulses.origin[rows] + (t + deep + error)[:, None] * pulses.direction[rows]
    return Echoes(coords, which, normal[rows], cosine[rows], deep, error, rows)


def labels(town: Town, solid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class and instance (M,) int64 of the solids of echoes; the ground is instance 0."""
    ground = solid == GROUND
    label = np.where(ground, OUTDOOR_CLASSES.index("ground"), town.solids.label[solid])
    return label, np.where(ground, 0, town.solids.instance[solid])

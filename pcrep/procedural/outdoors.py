"""Outdoor scenes: a tile seen from the air, and a street seen by a rotating scanner on a car."""

import numpy as np
from numpy.random import Generator

from pcrep.cloud import Cloud
from pcrep.procedural.rays import GROUND
from pcrep.procedural.rooms import about_z
from pcrep.procedural.scanners import (
    AirborneConfig,
    Echoes,
    RotatingConfig,
    airborne,
    labels,
    measure,
    rotating,
)
from pcrep.procedural.town import Town, lay_out

_AIRBORNE, _ROTATING = AirborneConfig(), RotatingConfig()


def aerial(seed: int, index: int, config: AirborneConfig = _AIRBORNE) -> Cloud:
    """A square tile seen by an airborne laser scanner, z up; bit-equal for the same arguments.

    With ``coords``, ``colour`` and ``intensity`` in 0 .. 1, exact ``label`` (indices of
    ``OUTDOOR_CLASSES``) and ``instance``. What stands outside the tile shades it, and is cut off.
    """
    rng = np.random.default_rng([seed, index, 1])
    town = lay_out(rng, config.half + 8)
    pulses = airborne(rng, config)
    echoes = measure(rng, town, pulses, config.noise)
    inside = (np.abs(echoes.coords[:, :2]) <= config.half).all(1)
    return _cloud(rng, town, echoes, inside, f"aerial-{seed}-{index}")


def street(seed: int, index: int, config: RotatingConfig = _ROTATING) -> Cloud:
    """A street seen by a rotating scanner; otherwise as :func:`aerial`."""
    rng = np.random.default_rng([seed, index, 2])
    town = lay_out(rng, config.most + 10)
    echoes = measure(rng, town, rotating(rng, config, town), config.noise)
    return _cloud(rng, town, echoes, np.ones(len(echoes.solid), bool), f"street-{seed}-{index}")


def _cloud(rng: Generator, town: Town, echoes: Echoes, kept: np.ndarray, name: str) -> Cloud:
    """The echoes that are kept, turned at random about z, with the origin at the lowest."""
    colour, intensity = _looks(rng, town, echoes)
    label, instance = labels(town, echoes.solid)
    turn = about_z(rng.uniform(0, 2 * np.pi))
    # einsum sums in a fixed order, a BLAS product does not
    coords = np.einsum("ij,nj->ni", turn, echoes.coords[kept])
    return Cloud(
        (coords - [0, 0, coords[:, 2].min()]).astype(np.float32),
        colour=colour[kept].astype(np.float32),
        intensity=intensity[kept].astype(np.float32),
        label=label[kept],
        instance=instance[kept],
        name=name,
    )


def _looks(rng: Generator, town: Town, echoes: Echoes) -> tuple[np.ndarray, np.ndarray]:
    """Colour (M, 3) in sunlight and intensity (M,) of a Lambertian surface, both in 0 .. 1."""
    ground, solids = echoes.solid == GROUND, town.solids
    away = np.abs(echoes.coords[:, 1])
    zone = np.digitize(away, [town.road, town.walk])
    road, walk = rng.uniform((0.2,) * 3, (0.45,) * 3), rng.uniform(0.4, 0.7) * np.ones(3)
    soil = np.stack([road, walk, rng.uniform((0.2, 0.3, 0.1), (0.5, 0.55, 0.3))])
    colour = np.where(ground[:, None], soil[zone], solids.colour[echoes.solid])
    shine = np.where(ground, rng.uniform((0.1, 0.2, 0.4), (0.3, 0.5, 0.6))[zone],
                     town.shine[echoes.solid])  # fmt: skip
    angle, high = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
    sun = np.array([np.cos(high) * np.cos(angle), np.cos(high) * np.sin(angle), np.sin(high)])
    lit = 0.55 + 0.45 * np.maximum((echoes.normal * sun).sum(1), 0)
    ripple = 1 + 0.1 * np.sin((solids.wave[echoes.solid] * echoes.coords).sum(1)) * ~ground
    colour = colour * (lit * ripple)[:, None] * rng.uniform(0.8, 1.2)
    colour += rng.normal(0, 0.03, colour.shape)
    intensity = shine * np.maximum(echoes.cosine, 0) * rng.normal(1, 0.1, len(shine))
    return colour.clip(0, 1), intensity.clip(0, 1)

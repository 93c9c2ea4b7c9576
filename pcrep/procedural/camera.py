"""A depth camera that walks through a room: where it stands, and what it measures."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural.rooms import Room
from pcrep.procedural.shapes import FRUSTUM, Solids, cast

_CLEAR = 0.15
_TRIES = 20
"""Metres from a camera to the nearest solid at least, and how often a place is looked for."""


@dataclass(frozen=True)
class Camera:
    """width, height: pixels. field_of_view: of the width, degrees. noise: standard deviation of a
    depth z is noise * z^2, as triangulation has it; cut at 3 of them. dropout: share of pixels
    without depth; more of them where a ray meets a surface at a cosine below ``grazing``.
    nearest: depths below it are not measured, metres."""

    width: int = 128
    height: int = 96
    field_of_view: float = 65.0
    noise: float = 0.0012
    dropout: float = 0.02
    grazing: float = 0.25
    nearest: float = 0.4


@dataclass(frozen=True, eq=False)
class _Shot:
    """The N pixels of an image that have depth: coords (N, 3) in the room, depth (N,), colour
    (N, 3) in 0 .. 1, solid (N,) the one that is seen."""

    coords: np.ndarray
    depth: np.ndarray
    colour: np.ndarray
    solid: np.ndarray


def walk(rng: Generator, room: Room, poses: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses (origin (3,), view (3, 3)) on a way around the room's middle, each looking at a thing
    in the room, at least a metre away where there is one. None stands in a solid."""
    start, sense = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    found = []
    for k in range(poses):
        angle = start + sense * 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / poses
        origin = _free_place(rng, room, angle)
        targets = room.things if len(room.things) else np.zeros((1, 3))
        far = np.hypot(*(targets - origin)[:, :2].T) > 1
        targets = targets[far] if far.any() else np.zeros((1, 3))
        target = targets[rng.integers(len(targets))] + rng.normal(0, 0.2, 3)
        found.append((origin, _look(origin, target, rng.normal(0, 0.05))))
    return found


def _free_place(rng: Generator, room: Room, angle: float) -> np.ndarray:
    """At the height of eyes and clear of all solids; else in the middle, below the ceiling."""
    solids = room.solids
    radius = solids.size[:, :2].max(1)
    round_box = np.stack([radius, radius, solids.size[:, 2]], 1)
    half = np.where(solids.kind[:, None] == FRUSTUM, round_box, solids.size)
    for out in rng.uniform(0.2, 0.9, _TRIES):
        place = out * room.size[:2] / 2 * (np.cos(angle), np.sin(angle))
        origin = np.array([*place, rng.uniform(1.1, 1.9)])
        own = np.einsum("pji,pj->pi", solids.axes, origin - solids.centre)
        if (np.linalg.norm(np.maximum(np.abs(own) - half, 0), axis=1) > _CLEAR).all():
            return origin
    return np.array([0, 0, room.size[2] - 0.15])  # higher than any furniture


def _look(origin: np.ndarray, target: np.ndarray, roll: float) -> np.ndarray:
    """Right, down and forward axes as rows."""
    forward = (target - origin) / np.linalg.norm(target - origin)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])


def shoot(
    rng: Generator,
    camera: Camera,
    solids: Solids,
    light: np.ndarray,
    origin: np.ndarray,
    view: np.ndarray,
) -> _Shot:
    """One image: exact depths, then what a sensor makes of them. light (3,): where it hangs."""
    width, height = camera.width, camera.height
    focal = 0.5 * width / np.tan(np.radians(camera.field_of_view) / 2)
    shift = rng.uniform(-0.5, 0.5, 2)
    depth, which, normal = cast(
        origin, view, focal, width, height, shift,
        solids.kind, solids.size, solids.centre, solids.axes,
    )  # fmt: skip
    x = (np.arange(width) + 0.5 + shift[0] - 0.5 * width) / focal
    y = (np.arange(height) + 0.5 + shift[1] - 0.5 * height) / focal
    rays = x[None, :, None] * view[0] + y[:, None, None] * view[1] + view[2]
    cosine = -(rays * normal).sum(2) / np.linalg.norm(rays, axis=2)
    keep = rng.random((height, width)) < cosine / camera.grazing
    keep &= rng.random((height, width)) > camera.dropout
    keep &= (which >= 0) & (depth > camera.nearest)
    error = np.clip(rng.standard_normal((height, width)), -3, 3)[keep]
    rays, depth, normal, which = rays[keep], depth[keep], normal[keep], which[keep]
    measured = depth + camera.noise * depth**2 * error
    coords = origin + measured[:, None] * rays
    towards = light - coords
    lit = (towards * normal).sum(1) / np.linalg.norm(towards, axis=1)
    ripple = 1 + 0.12 * np.sin((solids.wave[which] * coords).sum(1))
    shade = rng.uniform(0.7, 1.15) * (0.55 + 0.45 * np.maximum(lit, 0)) * ripple
    colour = solids.colour[which] * shade[:, None] + rng.normal(0, 0.03, (len(which), 3))
    return _Shot(coords, measured, colour.clip(0, 1), which)

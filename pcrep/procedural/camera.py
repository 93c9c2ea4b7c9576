"""A simulated depth camera: its poses in a room, and its noisy images."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural.rooms import Room
from pcrep.procedural.shapes import FRUSTUM, Solids, cast

_CLEAR = 0.15
"""Smallest distance from a camera to a solid, metres."""
_TRIES = 20
"""Attempts at finding a free place for a camera."""


@dataclass(frozen=True)
class Camera:
    """Resolution and noise of a depth camera."""

    width: int = 128
    """Image width, pixels."""
    height: int = 96
    """Image height, pixels."""
    field_of_view: float = 65.0
    """Horizontal field of view, degrees."""
    noise: float = 0.0012
    """Depth noise: standard deviation noise * z^2, as in triangulation, cut at 3 of them."""
    dropout: float = 0.02
    """Fraction of pixels without depth."""
    grazing: float = 0.25
    """Cosine of incidence below which more and more pixels lose their depth."""
    nearest: float = 0.4
    """Smallest depth that is measured, metres."""


@dataclass(frozen=True, eq=False)
class _Shot:
    """The N pixels with depth of an image: coords (N, 3) in the room, depth (N,), colour (N, 3) in
    0 .. 1, and solid (N,), the index of the solid that is seen."""

    coords: np.ndarray
    depth: np.ndarray
    colour: np.ndarray
    solid: np.ndarray


def walk(rng: Generator, room: Room, poses: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses (origin (3,), view (3, 3)) on a path around the centre of the room, outside all solids.

    Each looks at an object in the room, at least a metre away where there is one.
    """
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
    """A place at eye height and clear of all solids, or else at the centre below the ceiling."""
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
    """Rotation with the right, down and forward axes as rows."""
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
    """One image: exact depths, then sensor noise and dropout. light (3,): position of the lamp."""
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

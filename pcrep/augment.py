"""Random augmentation of a point cloud in one pass over its points.

Crop, drop and hiding come first, so that all other work is on the remaining points. These are then
changed in one fused, parallel pass:

    x' = M (x + e(x)) + o + j,    M = scale * flip * tilt * rotation about z

with a smooth displacement ``e`` (elastic distortion) and noise ``j``; M turns about the mean of
the remaining points, and the offset ``o`` holds that and the translation. The parameters drawn for
the whole cloud are returned as :class:`Parameters`. The noise of a point is a hash of the seed and
of the point's row in the input, so it depends neither on threads nor on which other points remain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numba import prange, uint64
from scipy.special import ndtri

from pcrep.cloud import Cloud
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit, parallel

_NORMALS = ndtri((np.arange(4096) + 0.5) / 4096).astype(np.float32)
"""Standard normal quantiles at 4,096 equal probabilities: a draw is a look-up, none beyond 3.7."""


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each random change of a view.

    Rotation, tilt, flip, jitter and the sphere that keeps 60 % are those of the published
    configuration of Masked Scene Contrast (Wu et al., CVPR 2023); the other defaults are ours, mild
    enough that a table stays a table.
    """

    rotation: float = 180.0
    """Largest angle about z, degrees either way."""
    tilt: float = 2.8
    """Largest angle about x and about y, degrees either way."""
    flip: float = 0.5
    """Probability of mirroring x, and independently y."""
    scale: tuple[float, float] = (0.9, 1.1)
    """Smallest and largest scale factor."""
    translation: float = 0.2
    """Largest shift along each axis, metres."""
    jitter: float = 0.005
    """Standard deviation of the Gaussian noise on each coordinate, metres."""
    elastic: float = 0.0
    """Standard deviation of the elastic displacement at its lattice nodes, metres; 0 for none."""
    elastic_cell: float = 0.5
    """Lattice spacing of the elastic displacement, metres."""
    crop: Literal["none", "sphere", "cuboid"] = "sphere"
    """Keep the points nearest to a random one: in a sphere, or in a box of random proportions."""
    crop_keep: tuple[float, float] = (0.6, 1.0)
    """Smallest and largest fraction of the points that a crop keeps."""
    drop: float = 0.0
    """Fraction of the points that are dropped at random."""
    hidden: float = 0.0
    """Fraction of the cubes of space that are hidden: all their points are dropped."""
    hidden_edge: float = 0.3
    """Edge of these cubes, metres."""
    colour_jitter: float = 0.2
    """Largest relative change of contrast per colour channel; brightness changes by half of it."""
    colour_noise: float = 0.02
    """Standard deviation of the Gaussian noise on each colour, in a range of 0 .. 1."""
    colour_drop: float = 0.2
    """Probability that the colour of a whole view is replaced by grey."""
    shuffle: bool = False
    """Return the points in random order."""

    def __post_init__(self) -> None:
        for name in ("rotation", "tilt", "translation", "jitter", "elastic", "colour_noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 0")
        for name in ("flip", "colour_jitter", "colour_drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected 0 .. 1")
        for name in ("drop", "hidden"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(
                    f"{name}: found {getattr(self, name)}, expected at least 0 and less than 1"
                )
        for name in ("elastic_cell", "hidden_edge"):
            if not 0 < getattr(self, name) < np.inf:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        for name, most in (("scale", np.inf), ("crop_keep", 1)):
            low, high = getattr(self, name)
            if not (0 < low <= high <= most and low < np.inf):
                raise UserError(
                    f"{name}: found {low} {high}, expected two numbers in order, above 0"
                    + (f", at most {most}" if most < np.inf else "")
                )


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters drawn for a whole view.

    matrix : (3, 3) float64 and offset : (3,) float64, metres, of ``x' = matrix x + offset``.
    elastic, cell : standard deviation at the nodes and edge of the lattice of the displacement,
        metres; phase : (3,) float64 in 0 .. 1, position of the origin within a cell.
    jitter : standard deviation, metres.
    gain, shift : (3,) float64 of ``colour' = gain (colour - 0.5) + 0.5 + shift + noise``.
    noise : standard deviation of the colour's noise.
    key : key of the hash from which the noise of each point is drawn.
    """

    matrix: np.ndarray
    offset: np.ndarray
    elastic: float
    cell: float
    phase: np.ndarray
    jitter: float
    gain: np.ndarray
    shift: np.ndarray
    noise: float
    key: int


@dataclass(frozen=True, eq=False)
class Augmented:
    """A view: M of the N points.

    coords : (M, 3) float32, metres. colour : (M, 3) float32 in 0 .. 1, or None as it came.
    rows : (M,) int64, input row of each point. parameters : those drawn for the whole view.
    """

    coords: np.ndarray
    colour: np.ndarray | None
    rows: np.ndarray
    parameters: Parameters


def augment(
    coords: np.ndarray,
    colour: np.ndarray | None,
    config: AugmentConfig,
    seed: int | Sequence[int],
) -> Augmented:
    """One random view of a cloud.

    coords : (N, 3) float32, metres, N > 0. colour : (N, 3) float32 in 0 .. 1, or None.
    seed : non-negative integers such as (seed, step, view); the same seed gives the same view.

    Dropped colour is grey (0.5), which :func:`pcrep.encoders.inputs.inputs_of` maps to 0, like
    missing colour.
    """
    random = np.random.default_rng(seed)
    rows = _kept(coords, config, random)
    parameters = _draw(config, coords[rows].mean(0, dtype=np.float64), random)
    p = parameters
    moved = np.empty((len(rows), 3), np.float32)
    tinted = np.empty((0 if colour is None else len(rows), 3), np.float32)
    _change(
        *(coords, tinted if colour is None else colour, rows, p.matrix, p.offset),
        *(p.elastic, p.cell, p.phase, p.jitter, p.gain, p.shift, p.noise, uint64(p.key)),
        *(moved, tinted),
    )
    return Augmented(moved, None if colour is None else tinted, rows, parameters)


def _kept(coords: np.ndarray, config: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """Rows (M,) int64 that remain after crop, drop and hiding, M > 0, in the order of the view."""
    centre = coords[random.integers(len(coords))].astype(np.float64)
    proportions = np.exp(random.uniform(-0.5, 0.5, 3))
    share, key = random.uniform(*config.crop_keep), random.integers(2**63)
    rows = np.arange(len(coords))
    if config.crop != "none" and share < 1:
        distance = _distances(coords, centre, proportions, config.crop == "cuboid")
        last = max(int(share * len(coords)) - 1, 0)
        rows = np.flatnonzero(distance <= np.partition(distance, last)[last])
    if config.drop:
        rows = rows[_stays(rows, config.drop, uint64(key))] if len(rows) > 1 else rows
    if config.hidden:
        rows = rows[_shown(coords[rows], config, np.random.default_rng(key))]
    return random.permutation(rows) if config.shuffle else rows


def _shown(coords: np.ndarray, config: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """Whether each point lies in a cube that is not hidden, (N,) bool; all where none would."""
    cube = np.floor(coords / config.hidden_edge + random.random(3)).astype(np.int64)
    cube -= cube.min(0)
    number = np.unique(np.ravel_multi_index(cube.T, cube.max(0) + 1), return_inverse=True)[1]
    shown = (random.random(number.max() + 1) >= config.hidden)[number]
    return shown if shown.any() else ~shown


def _draw(config: AugmentConfig, centre: np.ndarray, random: np.random.Generator) -> Parameters:
    angles = np.radians([config.tilt, config.tilt, config.rotation]) * random.uniform(-1, 1, 3)
    mirror = np.where(random.random(2) < config.flip, -1.0, 1.0)
    matrix = random.uniform(*config.scale) * np.diag([*mirror, 1.0])
    for axis, angle in enumerate(angles):
        matrix = matrix @ _rotation(axis, angle)
    offset = centre - matrix @ centre + config.translation * random.uniform(-1, 1, 3)
    gain = 1 + config.colour_jitter * random.uniform(-1, 1, 3)
    shift = config.colour_jitter * random.uniform(-0.5, 0.5, 3)
    noise, phase, key = config.colour_noise, random.random(3), int(random.integers(2**63))
    if random.random() < config.colour_drop:
        gain, shift, noise = np.zeros(3), np.zeros(3), 0.0
    return Parameters(
        *(matrix, offset, config.elastic, config.elastic_cell, phase, config.jitter),
        *(gain, shift, noise, key),
    )


def _rotation(axis: int, angle: float) -> np.ndarray:
    """The right-handed rotation (3, 3) about an axis."""
    matrix, (i, j) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


@jit(inline="always")
def _hash(key, counter):
    """64 random bits of a counter: the output function of SplitMix64 (Steele et al., 2014)."""
    z = key + counter * uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@jit(inline="always")
def _normal(bits, axis):
    """The standard normal of an axis, from its 12 bits of a hash."""
    return _NORMALS[(bits >> uint64(12 * axis)) & uint64(4095)]


@jit
def _distances(coords, centre, proportions, cuboid):
    """(N,) float32: squared distance to the centre, or the longest side of a box around it."""
    far = np.empty(len(coords), np.float32)
    for i in range(len(coords)):
        total, longest = 0.0, 0.0
        for axis in range(3):
            side = abs(coords[i, axis] - centre[axis])
            total += side * side
            longest = max(longest, side / proportions[axis])
        far[i] = longest if cuboid else total
    return far


@jit
def _stays(rows, drop, key):
    """Whether each row stays, (N,) bool; the first one where none would."""
    stays = np.empty(len(rows), np.bool_)
    least = uint64(drop * 2.0**53)
    for i in range(len(rows)):
        stays[i] = (_hash(key, uint64(rows[i])) >> uint64(11)) >= least
    if not stays.any():
        stays[0] = True
    return stays


@jit
def _displacement(x, y, z, cell, phase, key):
    """Normals at the nodes of a lattice, interpolated linearly along each axis: three numbers.

    A node's normals are a hash of its indices, so a lattice of any extent takes no memory.
    """
    x, y, z = x / cell + phase[0], y / cell + phase[1], z / cell + phase[2]
    i, j, k = np.floor(x), np.floor(y), np.floor(z)
    u, v, w = x - i, y - j, z - k
    dx, dy, dz = 0.0, 0.0, 0.0
    for corner in range(8):
        a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (u if a else 1 - u) * (v if b else 1 - v) * (w if c else 1 - w)
        node = uint64(np.int64(i) + a) * uint64(0x8DA6B343D8163841)
        node ^= uint64(np.int64(j) + b) * uint64(0xCB1AB31FD8163843)
        node ^= uint64(np.int64(k) + c) * uint64(0xD8163841FD7046C5)
        bits = _hash(key, node)
        dx += weight * _normal(bits, 0)
        dy += weight * _normal(bits, 1)
        dz += weight * _normal(bits, 2)
    return dx, dy, dz


@parallel
def _change(
    coords, colour, rows, matrix, offset, elastic, cell, phase, jitter, gain, shift, noise, key,
    moved, tinted,
):  # fmt: skip
    """Fill ``moved`` (M, 3), and ``tinted`` (M, 3) unless it is empty."""
    for n in prange(len(rows)):
        row = rows[n]
        x, y, z = float(coords[row, 0]), float(coords[row, 1]), float(coords[row, 2])
        if elastic > 0:
            dx, dy, dz = _displacement(x, y, z, cell, phase, ~key)
            x, y, z = x + elastic * dx, y + elastic * dy, z + elastic * dz
        bits = _hash(key, uint64(2 * row))
        for axis in range(3):
            place = matrix[axis, 0] * x + matrix[axis, 1] * y + matrix[axis, 2] * z + offset[axis]
            moved[n, axis] = place + jitter * _normal(bits, axis)
        if len(tinted):
            bits = _hash(key, uint64(2 * row + 1))
            for c in range(3):
                value = gain[c] * (colour[row, c] - 0.5) + 0.5 + shift[c]
                tinted[n, c] = min(max(value + noise * _normal(bits, c), 0.0), 1.0)


def augmented(cloud: Cloud, config: AugmentConfig, seed: int | Sequence[int]) -> Cloud:
    """One random view of a cloud with all attributes of its points; see :func:`augment`."""
    return changed(cloud, augment(cloud.coords, cloud.colour, config, seed))


def changed(cloud: Cloud, made: Augmented) -> Cloud:
    """The cloud in a view that :func:`augment` made of it.

    Normals turn, and heights over ground scale, with the matrix of the view.
    """
    view = replace(cloud.take(made.rows), coords=made.coords, colour=made.colour)
    matrix = made.parameters.matrix
    scale = np.cbrt(abs(np.linalg.det(matrix)))
    if view.normal is not None:
        turned = np.einsum("ni,ji->nj", view.normal, matrix / scale)
        view = replace(view, normal=turned.astype(np.float32))
    if view.height is not None:
        view = replace(view, height=view.height * np.float32(scale))
    return view

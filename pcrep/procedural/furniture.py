"""Pieces of furniture of random shape, each in its own coordinates.

The origin is on the floor below the centre, z is up, and a piece faces +y. Sizes are in metres.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural.shapes import BOX, ELLIPSOID, FRUSTUM


@dataclass(frozen=True)
class Part:
    """A solid of a piece. tone: index of its colour. lean, turn: about x and z, radians."""

    kind: int
    size: tuple[float, float, float]
    centre: tuple[float, float, float]
    tone: int = 0
    lean: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True)
class Piece:
    """label: class. width, depth: of its footprint. top: height of a surface of that size on which
    objects can stand, or None."""

    label: str
    parts: tuple[Part, ...]
    width: float
    depth: float
    top: float | None = None


def slab(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, **more) -> Part:
    """A box given by its faces, in either order."""
    size = (abs(x1 - x0) / 2, abs(y1 - y0) / 2, abs(z1 - z0) / 2)
    return Part(BOX, size, ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2), **more)


def post(x: float, y: float, z0: float, z1: float, r0: float, r1: float | None = None, **more):
    """An upright frustum given by its ends and radii."""
    r1 = r0 if r1 is None else r1
    return Part(FRUSTUM, (r0, r1, (z1 - z0) / 2), (x, y, (z0 + z1) / 2), **more)


def _legs(rng: Generator, width: float, depth: float, height: float, thick: float) -> list[Part]:
    """Four legs, round or square, at the corners of a rectangle."""
    x, y = width / 2 - thick, depth / 2 - thick
    corners = [(x, y), (x, -y), (-x, y), (-x, -y)]
    if rng.random() < 0.5:
        return [post(a, b, 0, height, thick * 0.6, thick, tone=1) for a, b in corners]
    return [slab(a - thick, a + thick, b - thick, b + thick, 0, height, tone=1) for a, b in corners]


def _table(rng: Generator) -> Piece:
    low = rng.random() < 0.3
    height = rng.uniform(0.38, 0.5) if low else rng.uniform(0.65, 0.8)
    thick = rng.uniform(0.02, 0.05)
    if rng.random() < 0.3:
        r = rng.uniform(0.35, 0.65)
        parts = [post(0, 0, height - thick, height, r), post(0, 0, 0.03, height - thick, 0.05)]
        parts += [post(0, 0, 0, 0.03, 0.6 * r, tone=1)]
        return Piece("table", tuple(parts), 2 * r, 2 * r, height)
    width, depth = rng.uniform(0.8, 1.9), rng.uniform(0.55, 1.0)
    x, y = width / 2, depth / 2
    parts = [slab(-x, x, -y, y, height - thick, height)]
    if rng.random() < 0.3:  # a desk: sides that reach the floor, drawers under one end
        side = rng.uniform(0.02, 0.05)
        parts += [slab(s * (x - side), s * x, -y, y, 0, height - thick, tone=1) for s in (-1, 1)]
        parts += [slab(x - 0.45, x - side, -y + 0.03, y - 0.03, 0.05, height - thick, tone=1)]
    else:
        parts += _legs(rng, width, depth, height - thick, rng.uniform(0.02, 0.045))
    return Piece("table", tuple(parts), width, depth, height)


def chair(rng: Generator) -> Piece:
    width, depth = rng.uniform(0.38, 0.52), rng.uniform(0.38, 0.5)
    seat, thick = rng.uniform(0.4, 0.5), rng.uniform(0.02, 0.09)
    back = seat + rng.uniform(0.3, 0.6)
    x, y, lean = width / 2, depth / 2, rng.uniform(0, 0.2)
    parts = [slab(-x, x, -y, y, seat - thick, seat)]
    if rng.random() < 0.35:  # an office chair: a column on a star
        parts += [post(0, 0, 0.06, seat - thick, 0.03, tone=1)]
        arm = rng.uniform(0.24, 0.32)
        for k in range(5):
            a = 2 * np.pi * k / 5
            place = (arm / 2 * np.cos(a), arm / 2 * np.sin(a), 0.05)
            parts += [Part(BOX, (arm / 2, 0.02, 0.025), place, tone=1, turn=a)]
    else:
        parts += _legs(rng, width, depth, seat - thick, rng.uniform(0.014, 0.026))
    high, middle = back - seat, (back + seat) / 2
    shift = -y + 0.02 - np.sin(lean) * high / 2
    if rng.random() < 0.35:  # slats
        for a in np.linspace(-x + 0.03, x - 0.03, int(rng.integers(3, 6))):
            parts += [Part(BOX, (0.02, 0.012, high / 2), (a, shift, middle), lean=lean)]
        parts += [slab(-x, x, 2 * shift + y - 0.04, 2 * shift + y, back - 0.06, back)]
    else:
        size = (x, rng.uniform(0.012, 0.04), high / 2)
        parts += [Part(BOX, size, (0, shift, middle), lean=lean)]
    if rng.random() < 0.3:
        arm = seat + rng.uniform(0.17, 0.25)
        for s in (-1, 1):
            parts += [slab(s * x - 0.025, s * x + 0.025, -y, 0.6 * y, arm - 0.03, arm, tone=1)]
            parts += [slab(s * x - 0.02, s * x + 0.02, 0.4 * y, 0.6 * y, seat - thick, arm, tone=1)]
    return Piece("chair", tuple(parts), width + 0.05, depth + 0.15)


def _sofa(rng: Generator) -> Piece:
    seats = int(rng.integers(1, 4))
    arm, depth = rng.uniform(0.1, 0.25), rng.uniform(0.75, 1.0)
    width = seats * rng.uniform(0.55, 0.7) + 2 * arm
    seat, back = rng.uniform(0.36, 0.46), rng.uniform(0.7, 0.95)
    x, y, thick = width / 2, depth / 2, rng.uniform(0.16, 0.28)
    arm_height = rng.uniform(seat + 0.1, back - 0.05)
    cushion = rng.uniform(0.08, 0.15)
    parts = [slab(-x, x, -y, y, 0.06, seat - cushion)]
    parts += [slab(-x, x, -y, -y + thick, 0.06, back)]
    parts += [slab(s * x, s * (x - arm), -y, y, 0.06, arm_height) for s in (-1, 1)]
    each = (width - 2 * arm) / seats
    for k in range(seats):
        a = -x + arm + k * each
        parts += [slab(a + 0.01, a + each - 0.01, -y + thick, y, seat - cushion, seat, tone=1)]
        if rng.random() < 0.4:  # a pillow against the back
            middle = (a + each / 2, -y + thick + 0.12, seat + 0.19)
            parts += [Part(ELLIPSOID, (0.22, 0.09, 0.2), middle, tone=2, lean=0.3)]
    return Piece("sofa", tuple(parts), width, depth)


def _bookcase(rng: Generator) -> Piece:
    width, depth, height = rng.uniform(0.6, 1.6), rng.uniform(0.25, 0.4), rng.uniform(0.8, 2.1)
    x, y, board = width / 2, depth / 2, rng.uniform(0.015, 0.03)
    parts = [slab(-x, x, -y, -y + 0.015, 0, height)]
    parts += [slab(s * (x - board), s * x, -y, y, 0, height) for s in (-1, 1)]
    levels = np.linspace(0.06, height - board, max(2, round(height / rng.uniform(0.3, 0.42))) + 1)
    for z in levels:
        parts += [slab(-x + board, x - board, -y + 0.015, y, z, z + board)]
    for low, high in itertools.pairwise(levels):
        at, end = -x + board, -x + board + rng.uniform(0.3, 1) * (width - 2 * board)
        while True:  # books of a few centimetres, or blocks of them
            thick = rng.uniform(0.03, 0.12)
            if at + thick > end:
                break
            tall, deep = rng.uniform(0.6, 0.92) * (high - low - board), rng.uniform(0.6, 0.95)
            front = -y + 0.015 + deep * (depth - 0.015)
            tone = int(rng.integers(1, 6))
            z = low + board
            parts += [slab(at, at + thick, -y + 0.015, front, z, z + tall, tone=tone)]
            at += thick + (rng.uniform(0.03, 0.1) if rng.random() < 0.2 else 0.0)
    return Piece("bookcase", tuple(parts), width, depth)


def board(rng: Generator) -> Piece:
    """A whiteboard, a screen or a picture on a wall; its origin is the centre of its back."""
    width, height, thick = rng.uniform(0.5, 2.0), rng.uniform(0.4, 1.1), rng.uniform(0.02, 0.06)
    x, z = width / 2, height / 2
    parts = [slab(-x, x, 0, 0.7 * thick, -z, z)]
    if rng.random() < 0.6:
        edge = rng.uniform(0.02, 0.05)
        parts += [slab(-x, x, 0, thick, s - edge / 2, s + edge / 2, tone=1) for s in (-z, z)]
        parts += [slab(s - edge / 2, s + edge / 2, 0, thick, -z, z, tone=1) for s in (-x, x)]
    return Piece("board", tuple(parts), width, height)


def _floor_lamp(rng: Generator) -> Piece:
    return _lamp(rng, rng.uniform(1.2, 1.8), rng.uniform(0.13, 0.2), rng.uniform(0.15, 0.26))


def _table_lamp(rng: Generator) -> Piece:
    return _lamp(rng, rng.uniform(0.3, 0.55), rng.uniform(0.06, 0.1), rng.uniform(0.09, 0.16))


def _lamp(rng: Generator, height: float, foot: float, shade: float) -> Piece:
    parts = [post(0, 0, 0, 0.025, foot, tone=1), post(0, 0, 0.025, height - shade, 0.012, tone=1)]
    if rng.random() < 0.3:
        parts += [Part(ELLIPSOID, (shade, shade, shade * 0.9), (0, 0, height - shade))]
    else:
        tall = shade * rng.uniform(1.1, 1.7)
        parts += [post(0, 0, height - tall, height, shade, shade * rng.uniform(0.45, 0.9))]
    wide = 2 * max(foot, shade)
    return Piece("lamp", tuple(parts), wide, wide)


def _box(rng: Generator) -> Piece:
    width, depth, height = rng.uniform(0.25, 0.6, 3)
    return Piece("box", (slab(-width / 2, width / 2, -depth / 2, depth / 2, 0, height),),
                 width, depth, height)  # fmt: skip


def _small_box(rng: Generator) -> Piece:
    """Anything from a lying book to a standing cereal packet."""
    width, depth, height = rng.uniform(0.07, 0.26), rng.uniform(0.05, 0.2), rng.uniform(0.04, 0.3)
    parts = (slab(-width / 2, width / 2, -depth / 2, depth / 2, 0, height),)
    return Piece("box", parts, width, depth)


def _bin(rng: Generator) -> Piece:
    """A waste bin, a drum or a plant's pot."""
    r, height = rng.uniform(0.12, 0.22), rng.uniform(0.25, 0.55)
    parts = (post(0, 0, 0, height, r * rng.uniform(0.75, 1), r),)
    return Piece("cylinder", parts, 2 * r, 2 * r)


def _small_cylinder(rng: Generator) -> Piece:
    """A can, a cup, a bowl or a bottle."""
    r, height = rng.uniform(0.03, 0.09), rng.uniform(0.07, 0.26)
    parts = [post(0, 0, 0, height, r * rng.uniform(0.65, 1), r)]
    if rng.random() < 0.3:  # a neck
        parts += [post(0, 0, height, height + 0.05, r, 0.4 * r)]
        parts += [post(0, 0, height + 0.05, height + 0.12, 0.4 * r, tone=1)]
    return Piece("cylinder", tuple(parts), 2 * r, 2 * r)


ON_THE_FLOOR: tuple[Callable[[Generator], Piece], ...] = (
    *(_table, _bookcase, _sofa, chair, _floor_lamp, _box, _bin),
)
ON_A_TOP: tuple[Callable[[Generator], Piece], ...] = (_small_box, _small_cylinder, _table_lamp)

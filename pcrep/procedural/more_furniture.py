"""Further pieces, which only varied rooms hold; see :mod:`pcrep.procedural.furniture`."""

import numpy as np
from numpy.random import Generator

from pcrep.procedural.furniture import Part, Piece, post, slab
from pcrep.procedural.shapes import BOX, ELLIPSOID


def bed(rng: Generator) -> Piece:
    width, depth = rng.uniform(0.8, 1.9), rng.uniform(1.9, 2.2)
    low, high = rng.uniform(0.15, 0.3), rng.uniform(0.4, 0.65)
    x, y = width / 2, depth / 2
    parts = [
        slab(-x, x, -y, y, low, (low + high) / 2),
        slab(-x, x, -y, y, (low + high) / 2, high, tone=1),
    ]
    parts += [slab(-x, x, -y, -y + 0.05, 0, high + rng.uniform(0.2, 0.7), tone=2)]
    for k in range(1 if width < 1.3 else 2):
        at = (0.0 if width < 1.3 else (k - 0.5) * width / 2, -y + 0.3, high + 0.05)
        parts += [Part(ELLIPSOID, (0.3, 0.2, 0.09), at, tone=3)]
    parts += [
        slab(s * (x - 0.08), s * x, t * (y - 0.08), t * y, 0, low) for s in (-1, 1) for t in (-1, 1)
    ]
    return Piece("bed", tuple(parts), width, depth)


def cabinet(rng: Generator) -> Piece:
    """A wardrobe, a kitchen unit or a chest of drawers, with handles; a low one has a top."""
    high = rng.uniform(1.7, 2.2) if rng.random() < 0.4 else rng.uniform(0.5, 1.0)
    width, depth = rng.uniform(0.4, 1.8), rng.uniform(0.35, 0.62)
    x, y = width / 2, depth / 2
    parts = [slab(-x, x, -y, y - 0.02, 0.0, high)]
    rows = 1 if high > 1.5 or rng.random() < 0.5 else int(rng.integers(2, 5))
    columns = max(1, round(width / rng.uniform(0.4, 0.6)))
    for i in range(columns):
        for j in range(rows):
            a, b = -x + i * width / columns, -x + (i + 1) * width / columns
            low, top = 0.05 + j * (high - 0.05) / rows, 0.05 + (j + 1) * (high - 0.05) / rows
            parts += [slab(a + 0.008, b - 0.008, y - 0.02, y, low + 0.008, top - 0.008, tone=1)]
            middle = (a + b) / 2
            grip = slab(middle - 0.06, middle + 0.06, y, y + 0.03, top - 0.1, top - 0.08, tone=2)
            parts += [grip]
    return Piece("cabinet", tuple(parts), width, depth + 0.06, high if high < 1.2 else None)


def curtain(rng: Generator) -> Piece:
    """Folds that hang before a wall."""
    width, high, fold = rng.uniform(0.5, 2.0), rng.uniform(1.8, 2.3), rng.uniform(0.03, 0.07)
    parts = [
        post(a, 0, 0.05, high, fold, fold) for a in np.arange(-width / 2, width / 2, 1.6 * fold)
    ]
    parts += [slab(-width / 2, width / 2, -0.02, 0.02, high, high + 0.04, tone=1)]
    return Piece("curtain", tuple(parts), width, 2 * fold)


def plant(rng: Generator) -> Piece:
    """A pot with a stem and leaves in every direction."""
    r, pot = rng.uniform(0.1, 0.2), rng.uniform(0.15, 0.4)
    high = pot + rng.uniform(0.3, 1.2)
    parts = [post(0, 0, 0, pot, 0.75 * r, r), post(0, 0, pot, high, 0.015, tone=1)]
    for _ in range(int(rng.integers(6, 16))):
        turn, out, up = (
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.08, 0.28),
            rng.uniform(pot + 0.1, high),
        )
        size = (0.02, rng.uniform(0.08, 0.2), rng.uniform(0.02, 0.06))
        at = (-out * np.sin(turn), out * np.cos(turn), up)
        parts += [Part(ELLIPSOID, size, at, tone=2, turn=turn, lean=rng.uniform(-0.3, 0.8))]
    return Piece("plant", tuple(parts), 0.6, 0.6)


def screen(rng: Generator) -> Piece:
    """A monitor or a laptop, to stand on a table."""
    x, high = rng.uniform(0.15, 0.35), rng.uniform(0.2, 0.4)
    if rng.random() < 0.4:
        parts = [slab(-x, x, -0.1, 0.12, 0, 0.02)]
        parts += [Part(BOX, (x, 0.008, high / 2), (0, -0.12, high / 2 + 0.02), lean=0.2, tone=1)]
    else:
        foot = rng.uniform(0.05, 0.15)
        parts = [
            slab(-0.12, 0.12, -0.09, 0.09, 0, 0.015),
            slab(-0.03, 0.03, -0.02, 0.0, 0.015, foot + 0.1),
        ]
        parts += [slab(-x, x, 0, 0.03, foot, foot + high, tone=1)]
    return Piece("screen", tuple(parts), 2 * x, 0.3)


def stool(rng: Generator) -> Piece:
    r, high = rng.uniform(0.14, 0.2), rng.uniform(0.42, 0.75)
    parts = [post(0, 0, high - 0.05, high, r)]
    for k in range(int(rng.integers(3, 5))):
        a = 2 * np.pi * k / 4
        parts += [post(0.7 * r * np.cos(a), 0.7 * r * np.sin(a), 0, high - 0.05, 0.015, tone=1)]
    return Piece("chair", tuple(parts), 2 * r, 2 * r)


def steps(rng: Generator) -> Piece:
    """A ladder of boxes: stairs, shelves of a shop or stacked cartons, taken for boxes."""
    width, count = rng.uniform(0.4, 1.0), int(rng.integers(2, 5))
    rise, run = rng.uniform(0.15, 0.35), rng.uniform(0.2, 0.4)
    y = count * run / 2
    parts = [
        slab(-width / 2, width / 2, -y, y - k * run, k * rise, (k + 1) * rise, tone=k % 3)
        for k in range(count)
    ]
    return Piece("box", tuple(parts), width, count * run)


def rug(rng: Generator) -> Piece:
    """Flat on the floor; furniture may stand on it."""
    x, y = rng.uniform(0.5, 1.3, 2)
    return Piece("rug", (slab(-x, x, -y, y, 0, rng.uniform(0.008, 0.02)),), 2 * x, 2 * y)


def door(rng: Generator) -> Piece:
    """In a wall, with a frame and a handle; the origin is the centre of its back."""
    x, z = rng.uniform(0.38, 0.5), 1.0
    parts = [slab(-x, x, 0, 0.02, -z, z)]
    parts += [slab(s * x, s * (x + 0.07), 0, 0.05, -z, z + 0.07, tone=1) for s in (-1, 1)]
    parts += [
        slab(-x, x, 0, 0.05, z, z + 0.07, tone=1),
        slab(x - 0.18, x - 0.06, 0.02, 0.07, 0, 0.03, tone=2),
    ]
    return Piece("door", tuple(parts), 2 * x + 0.14, 2 * z)


def window(rng: Generator) -> Piece:
    """A pane in a frame with a sill; the origin is the centre of its back."""
    x, z = rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.6)
    parts = [slab(-x, x, 0, 0.01, -z, z)]
    for a in np.linspace(-x, x, int(rng.integers(2, 4))):
        parts += [slab(a - 0.03, a + 0.03, 0, 0.05, -z, z, tone=1)]
    parts += [slab(-x, x, 0, 0.05, s * z - 0.03, s * z + 0.03, tone=1) for s in (-1, 1)]
    parts += [slab(-x - 0.05, x + 0.05, 0, 0.18, -z - 0.06, -z - 0.03, tone=2)]
    return Piece("window", tuple(parts), 2 * x + 0.1, 2 * z + 0.12)


ON_THE_FLOOR_TOO = (bed, cabinet, cabinet, curtain, plant, stool, steps)
"""Pieces that stand beside those of ``furniture.ON_THE_FLOOR``."""

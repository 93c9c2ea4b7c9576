"""Furnish a room with pieces that do not intersect."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from pcrep.procedural import furniture
from pcrep.procedural.furniture import ON_A_TOP, ON_THE_FLOOR, Piece
from pcrep.procedural.shapes import ROOM_CLASSES, Solids

_THICK = 0.1
"""Thickness of the walls, metres."""
_CELL = 0.05
"""Cell size of the occupancy map of the floor, metres."""
_TONES = 6
_WALL_BOUND = ("bookcase", "sofa", "lamp", "bed", "cabinet", "curtain")


@dataclass(frozen=True, eq=False)
class Room:
    """solids: all solids of the room. size: inner width, depth and height, with the origin at the
    centre of the floor. things: (T, 3), centres of the objects that stand in it."""

    solids: Solids
    size: np.ndarray
    things: np.ndarray


class Builder:
    """A room under construction: its solids, and the occupancy of its floor."""

    def __init__(self, rng: Generator, width: float, depth: float):
        self.rng = rng
        self.half = np.array([width, depth]) / 2
        self.rows: list[tuple] = []
        self.instances = 0
        self.things: list[np.ndarray] = []
        cells = [np.arange(_CELL / 2 - h, h, _CELL) for h in self.half]
        self.cells = np.stack(np.meshgrid(*cells, indexing="ij"), -1)  # (X, Y, 2)
        self.taken = np.zeros(self.cells.shape[:2], bool)

    def put(self, piece: Piece, at: np.ndarray, yaw: float) -> None:
        """Add a piece with its origin ``at (3,)``, rotated about z, in randomly drawn colours."""
        tones = _tone_colours(self.rng)
        turn = about_z(yaw)
        for part in piece.parts:
            axes = turn @ about_z(part.turn) @ about_x(part.lean)
            centre = at + turn @ np.array(part.centre)
            label = ROOM_CLASSES.index(piece.label)
            row = (part.kind, part.size, centre, axes, label, self.instances, tones[part.tone])
            self.rows.append(row)
        self.instances += 1

    def stand(self, piece: Piece, x: float, y: float, yaw: float, gap: float = 0.05) -> bool:
        """Put a piece on the floor if it fits there without intersection; whether it did."""
        back = about_z(yaw)[:2, :2]
        own = (self.cells - (x, y)) @ back  # rows times R are R^T times columns
        under = (np.abs(own) <= (piece.width / 2 + gap, piece.depth / 2 + gap)).all(-1)
        reach = np.abs(back) @ (piece.width / 2, piece.depth / 2)
        if (np.abs((x, y)) + reach > self.half).any() or (under & self.taken).any():
            return False
        self.taken |= under
        self.put(piece, np.array([x, y, 0.0]), yaw)
        self.things.append(np.array([x, y, 0.5]))
        return True

    def solids(self) -> Solids:
        kind, size, centre, axes, label, instance, colour = zip(*self.rows, strict=True)
        kinds, labels, instances = (np.array(v, np.int64) for v in (kind, label, instance))
        sizes, centres, turns = (np.array(v, np.float64) for v in (size, centre, axes))
        wave = self.rng.normal(0, 15, (len(kinds), 3))
        colours = np.array(colour, np.float64)
        return Solids(kinds, sizes, centres, turns, labels, instances, colours, wave)


def furnish(rng: Generator, width: tuple[float, float], height: tuple[float, float]) -> Room:
    """A room with at least one piece of each kind that fits, objects on the tables, chairs around
    them and boards on the walls. width, height: ranges of the floor's edges and of the ceiling."""
    w, d = rng.uniform(*width, 2)
    h = rng.uniform(*height)
    room = Builder(rng, w, d)
    shell(room, w, d, h)
    hang_boards(room, h)
    for build in ON_THE_FLOOR:  # the large ones first, of each one if it finds a place
        place(room, build(rng))
    for _ in range(rng.poisson(0.4 * w * d)):
        place(room, ON_THE_FLOOR[rng.integers(len(ON_THE_FLOOR))](rng))
    return Room(room.solids(), np.array([w, d, h]), np.array(room.things).reshape(-1, 3))


def shell(room: Builder, w: float, d: float, h: float) -> None:
    rng, e = room.rng, _THICK
    x, y = w / 2, d / 2
    origin = np.zeros(3)
    room.put(_flat("floor", (-x - e, x + e), (-y - e, y + e), (-e, 0)), origin, 0)
    room.put(_flat("ceiling", (-x - e, x + e), (-y - e, y + e), (h, h + e)), origin, 0)
    for s in (-1, 1):
        room.put(_flat("wall", (s * x, s * (x + e)), (-y - e, y + e), (0, h)), origin, 0)
        room.put(_flat("wall", (-x, x), (s * y, s * (y + e)), (0, h)), origin, 0)
    if rng.random() < 0.5:  # a corner that stands out makes the room an L, or holds a pillar
        a, b = rng.uniform(0.3, 0.3 * w), rng.uniform(0.3, 0.3 * d)
        s, t = rng.choice([-1, 1], 2)
        room.put(_flat("wall", (s * x, s * (x - a)), (t * y, t * (y - b)), (0, h)), origin, 0)
        room.taken |= (room.cells * (s, t) > (x - a, y - b)).all(-1)


def _flat(label: str, *faces: tuple[float, float]) -> Piece:
    part = furniture.slab(*(value for pair in faces for value in pair))
    return Piece(label, (part,), 0, 0)


def hang_boards(room: Builder, height: float) -> None:
    """Hang one to three boards on the walls, above most furniture."""
    rng = room.rng
    for _ in range(int(rng.integers(1, 4))):
        hang(room, furniture.board(rng), height, (0.8, 1.3))


def hang(room: Builder, piece: Piece, height: float, low: tuple[float, float]) -> None:
    """Hang a piece on a random wall where no pillar stands, its lower edge at a height in ``low``.

    height : of the ceiling, metres, which the piece stays below.
    """
    rng = room.rng
    yaw = int(rng.integers(4)) * np.pi / 2
    back = about_z(yaw)[:2, :2] @ (0, -1)  # towards the wall
    along = np.array([-back[1], back[0]])
    free = np.abs(along) @ room.half - piece.width / 2
    lowest = min(rng.uniform(*low), height - piece.depth - 0.1)
    at = back * (np.abs(back) @ room.half) + along * rng.uniform(-free, free)
    places = room.cells @ along - at @ along, room.cells @ back - at @ back
    near = (np.abs(places[0]) < piece.width / 2) & (places[1] > -2 * _CELL)
    if not (near & room.taken).any():
        room.put(piece, np.array([*at, lowest + piece.depth / 2]), yaw)


def place(room: Builder, piece: Piece, on_top: Callable[[Generator], Piece] | None = None) -> None:
    """Place a piece at the first free of some random places, against a wall or anywhere.

    on_top : makes what stands on a piece with a top; see :func:`_on_top`.
    """
    rng = room.rng
    for _ in range(25):
        side = int(rng.integers(4)) * np.pi / 2
        if piece.label in _WALL_BOUND or rng.random() < 0.4:
            back = about_z(side)[:2, :2] @ (0, -1)
            along = np.array([-back[1], back[0]])
            space = np.abs(along) @ room.half
            at = back * (np.abs(back) @ room.half - piece.depth / 2 - 0.02)
            at = at + along * rng.uniform(-space, space)
            yaw = side
        else:
            at = rng.uniform(-1, 1, 2) * (room.half - 0.2)
            yaw = side + rng.normal(0, 0.3)
        if not room.stand(piece, at[0], at[1], yaw):
            continue
        if piece.top is not None:
            _set_table(room, piece, piece.top, at, yaw, on_top or _on_top)
        return


def _on_top(rng: Generator) -> Piece:
    """A box, a can or a lamp."""
    return ON_A_TOP[rng.choice(3, p=(0.47, 0.43, 0.1))](rng)


def _set_table(
    room: Builder,
    piece: Piece,
    top: float,
    at: np.ndarray,
    yaw: float,
    on_top: Callable[[Generator], Piece],
) -> None:
    """Put objects on a table or a box, and chairs around a table."""
    rng, turn = room.rng, about_z(yaw)
    if top > 0.6 and piece.label == "table":
        for _ in range(int(rng.integers(0, 4))):
            side = rng.choice([-1, 1])
            out = piece.depth / 2 + rng.uniform(0.25, 0.45)
            spot = turn[:2, :2] @ (rng.uniform(-0.4, 0.4) * piece.width, side * out) + at
            facing = yaw + (np.pi if side > 0 else 0.0) + rng.normal(0, 0.25)
            room.stand(furniture.chair(rng), spot[0], spot[1], facing, gap=0.0)
    half = np.array([piece.width, piece.depth]) / 2
    if piece.width == piece.depth:
        half = half * 0.7  # within a round top
    standing: list[tuple[np.ndarray, float]] = []
    for _ in range(int(rng.integers(1, int(4 + 8 * piece.width * piece.depth)))):
        thing = on_top(rng)
        r = np.hypot(thing.width, thing.depth) / 2
        if (half <= r).any():
            continue
        spot = rng.uniform(-1, 1, 2) * (half - r)
        if all(np.hypot(*(spot - other)) > r + r2 for other, r2 in standing):
            standing.append((spot, r))
            place = np.array([*(turn[:2, :2] @ spot + at), piece.top])
            room.put(thing, place, rng.uniform(0, 2 * np.pi))


def _tone_colours(rng: Generator) -> np.ndarray:
    """Colours (TONES, 3) of one object, of random hue and brightness, independent of its class."""
    first = rng.uniform(0.1, 0.95, 3)
    grey = first.mean()
    colours = np.vstack([first, rng.uniform(0.1, 0.95, (_TONES - 1, 3))])
    vivid = rng.uniform(0.1, 1.0)
    return vivid * colours + (1 - vivid) * (0.5 * grey + 0.5 * colours.mean(1, keepdims=True))


def about_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def about_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])

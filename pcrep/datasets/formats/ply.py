"""PLY, text or binary. Open3D skips 16-bit properties such as ScanNet's labels."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.headers import header
from pcrep.datasets.formats.lists import scalars_of_lines, scalars_of_records
from pcrep.datasets.formats.names import has_coords, plain
from pcrep.datasets.formats.records import (
    CHUNK,
    judge_count,
    judge_records,
    judge_whole,
    numbered,
    records,
    rows_to_read,
)
from pcrep.datasets.formats.tables import numbers
from pcrep.datasets.formats.text import write_lines
from tspcrep.common.errors import UserError

_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_WORDS = {"u1": "uchar", "i2": "short", "i4": "int", "f4": "float"}
_TYPES |= {f"{kind}{8 * n}": f"{kind[0]}{n}" for kind in ("int", "uint") for n in (1, 2, 4)}


@dataclass
class Element:
    """properties : (name, type, type of the count of a list or "") of each."""

    name: str
    count: int
    properties: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def lists(self) -> bool:
        return any(count for _, _, count in self.properties)

    def record(self, order: str) -> np.dtype:
        """Type of a binary record without lists."""
        return np.dtype([(name, order + kind) for name, kind, _ in self.properties])


@dataclass(frozen=True)
class Layout:
    """What a PLY header says. order : of bytes, "" for text. place : of the points among the
    ``elements``. start : byte behind the header.
    """

    order: str
    elements: list[Element]
    place: int
    start: int

    @property
    def points(self) -> Element:
        return self.elements[self.place]

    @property
    def before(self) -> list[Element]:
        return self.elements[: self.place]


def layout(path: Path) -> Layout:
    """Read a header. The points are its element vertex, or else the first one with coordinates."""
    lines, start = header(path, "end_header", "PLY")
    order, elements = _parse(lines, path)
    named = [[plain(name) for name, *_ in element.properties] for element in elements]
    places = [i for i, element in enumerate(elements) if element.name == "vertex"]
    places += [i for i, names in enumerate(named) if has_coords(names)]
    if not places:
        raise UserError(f"{path}: its header has no element vertex, expected points in it")
    return Layout(order, elements, places[0], start)


def _read(path: Path, max_points: int) -> Columns:
    """Columns of the points of a PLY; faces and lists are left out."""
    found = layout(path)
    points, order = found.points, found.order
    if not points.properties:
        raise UserError(f"{path}: its points have no properties, expected x, y and z")
    if points.count == 0:
        return {"coords": np.empty((0, 3))}
    if not order:
        judge_count(points.count, path, max_points)
        return select(_ascii(path, found), path)
    if points.lists or any(element.lists for element in found.before):
        judge_count(points.count, path, max_points)
        elements = [(e.count, e.properties) for e in (*found.before, points)]
        return select(scalars_of_records(path, found.start, elements, order), path)
    start = found.start + sum(e.count * e.record(order).itemsize for e in found.before)
    record = points.record(order)
    judge_records(path, start, points.count, record)
    rows = rows_to_read(points.count, path, max_points)
    read = records(path, start, points.count, record, rows)
    return numbered(select({name: read[name] for name, *_ in points.properties}, path), rows)


def _parse(lines: list[list[str]], path: Path) -> tuple[str, list[Element]]:
    """Byte order, "" for text, and the elements."""
    order, elements = None, []
    try:
        for words in lines:
            match words:
                case ["format", kind, _]:
                    order = _ORDERS[kind]
                case ["element", name, count]:
                    elements.append(Element(name, int(count)))
                case ["property", "list", length, kind, name]:
                    elements[-1].properties.append((name, _TYPES[kind], _TYPES[length]))
                case ["property", kind, name]:
                    elements[-1].properties.append((name, _TYPES[kind], ""))
        for element in elements:
            if element.count < 0 or len({n for n, *_ in element.properties}) < len(
                element.properties
            ):
                order = None
                words = [element.name, "has a count below 0 or two properties of one name"]
                break
    except (KeyError, ValueError, IndexError):
        order = None
    if order is None:
        at = f" at {' '.join(words)!r}"
        raise UserError(f"{path}: its PLY header is damaged{at}; write it again")
    return order, elements


def _ascii(path: Path, found: Layout) -> dict[str, np.ndarray]:
    """Values in float64 whatever the type: the text may have more digits than the type."""
    points, skip = found.points, sum(element.count for element in found.before)
    if points.lists:
        return scalars_of_lines(path, found.start, skip, points.count, points.properties)
    width = len(points.properties)
    count = points.count
    values = numbers(path, found.start, r"\s+", width, count, rows=count, skip=skip)
    judge_whole(path, len(values), count)
    return {name: values[:, column] for column, (name, *_) in enumerate(points.properties)}


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """The file with properties ``label``, ``confidence``, ..., behind the others of its points."""
    found = layout(path)
    points = found.points
    values = fields.of_rows(points.count, path)
    if points.lists or (found.order and any(element.lists for element in found.before)):
        raise UserError(
            f"{path}: has lists in or before its points, expected plain numbers to write labels "
            "beside; save it again with the points first"
        )
    kept = [name for name, *_ in points.properties if name not in values]
    with path.open("rb") as source:
        for line in _header_lines(source, points, kept, values):
            target.write(line)
        if found.order:
            _write_records(path, source, target, found, kept, values)
        else:
            for _ in range(sum(element.count for element in found.before)):
                target.write(source.readline())
            write_lines(source, target, [name for name, *_ in points.properties], values)
        shutil.copyfileobj(source, target)


def _header_lines(
    source: BinaryIO, points: Element, kept: list[str], values: dict[str, np.ndarray]
) -> Iterator[bytes]:
    """The header, with the properties of the points that are kept, and the new ones."""
    inside = False
    for raw in source:
        words = raw.decode("latin1").split()
        if inside and words[:1] != ["property"] and words[:1] != ["comment"]:
            for name, column in values.items():
                yield f"property {_WORDS[column.dtype.str[1:]]} {name}\n".encode()
            inside = False
        if words[:2] == ["element", points.name]:
            inside = True
        if not inside or words[0] != "property" or words[-1] in kept:
            yield raw
        if words[:1] == ["end_header"]:
            return


def _write_records(
    path: Path,
    source: BinaryIO,
    target: BinaryIO,
    found: Layout,
    kept: list[str],
    values: dict[str, np.ndarray],
) -> None:
    record, count = found.points.record(found.order), found.points.count
    for element in found.before:
        target.write(source.read(element.count * element.record(found.order).itemsize))
    new = [(name, found.order + column.dtype.str[1:]) for name, column in values.items()]
    kind = np.dtype([*((name, record[name]) for name in kept), *new])
    for first in range(0, count, CHUNK):
        rows = np.fromfile(source, record, min(CHUNK, count - first))
        judge_whole(path, first + len(rows), min(first + CHUNK, count))
        out = np.empty(len(rows), kind)
        for name in kept:
            out[name] = rows[name]
        for name, column in values.items():
            out[name] = column[first : first + len(rows)]
        target.write(out.tobytes())


FORMAT = Format("PLY", (".ply",), _read, (b"ply",), write=_write)

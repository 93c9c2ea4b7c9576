"""PLY, text or binary. Open3D skips 16-bit properties such as ScanNet's labels."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.headers import header
from pcrep.datasets.formats.records import judge_count, judge_whole, records, rows_to_read
from pcrep.datasets.formats.text import table
from tspcrep.common.errors import UserError

_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_TYPES |= {f"{kind}{8 * n}": f"{kind[0]}{n}" for kind in ("int", "uint") for n in (1, 2, 4)}


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)  # name, type
    lists: bool = False


def _read(path: Path, max_points: int) -> Columns:
    """Columns of the vertices of a PLY; faces are left out."""
    lines, start = header(path, "end_header", "PLY")
    order, elements = _parse(lines, path)
    place = next((i for i, element in enumerate(elements) if element.name == "vertex"), None)
    if place is None:
        raise UserError(f"{path}: its header has no element vertex, expected points in it")
    vertex, before = elements[place], elements[:place]
    if vertex.lists or (order and any(element.lists for element in before)):
        raise UserError(
            f"{path}: has lists in or before its vertices, expected plain numbers; save it again "
            "with the vertices first"
        )
    if vertex.count == 0:
        return {"coords": np.empty((0, 3))}
    if order:
        start += sum(e.count * _record(e, order).itemsize for e in before)
        rows = rows_to_read(vertex.count, path, max_points)
        points = records(path, start, vertex.count, _record(vertex, order), rows)
        return select({name: points[name] for name, _ in vertex.properties}, path)
    judge_count(vertex.count, path, max_points)
    skip = len(lines) + sum(element.count for element in before)
    return select(_ascii(path, skip, vertex), path)


def _parse(lines: list[list[str]], path: Path) -> tuple[str, list[_Element]]:
    """Byte order, "" for text, and the elements."""
    order, elements = None, []
    try:
        for words in lines:
            match words:
                case ["format", kind, _]:
                    order = _ORDERS[kind]
                case ["element", name, count]:
                    elements.append(_Element(name, int(count)))
                case ["property", "list", *_]:
                    elements[-1].lists = True
                case ["property", kind, name]:
                    elements[-1].properties.append((name, _TYPES[kind]))
    except (KeyError, ValueError, IndexError):
        order = None
    if order is None:
        at = f" at {' '.join(words)!r}"
        raise UserError(f"{path}: its PLY header is damaged{at}; write it again")
    return order, elements


def _record(element: _Element, order: str) -> np.dtype:
    return np.dtype([(name, order + kind) for name, kind in element.properties])


def _ascii(path: Path, skip: int, vertex: _Element) -> dict[str, np.ndarray]:
    width = len(vertex.properties)
    values = table(path, skip, r"\s+", width, vertex.count, rows=vertex.count)
    judge_whole(path, len(values), vertex.count)
    return {
        name: values[:, column].astype(kind) if kind[0] == "f" else values[:, column]
        for column, (name, kind) in enumerate(vertex.properties)
    }


FORMAT = Format("PLY", (".ply",), _read, (b"ply",))

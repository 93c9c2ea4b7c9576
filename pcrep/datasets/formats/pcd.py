"""PCD, the format of PCL: text, binary and compressed.

Open3D reads it too, but accepts text files that are cut off or hold words.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.headers import header
from pcrep.datasets.formats.records import Rows, judge_count, judge_whole, records, rows_to_read
from pcrep.datasets.formats.text import table
from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit

_TYPES = {f"{kind}{n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (1, 2, 4, 8)}
_TYPES |= {"F4": np.dtype("<f4"), "F8": np.dtype("<f8")}
_KINDS = ("ascii", "binary", "binary_compressed")


@dataclass
class _Header:
    names: list[str]
    types: list[np.dtype]
    counts: list[int]  # numbers in a field
    points: int
    height: int
    kind: str


def _read(path: Path, max_points: int) -> Columns:
    """Columns of a PCD; fields of several numbers, such as histograms, are left out.

    In an organised cloud (HEIGHT above 1) pixels without depth are NaN: they are left out here,
    without a warning.
    """
    lines, start = header(path, "DATA", "PCD")
    head = _parse(lines, path)
    if head.points == 0:
        return {"coords": np.empty((0, 3))}
    if head.kind == "binary":
        fields = _binary(path, start, head, rows_to_read(head.points, path, max_points))
    else:
        judge_count(head.points, path, max_points)
        text = head.kind == "ascii"
        fields = _text(path, len(lines), head) if text else _compressed(path, start, head)
    arrays = {
        "rgb" if name == "rgba" else name: _unpacked(values) if name in ("rgb", "rgba") else values
        for name, values in fields.items()
    }
    columns = select(arrays, path)
    if head.height > 1:
        seen = ~np.isnan(columns["coords"]).any(axis=1)
        columns = {name: values[seen] for name, values in columns.items()}
    return columns


def _parse(lines: list[list[str]], path: Path) -> _Header:
    said = {line[0]: line[1:] for line in lines if line}
    try:
        # a field "_" is padding, and there may be several
        names = [f"_{i}" if name == "_" else name for i, name in enumerate(said["FIELDS"])]
        kinds = zip(said["TYPE"], said["SIZE"], strict=True)
        head = _Header(
            names=names,
            types=[_TYPES[kind + size] for kind, size in kinds],
            counts=[int(number) for number in said.get("COUNT", ["1"] * len(names))],
            points=int(said["POINTS"][0]),
            height=int(said["HEIGHT"][0]),
            kind=said["DATA"][0].lower(),
        )
        if not len(set(names)) == len(head.types) == len(head.counts):
            raise ValueError("not one name, TYPE, SIZE and COUNT for each field")
        if head.kind not in _KINDS:
            raise ValueError(f"DATA {head.kind}")
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: its PCD header is damaged ({error}), expected FIELDS, SIZE, TYPE, HEIGHT, "
            f"POINTS and DATA, which is {', '.join(_KINDS)}; write it again"
        ) from None
    return head


def _text(path: Path, skip: int, head: _Header) -> dict[str, np.ndarray]:
    values = table(path, skip, r"\s+", sum(head.counts), head.points, rows=head.points)
    judge_whole(path, len(values), head.points)
    fields, column = {}, 0
    for name, kind, count in zip(head.names, head.types, head.counts, strict=True):
        if count == 1:
            # a packed colour of type F is written as that float or as the integer that it packs
            whole = kind.kind != "f" or (name == "rgb" and values[:, column].max() > 1)
            fields[name] = values[:, column].astype("<i8" if whole else kind)
        column += count
    return fields


def _binary(path: Path, start: int, head: _Header, rows: Rows) -> dict[str, np.ndarray]:
    fields = list(zip(head.names, head.types, head.counts, strict=True))
    record = np.dtype([(name, kind, (count,)) for name, kind, count in fields])
    points = records(path, start, head.points, record, rows)
    return {name: points[name][:, 0] for name, _, count in fields if count == 1}


def _compressed(path: Path, start: int, head: _Header) -> dict[str, np.ndarray]:
    """Fields are stored one after the other, each for all points."""
    sizes = [kind.itemsize * n for kind, n in zip(head.types, head.counts, strict=True)]
    with path.open("rb") as file:
        file.seek(start)
        lengths = np.fromfile(file, "<u4", 2)
        packed = np.fromfile(file, np.uint8, int(lengths[0]) if len(lengths) == 2 else 0)
    plain = np.empty(head.points * sum(sizes), np.uint8)
    if lengths.tolist() != [len(packed), len(plain)] or _unpack_lzf(packed, plain) != len(plain):
        raise UserError(
            f"{path}: does not unpack to the {head.points} points of its header; it is cut off or "
            "damaged, get it again"
        )
    fields, first = {}, 0
    for name, kind, count, size in zip(head.names, head.types, head.counts, sizes, strict=True):
        if count == 1:
            fields[name] = plain[first : first + head.points * size].view(kind)
        first += head.points * size
    return fields


@jit
def _unpack_lzf(packed: np.ndarray, plain: np.ndarray) -> int:
    """Decompress LibLZF from ``packed`` into ``plain``; return the bytes filled, -1 on damage.

    A control byte below 32 is the number of literal bytes that follow, minus one. Any other gives,
    with the one or two bytes after it, the length and distance of a back reference.
    """
    at, filled = 0, 0
    while at < len(packed):
        control = int(packed[at])
        at += 1
        if control < 32:
            count, source = control + 1, at
            if at + count > len(packed) or filled + count > len(plain):
                return -1
            plain[filled : filled + count] = packed[source : source + count]
            at += count
        else:
            count = (control >> 5) + 2
            if count == 9 and at < len(packed):
                count += int(packed[at])
                at += 1
            if at >= len(packed):
                return -1
            source = filled - ((control & 31) << 8) - int(packed[at]) - 1
            at += 1
            if source < 0 or filled + count > len(plain):
                return -1
            for i in range(count):  # one by one: source and target may overlap
                plain[filled + i] = plain[source + i]
        filled += count
    return filled


def _unpacked(colour: np.ndarray) -> np.ndarray:
    """Bytes 0x00RRGGBB, as an integer or as the float of the same bits: (N, 3) of 8 bits."""
    bits = colour.astype("<f4").view("<u4") if colour.dtype.kind == "f" else colour
    return np.stack([(bits >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)


FORMAT = Format("PCD", (".pcd",), _read, (b"# .PCD", b"VERSION"))

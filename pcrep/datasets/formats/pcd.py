"""PCD, the format of PCL: text, binary and compressed.

Open3D reads it too, but accepts text files that are cut off or hold words.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.headers import header
from pcrep.datasets.formats.records import (
    CHUNK,
    Rows,
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
from tspcrep.common.jit import jit

_TYPES = {f"{kind}{n}": np.dtype(f"<{kind.lower()}{n}") for kind in "IU" for n in (1, 2, 4, 8)}
_TYPES |= {"F4": np.dtype("<f4"), "F8": np.dtype("<f8")}
_PACKED = ("rgb", "rgba")
_MOST = 100  # bytes that one byte of LZF unpacks to: 264 from three
_KINDS = ("ascii", "binary", "binary_compressed")


@dataclass
class _Header:
    names: list[str]
    types: list[np.dtype]
    counts: list[int]  # numbers in a field
    points: int
    height: int
    kind: str

    @property
    def record(self) -> np.dtype:
        fields = zip(self.names, self.types, self.counts, strict=True)
        return np.dtype([(name, kind, (count,)) for name, kind, count in fields])


def _read(path: Path, max_points: int) -> Columns:
    """Columns of a PCD; fields of several numbers, such as histograms, are left out.

    In an organised cloud (HEIGHT above 1) pixels without depth are NaN: they are left out here,
    without a warning.
    """
    lines, start = header(path, "DATA", "PCD")
    head = _parse(lines, path)
    rows: Rows = slice(None)
    if head.points == 0:
        return {"coords": np.empty((0, 3))}
    if head.kind == "binary":
        judge_records(path, start, head.points, head.record)
        rows = rows_to_read(head.points, path, max_points)
        fields = _binary(path, start, head, rows)
    else:
        judge_count(head.points, path, max_points)
        read = _text if head.kind == "ascii" else _compressed
        fields = read(path, start, head)
    arrays = {
        "rgb" if name in _PACKED else name: _unpacked(values) if name in _PACKED else values
        for name, values in fields.items()
    }
    columns = numbered(select(arrays, path), rows)
    if head.height > 1:
        seen = ~np.isnan(columns["coords"]).any(axis=1)
        if not seen.all():
            columns = {"row": np.arange(len(seen))} | columns
            columns = {name: values[seen] for name, values in columns.items()}
    return columns


def _parse(lines: list[list[str]], path: Path) -> _Header:
    said = {line[0]: line[1:] for line in lines if line}
    for name, before in (("FIELDS", "COLUMNS"), ("POINTS", "WIDTH")):  # before 0.7
        if name not in said and before in said:
            said[name] = said[before]
    try:
        # a field "_" is padding, and there may be several
        names = [f"_{i}" if name == "_" else name for i, name in enumerate(said["FIELDS"])]
        kinds = zip(said["TYPE"], said["SIZE"], strict=True)
        head = _Header(
            names=names,
            types=[_TYPES[kind + size] for kind, size in kinds],
            counts=[int(number) for number in said.get("COUNT", ["1"] * len(names))],
            points=int(said["POINTS"][0]),
            height=int(said.get("HEIGHT", ["1"])[0]),
            kind=said["DATA"][0].lower(),
        )
        if not len(set(names)) == len(head.types) == len(head.counts):
            raise ValueError("not one name, TYPE, SIZE and COUNT for each field")
        if min(head.points, *head.counts) < 0 or 0 in head.counts:
            raise ValueError("a count below 1")
        if (
            sum(kind.itemsize * n for kind, n in zip(head.types, head.counts, strict=True))
            > 1 << 20
        ):
            raise ValueError("points of more than a megabyte")
        if head.kind not in _KINDS:
            raise ValueError(f"DATA {head.kind}")
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: its PCD header is damaged ({error}), expected FIELDS, SIZE, TYPE, HEIGHT, "
            f"POINTS and DATA, which is {', '.join(_KINDS)}; write it again"
        ) from None
    return head


def _text(path: Path, start: int, head: _Header) -> dict[str, np.ndarray]:
    """Values in float64 whatever the type: the text may have more digits than the type."""
    values = numbers(path, start, r"\s+", sum(head.counts), head.points, rows=head.points)
    judge_whole(path, len(values), head.points)
    fields, column = {}, 0
    for name, kind, count in zip(head.names, head.types, head.counts, strict=True):
        if count == 1:
            packed = name in _PACKED and kind.kind == "f" and not _is_integer(values[:, column])
            fields[name] = values[:, column].astype("<f4") if packed else values[:, column]
        column += count
    return fields


def _is_integer(packed: np.ndarray) -> bool:
    """Whether a packed colour of type F was written as an integer, also with opacity or a sign.

    Else it is the float of the same bits, which is tiny or, with opacity, huge.
    """
    largest = float(np.nanmax(np.abs(packed), initial=0))
    return 1 <= largest < 2**32


def _binary(path: Path, start: int, head: _Header, rows: Rows) -> dict[str, np.ndarray]:
    points = records(path, start, head.points, head.record, rows)
    alone = zip(head.names, head.counts, strict=True)
    return {name: points[name][:, 0] for name, count in alone if count == 1}


def _compressed(path: Path, start: int, head: _Header) -> dict[str, np.ndarray]:
    columns = zip(head.names, head.types, head.counts, _columns(path, start, head), strict=True)
    return {name: column.view(kind) for name, kind, count, column in columns if count == 1}


def _columns(path: Path, start: int, head: _Header) -> list[np.ndarray]:
    """Bytes of each field, which are stored one after the other, each for all points."""
    sizes = [kind.itemsize * n for kind, n in zip(head.types, head.counts, strict=True)]
    with path.open("rb") as file:
        file.seek(start)
        lengths = np.fromfile(file, "<u4", 2)
        packed = np.fromfile(file, np.uint8)
    packed = packed[: lengths[0] if len(lengths) == 2 else 0]
    size = head.points * sum(sizes)
    whole = lengths.tolist() == [len(packed), size] and size <= _MOST * len(packed)
    plain = np.empty(size if whole else 0, np.uint8)
    if not whole or _unpack_lzf(packed, plain) != len(plain):
        raise UserError(
            f"{path}: does not unpack to the {head.points} points of its header; it is cut off or "
            "damaged, get it again"
        )
    return np.split(plain, np.cumsum([head.points * size for size in sizes])[:-1])


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
    """Bytes 0x00RRGGBB, as an integer or as the float of the same bits: (N, 3).

    Of 8 bits, or float where some are NaN: with opacity, text gives that for reddish colours.
    """
    if colour.dtype == np.float32:
        bits = colour.view("<u4")
    else:
        bits = np.nan_to_num(colour).astype(np.int64)
    found = np.stack([(bits >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)
    unknown = np.isnan(colour)
    return np.where(unknown[:, None], np.nan, found.astype(np.float32)) if unknown.any() else found


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """The file with fields ``label``, ``confidence`` and maybe ``rgb`` behind the others."""
    lines, start = header(path, "DATA", "PCD")
    head = _parse(lines, path)
    values = fields.of_rows(head.points, path)
    if "red" in values:
        red, green, blue = (values.pop(name).astype(np.uint32) for name in ("red", "green", "blue"))
        values["rgb"] = red << 16 | green << 8 | blue
    kept = [i for i, name in enumerate(head.names) if name not in values]
    target.write(_new_header(lines, head, kept, values))
    if head.kind == "ascii":
        of_fields = zip(head.names, head.counts, strict=True)
        columns = [name for name, count in of_fields for _ in range(count)]
        with path.open("rb") as source:
            source.seek(start)
            write_lines(source, target, columns, values)
    elif head.kind == "binary":
        _write_binary(path, start, target, head, kept, values)
    else:
        old = _columns(path, start, head)
        parts = [old[i] for i in kept] + [column.view(np.uint8) for column in values.values()]
        packed = _pack_lzf(np.concatenate(parts))
        target.write(np.array([len(packed), sum(map(len, parts))], "<u4").tobytes() + packed)


def _new_header(
    lines: list[list[str]], head: _Header, kept: list[int], values: dict[str, np.ndarray]
) -> bytes:
    kinds = [column.dtype for column in values.values()]
    added = {
        "FIELDS": list(values),
        "SIZE": [str(kind.itemsize) for kind in kinds],
        "TYPE": [kind.kind.upper() for kind in kinds],
        "COUNT": ["1"] * len(kinds),
    }
    out = []
    for words in lines:
        key = "FIELDS" if words[:1] == ["COLUMNS"] else (words or [""])[0]
        if key in added:
            words = [key, *(words[1 + i] for i in kept), *added[key]]
        out.append(" ".join(words))
    return ("\n".join(out) + "\n").encode("latin1")


def _write_binary(
    path: Path,
    start: int,
    target: BinaryIO,
    head: _Header,
    kept: list[int],
    values: dict[str, np.ndarray],
) -> None:
    fields = list(zip(head.names, head.types, head.counts, strict=True))
    record = np.dtype([(name, kind, (count,)) for name, kind, count in fields])
    new = [(name, column.dtype, (1,)) for name, column in values.items()]
    kind = np.dtype([(fields[i][0], fields[i][1], (fields[i][2],)) for i in kept] + new)
    with path.open("rb") as source:
        source.seek(start)
        for first in range(0, head.points, CHUNK):
            rows = np.fromfile(source, record, min(CHUNK, head.points - first))
            out = np.empty(len(rows), kind)
            for i in kept:
                out[head.names[i]] = rows[head.names[i]]
            for name, column in values.items():
                out[name][:, 0] = column[first : first + len(rows)]
            target.write(out.tobytes())


def _pack_lzf(plain: np.ndarray) -> bytes:
    """LibLZF's form without compression: runs of at most 32 bytes behind their length less one."""
    whole = len(plain) // 32 * 32
    runs = np.full((whole // 32, 33), 31, np.uint8)
    runs[:, 1:] = plain[:whole].reshape(-1, 32)
    rest = plain[whole:].tobytes()
    return runs.tobytes() + (bytes([len(rest) - 1]) + rest if rest else b"")


# A file may begin with any remark.
FORMAT = Format("PCD", (".pcd",), _read, (b"# .PCD", b"VERSION"), marked=False, write=_write)

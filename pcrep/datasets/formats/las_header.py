"""What the header of a LAS or LAZ file announces, checked before laspy reads it.

laspy and its LAZ backend believe the numbers of a damaged header: they read millions of records, or
ask for memory for billions of chunks, which aborts the interpreter.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tspcrep.common.errors import UserError

# Bytes of each type of item that a point is compressed in; 0 where they differ. LASzip.
_ITEMS = {0: 0, 6: 20, 7: 8, 8: 6, 9: 29, 10: 30, 11: 6, 12: 8, 13: 29, 14: 0}
# Layers that an item is compressed in, after the point formats 6 and up; of bytes, one for each.
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}
_BYTES = 14
_POINTWISE, _CHUNKED, _LAYERED = 1, 2, 3  # compressors of LASzip
_LARGEST = 10_000_000  # points of a chunk, for which memory is asked at once; 50,000 are usual
_VARIABLE = 0xFFFFFFFF  # size of chunks of different sizes


@dataclass(frozen=True)
class _Header:
    """points_at : byte of the first point. length : bytes of a point. count : points."""

    size: int
    points_at: int
    records: int
    records_after: int
    packed: bool
    length: int
    count: int


def judge_header(path: Path) -> None:
    """Raise UserError where a header announces what cannot be in the file."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = _parse(file.read(375))
            _judge_records(head, size)
            if head.packed and head.count:
                file.seek(head.size)
                records = file.read(head.points_at - head.size)
                packing = _laszip_record(records, head.records)
                if packing[:1] == bytes([_POINTWISE]) and packing[32:34] != b"\0\0":
                    raise UserError(
                        f"{path}: was packed by LASzip 1, expected a later one; save it again with "
                        "LAStools or PDAL"
                    )
                chunk, layers = _judge_compression(packing, head)
                chunks, table = _judge_chunks(file, head, size, chunk)
                if layers:
                    _judge_layers(file, head, layers, chunks, table)
    except (struct.error, ValueError) as damage:
        told = "is too short" if isinstance(damage, struct.error) else damage
        raise UserError(
            f"{path}: its LAS header {told}; it is cut off or damaged, get it again"
        ) from None


def _parse(start: bytes) -> _Header:
    size, points_at, records, kind, length, count = struct.unpack_from("<HIIBHI", start, 94)
    records_after = 0
    if start[24:26] == b"\1\4":
        records_after, count = struct.unpack_from("<IQ", start, 243)
    return _Header(size, points_at, records, records_after, kind >= 64, length, count)


def _judge_records(head: _Header, size: int) -> None:
    if (
        head.points_at > size
        or 54 * head.records > head.points_at
        or 60 * head.records_after > size
        or head.size > head.points_at
    ):
        raise ValueError(
            f"announces {head.records} records before the points at byte {head.points_at} and "
            f"{head.records_after} after them, expected them to fit in {size} bytes"
        )


def _judge_compression(packing: bytes, head: _Header) -> tuple[int, int]:
    """Points of a chunk, and layers that they are kept in, 0 where there are none."""
    compressor, _, _, _, _, _, chunk = struct.unpack_from("<HHBBHII", packing)
    (items,) = struct.unpack_from("<H", packing, 32)
    sizes, layers, known = 0, 0, True
    for number in range(items):
        kind, length, version = struct.unpack_from("<HHH", packing, 34 + 6 * number)
        sizes += length
        layers += length if kind == _BYTES else _LAYERS.get(kind, 0)
        known &= kind in _ITEMS and _ITEMS[kind] in (0, length) and 1 <= version <= 4
    if sizes != head.length or not known or compressor not in (_CHUNKED, _LAYERED):
        raise ValueError(
            f"announces compressor {compressor} and points of {sizes} bytes in {items} parts, "
            f"expected 2 or 3 and {head.length} bytes"
        )
    if not (0 < chunk <= _LARGEST or chunk == _VARIABLE):
        raise ValueError(f"announces chunks of {chunk} points, expected 1 .. {_LARGEST:,}")
    return chunk, layers if compressor == _LAYERED else 0


def _laszip_record(records: bytes, count: int) -> bytes:
    at = 0
    for _ in range(count):
        user, number, length = struct.unpack_from("<2x16sHH", records, at)
        at += 54
        if user.rstrip(b"\0") == b"laszip encoded" and number == 22204:
            return records[at : at + length]
        at += length
    raise ValueError("has no record of the compression, expected one of LASzip")


def _judge_chunks(file: BinaryIO, head: _Header, size: int, chunk: int) -> tuple[int, int]:
    """Number of chunks, and the byte behind them, where their table begins."""
    file.seek(head.points_at)
    (table,) = struct.unpack("<q", file.read(8))
    if table == -1:  # written to a pipe: the place stands at the end
        file.seek(size - 8)
        (table,) = struct.unpack("<q", file.read(8))
    first = head.points_at + 8
    if not first <= table <= size - 8:
        raise ValueError(f"puts its chunk table at byte {table}, expected {first} .. {size - 8}")
    file.seek(table + 4)
    (chunks,) = struct.unpack("<I", file.read(4))
    # Every chunk begins with a point as it is; the last may be an empty one.
    most = min((table - first) // head.length, head.count) + 1
    if chunk != _VARIABLE:
        most = min(most, -(-head.count // chunk) + 1)
    if chunks > most:
        raise ValueError(f"announces {chunks} chunks of {chunk} points, expected at most {most}")
    largest = min(chunk, _LARGEST)
    if head.count > chunks * largest:
        raise ValueError(
            f"announces {head.count} points, expected {chunks} chunks of up to {largest}"
        )
    return chunks, table


def _judge_layers(file: BinaryIO, head: _Header, layers: int, chunks: int, table: int) -> None:
    """A chunk in layers: a point as it is, the number of points, the bytes of each layer, these."""
    at = head.points_at + 8
    for number in range(chunks):
        if at == table:
            return
        file.seek(at + head.length)
        count, *sizes = struct.unpack(f"<{1 + layers}I", file.read(4 + 4 * layers))
        at += head.length + 4 + 4 * layers + sum(sizes)
        if at > table or count > min(_LARGEST, head.count):
            raise ValueError(
                f"has a chunk {number} of {count} points that ends at byte {at}, expected it to "
                f"end at byte {table} at the latest"
            )

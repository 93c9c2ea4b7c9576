"""LAS and LAZ, read through laspy."""

import struct
from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import CHUNK, judge_whole, rows_to_read, within
from tspcrep.common.errors import UserError

_COLOURS = ("red", "green", "blue")


def _read(path: Path, max_points: int) -> Columns:
    """Columns of an airborne or terrestrial scan.

    Coordinates are float64, from the file's integers, scale and offset; ``to_cloud`` subtracts an
    origin. ``classification`` becomes the label, ``treeID`` the instance. Colours, intensities or
    classifications that are 0 throughout were never set and are left out.
    """
    try:
        import laspy
    except ImportError:
        raise UserError("LAS files need laspy: pip install 'tspcrep[points]'") from None
    _judge_header(path)
    try:
        with laspy.open(path) as file:
            count = file.header.point_count
            if not file.header.are_points_compressed:
                room = path.stat().st_size - file.header.offset_to_point_data
                judge_whole(path, room // file.header.point_format.size, count)
            rows = rows_to_read(count, path, max_points)
            chunks, found = [], 0
            for chunk in file.chunk_iterator(CHUNK):
                chunks.append(_columns(chunk[within(rows, found, len(chunk))]))
                found += len(chunk)
    except UserError:
        raise
    # laspy, its LAZ backend and numpy each raise their own errors for the same broken bytes.
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as LAS ({error}); it is cut off or damaged, get it again"
        ) from None
    judge_whole(path, found, count)
    if not chunks:
        return {"coords": np.empty((0, 3))}
    arrays = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    columns = select(arrays, path)
    return {n: v for n, v in columns.items() if n == "coords" or v.any()}


def _judge_header(path: Path) -> None:
    """Raise UserError where the header announces more variable length records than fit.

    laspy would try to read them, millions after a wrong byte.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(247)
    points, before = struct.unpack_from("<II", start, 96) if len(start) >= 104 else (0, 0)
    after = 0
    if len(start) == 247 and start[24:26] == b"\1\4":
        (after,) = struct.unpack_from("<I", start, 243)
    if points > size or 54 * before > points or 60 * after > size:
        raise UserError(
            f"{path}: its LAS header announces {before} records before the points at byte {points} "
            f"and {after} after them, expected them to fit in {size} bytes; it is cut off or "
            "damaged, get it again"
        )


def _columns(chunk) -> dict[str, np.ndarray]:
    wanted = {"intensity", "classification", "treeID", *_COLOURS}
    names = wanted.intersection(chunk.point_format.dimension_names)
    arrays = {axis: np.asarray(getattr(chunk, axis)) for axis in "xyz"}
    return arrays | {name: np.asarray(chunk[name]) for name in names}


FORMAT = Format("LAS", (".las", ".laz"), _read, (b"LASF",))

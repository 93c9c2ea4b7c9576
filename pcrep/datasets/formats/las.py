"""LAS and LAZ, read and written through laspy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.las_header import judge_header
from pcrep.datasets.formats.names import KNOWN, plain
from pcrep.datasets.formats.records import CHUNK, judge_whole, numbered, rows_to_read, within
from tspcrep.common.errors import UserError

_UNSET = ("intensity", "classification", "red", "green", "blue")


def _read(path: Path, max_points: int) -> Columns:
    """Columns of an airborne or terrestrial scan.

    Coordinates are float64, from the file's integers, scale and offset; ``to_cloud`` subtracts an
    origin. The label is an extra dimension of such a name, or else the classification; instances
    are extra dimensions, such as treeID. Colours, intensities or classifications that are 0
    throughout were never set and are left out.
    """
    with opened(path) as file:
        count = file.header.point_count
        rows = rows_to_read(count, path, max_points)
        chunks, found = [], 0
        for chunk in file.chunk_iterator(CHUNK):
            chunks.append(_columns(chunk[within(rows, found, len(chunk))]))
            found += len(chunk)
    judge_whole(path, found, count)
    if not chunks:
        return {"coords": np.empty((0, 3))}
    arrays = {name: np.concatenate([chunk.pop(name) for chunk in chunks]) for name in [*chunks[0]]}
    set_ = {n: v for n, v in arrays.items() if plain(n) not in _UNSET or v.any()}
    return numbered(select(set_, path), rows)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """laspy's reader of a file; what it and its parts raise becomes a UserError.

    One of them, the LAZ backend, panics with an exception that is no Exception.
    """
    laspy = _laspy()
    judge_header(path)
    try:
        with laspy.open(path) as file:
            if not file.header.are_points_compressed:
                room = path.stat().st_size - file.header.offset_to_point_data
                judge_whole(path, room // file.header.point_format.size, file.header.point_count)
            yield file
    except UserError:
        raise
    # laspy, its LAZ backend and numpy each raise their own errors for the same broken bytes.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"{path}: cannot be read as LAS ({' '.join(str(error).split())}); it is cut off or "
            "damaged, get it again"
        ) from None


def _laspy() -> ModuleType:
    try:
        import laspy
    except ImportError:
        raise UserError("LAS files need laspy: pip install 'tspcrep[points]'") from None
    return laspy


def _columns(chunk: Any) -> dict[str, np.ndarray]:
    known = [name for name in chunk.point_format.dimension_names if plain(name) in KNOWN - {*"xyz"}]
    arrays = {axis: np.asarray(getattr(chunk, axis)) for axis in "xyz"}
    return arrays | {name: np.asarray(chunk[name]) for name in known}


FORMAT = Format("LAS", (".las", ".laz"), _read, (b"LASF",))

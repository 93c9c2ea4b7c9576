"""LAS and LAZ, read and written through laspy."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.las_header import judge_header
from pcrep.datasets.formats.names import KNOWN, plain
from pcrep.datasets.formats.records import CHUNK, judge_whole, numbered, rows_to_read, within
from tspcrep.common.errors import UserError

_COLOURS = ("red", "green", "blue")
_UNSET = ("intensity", "classification", *_COLOURS)


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


def chunks(path: Path, size: int = CHUNK) -> Iterator[Columns]:
    """Columns of every ``size`` points in turn, of a file too large to be read at once.

    They are as the file has them, also where they are 0 throughout.
    """
    with opened(path) as file:
        found = 0
        for chunk in file.chunk_iterator(size):
            yield select(_columns(chunk), path)
            found += len(chunk)
        judge_whole(path, found, file.header.point_count)


def point_count(path: Path) -> int:
    """Points that the header announces."""
    with opened(path) as file:
        return file.header.point_count


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """laspy's reader of a file; what it and its parts raise becomes a UserError.

    One of them, the LAZ backend, panics with an exception that is no Exception.
    """
    laspy = _laspy()
    judge_header(path)
    try:
        with laspy.open(path) as file:
            room = path.stat().st_size - file.header.offset_to_point_data
            if not file.header.are_points_compressed:
                judge_whole(path, room // file.header.point_format.size, file.header.point_count)
            elif file.header.point_count:
                _judge_table(path, file.header, room)
            yield file
    except (UserError, Warning):  # ours
        raise
    except OSError as error:  # also of what is written meanwhile
        if error.errno is not None:
            raise
        raise UserError(f"{path}: cannot be read as LAS ({error})") from None
    # laspy, its LAZ backend and numpy each raise their own errors for the same broken bytes.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise UserError(
            f"{path}: cannot be read as LAS ({' '.join(str(error).split())}); it is cut off or "
            "damaged, get it again"
        ) from None


def _judge_table(path: Path, header: Any, room: int) -> None:
    """Raise UserError where chunks are longer than the file, in which the backend would panic."""
    import lazrs

    (record,) = header.vlrs.get("LasZipVlr")
    with path.open("rb") as file:
        file.seek(header.offset_to_point_data)
        chunks = lazrs.read_chunk_table(file, lazrs.LazVlr(record.record_data))
    length = sum(length for _, length in chunks)
    if length > room:
        raise UserError(
            f"{path}: its {len(chunks)} chunks have {length} bytes, expected at most {room}; it is "
            "cut off or damaged, get it again"
        )


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


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """The file with extra dimensions ``label`` and ``confidence``, and the classification.

    The classification is the code of each class, where its bits can hold them all; else it stays
    as it was. All else stays, but for the index of a COPC file, which would not fit any more.
    """
    laspy = _laspy()
    with opened(path) as file:
        count = file.header.point_count
        values = fields.of_rows(count, path)
        kind = file.header.point_format.id
        header = _header(laspy, file.header, values)
        packed = file.header.are_points_compressed
        with laspy.open(target, "w", header=header, do_compress=packed, closefd=False) as out:
            found = 0
            for chunk in file.chunk_iterator(CHUNK):
                points = laspy.ScaleAwarePointRecord.zeros(len(chunk), header=header)
                for name in set(chunk.array.dtype.names) & set(points.array.dtype.names):
                    points.array[name] = chunk.array[name]  # as they are, in integers
                own = {n: v[found : found + len(chunk)] for n, v in values.items()}
                _set(points, own | _codes(own["label"], fields.codes, kind))
                out.write_points(points)
                found += len(chunk)
            later = [r for r in file.evlrs or () if r.user_id.lower() != "copc"]
            if later:
                out.write_evlrs(laspy.vlrs.vlrlist.VLRList(later))


def _codes(label: np.ndarray, codes: np.ndarray, kind: int) -> dict[str, np.ndarray]:
    if codes.max() > (31 if kind < 6 else 255):
        return {}
    return {"classification": np.where(label < 0, 0, codes[label]).astype(np.uint8)}


def _header(laspy: ModuleType, source: Any, values: dict[str, np.ndarray]) -> Any:
    """The header of a file, with dimensions for the values."""
    header = deepcopy(source)
    header.vlrs = type(header.vlrs)(v for v in header.vlrs if v.user_id.lower() != "copc")
    extra = [name for name in ("label", "confidence") if name in values]
    for name in set(extra) & set(header.point_format.dimension_names):
        header.remove_extra_dim(name)
    header.add_extra_dims([laspy.ExtraBytesParams(name, values[name].dtype) for name in extra])
    return header


def _set(points: Any, values: dict[str, np.ndarray]) -> None:
    known = set(points.point_format.dimension_names)
    for name, of_points in values.items():
        if name in _COLOURS:
            of_points = of_points.astype(np.uint16) * 257
        if name in known:
            points[name] = of_points


FORMAT = Format("LAS", (".las", ".laz"), _read, (b"LASF",), write=_write)

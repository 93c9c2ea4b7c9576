"""Headerless float32 records: LiDAR frames (KITTI, nuScenes) and coloured points.

The file does not state the record length. It is the first of these that divides the file size and
whose columns are plausible:

    5  x y z intensity ring      ring a whole number in 0 .. 127 (nuScenes)
    6  x y z red green blue      colours all in 0 .. 1, or all whole numbers in 0 .. 255
    4  x y z intensity           intensity not negative (KITTI)

LiDAR frames, metres across and with fractional intensities, fit none of the longer ones. A cloud
within the unit cube is taken for coloured points if its size allows it.
"""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format
from pcrep.datasets.formats.records import Rows, records, rows_to_read
from tspcrep.common.errors import UserError

_LENGTHS = (5, 6, 4)
_LOOK = 1_000_000  # records that the length is judged by


def _read(path: Path, max_points: int) -> Columns:
    """Columns of a ``.bin`` and of its ``.label``.

    Labels of SemanticKITTI lie beside the frame or in ``../labels``, one 32-bit word per point:
    ``label`` is its lower half. ``instance`` is the whole word where the upper half is not 0, else
    -1, since the upper half alone restarts for each class.
    """
    size = path.stat().st_size
    lengths = [n for n in _LENGTHS if size % (4 * n) == 0]
    if path.name.endswith(".pcd.bin"):  # nuScenes' own suffix
        lengths = [n for n in lengths if n == 5]
    length = next((n for n in lengths if _fits(np.fromfile(path, _record(n), _LOOK), n)), None)
    if length is None:
        raise UserError(
            f"{path}: {size} bytes, expected float32 records of 16 (x y z, intensity not negative),"
            " 20 (and a ring in 0 .. 127) or 24 (x y z r g b, colours in 0 .. 1 or whole in 0 .. "
            "255); the file is cut off or of another kind"
        )
    count = size // (4 * length)
    rows = rows_to_read(count, path, max_points)
    labels = _labels(path, count, rows)
    values = records(path, 0, count, _record(length), rows)
    beside = {"colour": values[:, 3:]} if length == 6 else {"intensity": values[:, 3]}
    return {"coords": values[:, :3]} | beside | labels


def _record(length: int) -> np.dtype:
    return np.dtype(("<f4", (length,)))


def _fits(values: np.ndarray, length: int) -> bool:
    beside = values[:, 3:]
    if not (beside >= 0).all():  # NaN too
        return False
    if length == 5:
        return _whole(beside[:, 1], 127)
    if length == 6:
        return bool((beside <= 1).all()) or _whole(beside, 255)
    return bool((beside < 1e6).all())


def _whole(values: np.ndarray, most: int) -> bool:
    return bool(((values <= most) & (values == np.floor(values))).all())


def label_file(path: Path) -> Path | None:
    """Path of the ``.label`` of a frame, or None."""
    beside = path.with_suffix(".label")
    apart = path.parent.parent / "labels" / beside.name
    return next((place for place in (beside, apart) if place.is_file()), None)


def _labels(path: Path, count: int, rows: Rows) -> Columns:
    place = label_file(path)
    if place is None:
        return {}
    size = place.stat().st_size
    if size != 4 * count:
        raise UserError(
            f"{place}: {size} bytes, expected {4 * count}, 4 for each of the {count} points of "
            f"{path.name}; the two do not belong together or one is cut off"
        )
    words = records(place, 0, count, np.dtype("<u4"), rows).astype(np.int64)
    return {"label": words & 0xFFFF, "instance": np.where(words >> 16, words, -1)}


FORMAT = Format("binary", (".bin",), _read)

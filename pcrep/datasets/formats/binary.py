"""Headerless float32 records: LiDAR frames (KITTI, nuScenes) and coloured points.

The file does not state the record length. Without names of the columns, it is the first of these
that divides the file size and whose columns are plausible:

    5  x y z intensity ring      ring a whole number in 0 .. 127 (nuScenes)
    6  x y z red green blue      colours all in 0 .. 1, or all whole numbers in 0 .. 255
    4  x y z intensity           intensity a number below a million (KITTI)

LiDAR frames, metres across and with fractional intensities, fit none of the longer ones. A cloud
within the unit cube is taken for coloured points if its size allows it. Files of labels, of other
types and of other lengths are told by values that no coordinates have, and by columns that are
whole numbers, or far more spread, in every second, third, ... record only.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcrep.datasets.formats.beside import NONE
from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.records import numbered, records, rows_to_read
from tspcrep.common.errors import UserError

_COLUMNS = {
    5: ("x", "y", "z", "intensity", ""),
    6: ("x", "y", "z", "r", "g", "b"),
    4: ("x", "y", "z", "intensity"),
}
_LOOK = 1_000_000  # records that the length is judged by
_TINY, _FAR = 1e-10, 1e7  # metres; coordinates that are not 0 lie between
_UNLIKE = 4  # times the spread of other records
_ENOUGH = 50  # records to compare with as many


def _read(path: Path, max_points: int, names: tuple[str, ...] = ()) -> Columns:
    """Columns of a ``.bin``. names : of the float32 of a record, by default judged."""
    size, length = path.stat().st_size, _length(path, names)
    count = size // (4 * length)
    rows = rows_to_read(count, path, max_points)
    values = records(path, 0, count, _record(length), rows)
    named = zip(names or _COLUMNS[length], values.T, strict=True)
    return numbered(select({name: column for name, column in named if name}, path), rows)


def _length(path: Path, names: tuple[str, ...]) -> int:
    """Numbers of a record: those that are named, or the first that are plausible."""
    size = path.stat().st_size
    lengths = [len(names)] if names else list(_COLUMNS)
    if path.name.endswith(".pcd.bin") and not names:  # nuScenes' own suffix
        lengths = [5]
    lengths = [n for n in lengths if size % (4 * n) == 0]
    if not names:
        lengths = [n for n in lengths if _fits(np.fromfile(path, _record(n), _LOOK), n)]
    if not lengths:
        usual = (
            "of 16 (x y z intensity), 20 (and a ring in 0 .. 127) or 24 (x y z r g b, colours in "
            "0 .. 1 or whole in 0 .. 255)"
        )
        raise UserError(
            f"{path}: {size} bytes, expected float32 records "
            f"{f'of {4 * len(names)}' if names else usual}; the file is cut off or of another "
            "kind: name its columns with --columns if they are float32"
        )
    return lengths[0]


def _record(length: int) -> np.dtype:
    return np.dtype(("<f4", (length,)))


def _fits(values: np.ndarray, length: int) -> bool:
    beside = values[:, 3:]
    if not np.isfinite(beside).all() or not _are_coordinates(values[:, :3]):
        return False
    if length == 5 and not ((beside >= 0).all() and _whole(beside[:, 1], 127)):
        return False
    if length == 6 and not (_unit(beside) or _whole(beside, 255)):
        return False
    return bool((np.abs(beside[:, 0]) < 1e6).all()) and _of_one_kind(values)


def _are_coordinates(coords: np.ndarray) -> bool:
    """Whether most numbers that are not 0 have the size of metres, and some axis is not 0.

    Integers and halves of float64, read as float32, are tiny, huge, or 0 in every other place.
    """
    size = np.abs(coords[np.isfinite(coords) & (coords != 0)])
    usual = (size > _TINY) & (size < _FAR)
    empty = (coords == 0).all(axis=0).sum()
    return bool(len(size) and usual.mean() > 0.9 and (empty < 2 or len(coords) < 2 * _ENOUGH))


def _of_one_kind(values: np.ndarray) -> bool:
    """Whether every second, third, ... record is like the others, so that none is half a record."""
    for period in (2, 3, 5, 7, 11):
        if len(values) >= _ENOUGH * period:
            for column in values.T:
                parts = [column[i::period] for i in range(period)]
                whole = [np.mean(part == np.floor(part)) for part in parts]
                spread = [np.ptp(np.nanquantile(part, (0.1, 0.9))) for part in parts]
                if (min(whole) < 0.5 and max(whole) > 0.99) or max(spread) > _UNLIKE * min(spread):
                    return False
    return True


def _unit(values: np.ndarray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _whole(values: np.ndarray, most: float) -> bool:
    return bool(((values >= 0) & (values <= most) & (values == np.floor(values))).all())


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """A ``.label`` file: 32-bit words, whose lower half is the number of the class.

    None is 65535; or 0 where the classes have numbers of their own, as in SemanticKITTI.
    """
    length = _length(path, fields.names)
    label = fields.of_rows(path.stat().st_size // (4 * length), path)["label"]
    codes = fields.codes
    if codes.max() >= NONE:
        raise UserError(
            f"{path}: a class has the number {codes.max()}, expected less than {NONE}, as fits "
            "into a .label; train with a --label-map of smaller numbers"
        )
    none = NONE if 0 in codes else 0
    target.write(np.where(label < 0, none, codes[label]).astype("<u4").tobytes())


FORMAT = Format("binary", (".bin",), _read, unnamed=True, write=_write, written=".label")

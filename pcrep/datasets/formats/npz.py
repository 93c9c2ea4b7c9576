"""NumPy archives of named arrays."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pcrep.datasets.formats import npy
from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.formats.names import NAMES, plain
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.arrays import read_arrays

_CLASS_NAMES = ("class_names", "classes")
_ALONE = "arr_0"  # the name of an array without one


def _read(path: Path, max_points: int, names: tuple[str, ...] = ()) -> Columns:
    """Columns of an ``.npz`` by the names of its arrays, without unpickling.

    An array without a name, of ``numpy.savez(path, array)``, is read as a ``.npy``.
    """
    arrays = read_arrays(path, lambda name: name not in _CLASS_NAMES)
    if _ALONE not in arrays:
        columns = select(arrays, path)
        judge_count(len(columns["coords"]), path, max_points)
        return columns
    coords = npy.columns(arrays.pop(_ALONE), path, max_points, names)
    return coords | select(arrays | {"coords": coords["coords"]}, path)


def class_names(path: Path) -> tuple[str, ...]:
    """Class names in an ``.npz``; empty where it has none."""
    arrays = read_arrays(path, _CLASS_NAMES.__contains__)
    return tuple(str(name) for names in arrays.values() for name in names.ravel())


def _write(path: Path, target: BinaryIO, fields: Fields) -> None:
    """The archive with arrays ``label``, ``confidence`` and, where asked for, ``colour``."""
    arrays = read_arrays(path)
    coords = arrays[_ALONE] if _ALONE in arrays else select(arrays, path)["coords"]
    kept: dict[str, Any] = {n: v for n, v in arrays.items() if plain(n) not in NAMES["label"]}
    np.savez(target, **kept | fields.arrays(len(coords), path))


FORMAT = Format("NPZ", (".npz",), _read, (b"PK\3\4",), unnamed=True, write=_write)

"""NumPy archives of named arrays."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pcrep.datasets.formats import npy
from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.errors import UserError

_CLASS_NAMES = ("class_names", "classes")


def _read(path: Path, max_points: int, names: tuple[str, ...] = ()) -> Columns:
    """Columns of an ``.npz`` by the names of its arrays, without unpickling.

    One array without a name, or named fields in one, are read as a ``.npy``.
    """
    arrays = _load(path, without=_CLASS_NAMES)
    if list(arrays) == ["arr_0"]:  # numpy.savez(path, array)
        return npy.columns(arrays["arr_0"], path, max_points, names)
    columns = select(arrays, path)
    judge_count(len(columns["coords"]), path, max_points)
    return columns


def class_names(path: Path) -> tuple[str, ...]:
    """Class names in an ``.npz``; empty where it has none."""
    arrays = _load(path, only=_CLASS_NAMES)
    return tuple(str(name) for names in arrays.values() for name in names.ravel())


def _load(
    path: Path, only: tuple[str, ...] | None = None, without: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [n for n in archive if n not in without and (only is None or n in only)]
            return {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path}: cannot be read as NPZ ({error}), expected arrays of numbers; write it again "
            "with numpy.savez"
        ) from None


FORMAT = Format("NPZ", (".npz",), _read, (b"PK\3\4",), unnamed=True)

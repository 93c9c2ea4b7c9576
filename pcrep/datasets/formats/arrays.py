"""A folder of NumPy arrays for each scene, as Pointcept keeps them: coord.npy, color.npy, ..."""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.errors import UserError

COORDS = "coord.npy"


def is_folder(path: Path) -> bool:
    return (path / COORDS).is_file()


def _read(path: Path, max_points: int) -> Columns:
    """Columns of the arrays in a folder, by their names, without unpickling."""
    found = {}
    for file in sorted(path.glob("*.npy")):
        if not file.name.startswith("."):
            try:
                found[file.stem] = np.load(file, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise UserError(
                    f"{file}: cannot be read as NPY ({error}), expected an array of numbers"
                ) from None
    columns = select(found, path)
    judge_count(len(columns["coords"]), path, max_points)
    return columns


FORMAT = Format("a folder of arrays", (), _read)

"""A folder of NumPy arrays for each scene, as Pointcept keeps them: coord.npy, color.npy, ..."""

from pathlib import Path

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.arrays import read_array

COORDS = "coord.npy"


def is_folder(path: Path) -> bool:
    return (path / COORDS).is_file()


def _read(path: Path, max_points: int) -> Columns:
    """Columns of the arrays in a folder, by their names, without unpickling."""
    found = {}
    for file in sorted(path.glob("*.npy")):
        if not file.name.startswith("."):
            found[file.stem] = read_array(file)
    columns = select(found, path)
    judge_count(len(columns["coords"]), path, max_points)
    return columns


FORMAT = Format("a folder of arrays", (), _read)

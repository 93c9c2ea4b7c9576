"""One file, whatever its format, as a cloud."""

from pathlib import Path

from common.errors import UserError
from pcrep.cloud import Cloud
from pcrep.datasets import arrays, binary, open3d_files
from pcrep.datasets.columns import MAX_POINTS, to_cloud

# What a file begins with, whatever it is called.
READERS = {
    ".pcd": open3d_files.read,
    ".npz": arrays.read,
    ".bin": binary.read,
}


def load_points(path: str | Path, max_points: int = MAX_POINTS) -> Cloud:
    """The points of a file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return to_cloud(READERS[path.suffix](path, max_points), path)

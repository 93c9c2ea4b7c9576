"""A folder of frames of a depth camera, as ScanNet's reader exports them, for each scene."""

from pathlib import Path

from pcrep.datasets.formats.columns import Columns, Format
from pcrep.datasets.formats.records import judge_count
from pcrep.datasets.rgbd import is_frames, read_frames


def scene_of(path: Path) -> Path | None:
    """The folder of frames that a file belongs to, if any."""
    folder = path.parent.parent
    return folder if is_frames(folder) else None


def _read(path: Path, max_points: int) -> Columns:
    cloud = read_frames(path)
    judge_count(len(cloud), path, max_points)
    return cloud.arrays()


FORMAT = Format("a folder of frames of a depth camera", (), _read)

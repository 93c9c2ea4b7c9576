"""SemanticKITTI: LiDAR frames of drives, with labels (J. Behley et al., ICCV 2019).

    sequences/00/velodyne/000000.bin  sequences/00/labels/000000.label

or frames in one folder, each beside its ``.label``.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.folders import natural
from pcrep.datasets.formats import load_points
from pcrep.datasets.formats.beside import label_file
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout
from tspcrep.common.errors import UserError

# The 19 classes of the single-scan task, in the order of the benchmark, and the annotated numbers
# that are mapped to each; moving objects are mapped to their class.
_ANNOTATED = {
    "car": (10, 252),
    "bicycle": (11,),
    "motorcycle": (15,),
    "truck": (18, 258),
    "other-vehicle": (13, 16, 20, 256, 257, 259),
    "person": (30, 254),
    "bicyclist": (31, 253),
    "motorcyclist": (32, 255),
    "road": (40, 60),
    "parking": (44,),
    "sidewalk": (48,),
    "other-ground": (49,),
    "building": (50,),
    "fence": (51,),
    "vegetation": (70,),
    "trunk": (71,),
    "terrain": (72,),
    "pole": (80,),
    "traffic-sign": (81,),
}
CLASSES = tuple(_ANNOTATED)
THINGS = CLASSES[:8]
"""The foreground: classes whose objects are annotated as instances."""

_IGNORED = (0, 1, 52, 99)  # unlabelled, outlier, other structure, other object
_VALIDATION = "08"
_UNKNOWN = -2


def _table() -> np.ndarray:
    table = np.full(1 << 16, _UNKNOWN)
    table[list(_IGNORED)] = -1
    for index, numbers in enumerate(_ANNOTATED.values()):
        table[list(numbers)] = index
    return table


def _files(folder: Path) -> list[Path]:
    """Frames of the sequences below ``folder``, or frames in it that have labels beside them."""
    for pattern in ("sequences/*/velodyne", "*/velodyne", "velodyne"):
        if found := natural(p for place in folder.glob(pattern) for p in place.glob("*.bin")):
            return found
    if any(folder.glob("*.label")) and not (folder / "classes.txt").exists():
        return natural(folder.glob("*.bin"))
    return []


def _frame(path: Path) -> Cloud:
    """A frame in sensor coordinates: x ahead, y left, z up, metres.

    ``label`` is an index into ``CLASSES``, or -1 where the benchmark ignores it. ``instance``
    numbers the things, see :mod:`pcrep.datasets.formats.beside`.
    """
    cloud = load_points(path)
    if cloud.label is None:
        return cloud
    label = _table()[cloud.label]
    if (label == _UNKNOWN).any():
        raise UserError(
            f"{label_file(path)}: holds the label {cloud.label[label == _UNKNOWN][0]}, expected "
            "SemanticKITTI's numbers; for your own classes put a classes.txt beside the files"
        )
    return replace(cloud, label=label)


def _part(path: Path, folder: Path) -> str | None:
    """Sequence 08 is the test set, as in the literature; frames without labels are unlabelled."""
    if path.parent.parent.name == _VALIDATION:
        return TEST
    return LEARN if label_file(path) else UNLABELLED


def _title(path: Path) -> str:
    inside = path.parent.name == "velodyne"
    return f"{path.parent.parent.name}-{path.stem}" if inside else path.stem


_NUMBERS = tuple(numbers[0] for numbers in _ANNOTATED.values())

LAYOUT = Layout("SemanticKITTI", _files, _frame, _title, _part, CLASSES, THINGS, _NUMBERS)

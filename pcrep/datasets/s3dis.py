"""S3DIS: rooms of offices, as published in text (I. Armeni et al., CVPR 2016).

Area_1/office_1/Annotations/chair_1.txt   x y z r g b, one object per file
"""

from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.folders import natural
from pcrep.datasets.formats import text
from pcrep.datasets.formats.columns import to_cloud
from pcrep.datasets.formats.records import MAX_POINTS, judge_count
from pcrep.datasets.layouts import LEARN, TEST, Layout
from tspcrep.common.errors import UserError

CLASSES = (
    *("ceiling", "floor", "wall", "beam", "column", "window", "door"),
    *("table", "chair", "sofa", "bookcase", "board", "clutter"),
)
THINGS = ("table", "chair", "sofa", "bookcase", "board")
"""The classes that are foreground."""

_COLUMNS = ("x", "y", "z", "r", "g", "b")
_ALSO_CLUTTER = ("stairs",)
_TEST_AREA = "Area_5"


def _files(folder: Path) -> list[Path]:
    """Rooms of the areas below ``folder``, of one area, or the room ``folder`` itself."""
    for pattern in ("*/*/Annotations", "*/Annotations", "Annotations"):
        if found := natural(path.parent for path in folder.glob(pattern)):
            return found
    return []


def _room(path: Path) -> Cloud:
    """A room, z up, metres. ``instance`` numbers the objects in the order of their names."""
    objects = natural((path / "Annotations").glob("*.txt"))
    if not objects:
        raise UserError(f"{path / 'Annotations'}: holds no .txt, expected one per object")
    parts: list[dict[str, np.ndarray]] = []
    for instance, file in enumerate(objects):
        columns = text.read(file, MAX_POINTS, _COLUMNS)
        count = len(columns["coords"])
        parts.append(
            columns
            | {
                "label": np.full(count, _class(file)),
                "instance": np.full(count, instance),
            }
        )
        judge_count(sum(len(p["coords"]) for p in parts), path, MAX_POINTS)
    shared = set.intersection(*(set(p) for p in parts))
    return to_cloud({name: np.concatenate([p[name] for p in parts]) for name in shared}, path)


def _class(file: Path) -> int:
    name = file.stem.rpartition("_")[0]
    if name in _ALSO_CLUTTER:
        name = "clutter"
    if name not in CLASSES:
        raise UserError(f"{file}: {name or file.stem} is no class, expected {', '.join(CLASSES)}")
    return CLASSES.index(name)


def _part(path: Path, folder: Path) -> str | None:
    """Area 5 is the test set, the other five are for training, as in the literature."""
    return TEST if path.parent.name == _TEST_AREA else LEARN


def _title(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


LAYOUT = Layout("S3DIS", _files, _room, _title, _part, CLASSES, THINGS)

"""mOSD: boxes and cylinders on a table, seen by an RGB-D camera; and the task mOSD-3 on it.

The modified Object Segmentation Database of S. Alexandrov, after A. Richtsfeld et al., IROS 2012.
Files are called ``learn0.pcd``, ``test31.pcd``, ...: the number says what kind of objects a scene
holds. In mOSD-3 an object's class is its scene's. Scenes of the learn set without a class, with
occluded objects of both kinds, are for pretraining; those of the test set are for nothing.
"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.formats import load_points
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout
from tspcrep.common.errors import UserError

CLASSES = ("table", "box", "cylinder")
THINGS = CLASSES[1:]
# First and last number of the scenes all of whose objects are of one class.
OF_ONE_CLASS = {
    ("learn", "box"): (0, 20),
    ("learn", "cylinder"): (33, 44),
    ("test", "box"): (0, 5),
    ("test", "cylinder"): (31, 36),
}
_NAME = re.compile(r"(learn|test)(\d+)\.pcd$")


def files(folder: Path) -> list[Path]:
    """The scenes below ``folder``: learn before test, then by number."""
    found = [(match, path) for path in folder.rglob("*.pcd") if (match := _NAME.match(path.name))]
    return [path for _, path in sorted(found, key=lambda f: (f[0][1], int(f[0][2])))]


def scene(path: Path) -> Cloud:
    """A scene in the camera's coordinates: x right, y down, z ahead, metres.

    The annotation numbers parts: 1-9 the table, 20-29 the first object, 30-39 the second, and so
    on. ``label`` is 0 on the table, and on objects the scene's class or -1. ``instance`` is 0, 1,
    ... on objects and -1 on the table: ``instance >= 0`` is the truth of object against table.
    """
    cloud = load_points(path)
    if cloud.label is None:
        raise UserError(f"{path}: has no field label, expected the annotation of mOSD")
    table = cloud.label < 20
    return replace(
        cloud,
        label=np.where(table, 0, object_class(path)),
        instance=np.where(table, -1, cloud.label // 10 - 2),
    )


def object_class(path: Path) -> int:
    """Class of all objects of a scene, an index of ``CLASSES``; -1 where they are of several."""
    part, number = _NAME.match(path.name).groups()
    for (of_part, name), (first, last) in OF_ONE_CLASS.items():
        if part == of_part and first <= int(number) <= last:
            return CLASSES.index(name)
    return -1


def part(path: Path, folder: Path) -> str | None:
    """What a scene is for in mOSD-3."""
    if path.name.startswith("learn"):
        return LEARN if object_class(path) >= 0 else UNLABELLED
    return TEST if object_class(path) >= 0 else None


LAYOUT = Layout(files, scene, lambda path: path.stem, part, CLASSES, THINGS)

"""mOSD: boxes and cylinders on a table, seen by an RGB-D camera; and the task mOSD-3 on it.

The modified Object Segmentation Database of S. Alexandrov, after A. Richtsfeld et al. (2012). Files
are called ``learn0.pcd``, ``test31.pcd``, ...: the number says what kind of objects a scene holds.
"""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.cloud import Cloud, Scenes
from pcrep.datasets.points import load_points

CLASSES = ("table", "box", "cylinder")
# First and last number of the scenes all of whose objects are of one class.
OF_ONE_CLASS = {
    ("learn", "box"): (0, 20),
    ("learn", "cylinder"): (33, 44),
    ("test", "box"): (0, 5),
    ("test", "cylinder"): (31, 36),
}
_NAME = re.compile(r"(learn|test)(\d+)\.pcd$")


def files(folder: Path) -> list[Path]:
    """The scenes below ``folder``, at any depth: learn before test, then by number."""
    found = [(match, path) for path in folder.rglob("*.pcd") if (match := _NAME.match(path.name))]
    return [path for match, path in sorted(found, key=lambda f: (f[0][1], int(f[0][2])))]


def object_class(path: Path) -> int:
    """Class of all objects of a scene, an index of ``CLASSES``; -1 where they are of several."""
    part, number = _NAME.match(path.name).groups()
    for (of_part, name), (first, last) in OF_ONE_CLASS.items():
        if part == of_part and first <= int(number) <= last:
            return CLASSES.index(name)
    return -1


def scene(path: Path) -> Cloud:
    """A scene in the camera's coordinates: x right, y down, z ahead, metres.

    The annotation numbers parts: 1-9 the table, 20-29 the first object, 30-39 the second. ``label``
    is 0 on the table and ``object_class`` on objects, ``instance`` is 0, 1, ... on objects and -1
    on the table, so that ``instance >= 0`` is the truth of table against object. Pixels without
    depth, which are NaN and annotated 0, are left out.
    """
    with warnings.catch_warnings():  # that a depth image has holes is no news
        warnings.filterwarnings("ignore", ".*not finite")
        cloud = load_points(path)
    if cloud.label is None:
        raise UserError(f"{path}: has no field label, expected the annotation of mOSD")
    table = cloud.label < 10
    return replace(
        cloud,
        label=np.where(table, 0, object_class(path)),
        instance=np.where(table, -1, cloud.label // 10 - 2),
    )


def scenes(folder: Path) -> Scenes:
    """All scenes there are, each labelled."""
    paths = files(folder)
    names = tuple(path.stem for path in paths)
    return Scenes(f"mosd ({folder})", names, lambda index: scene(paths[index]), CLASSES)


def parts(folder: Path) -> tuple[list[int], list[int], list[int]]:
    """Indices of ``scenes(folder)``: labelled to learn from, to test on, to pretrain on.

    To learn from and to test on: scenes whose objects are of one class. To pretrain on: every
    scene of the learn set, those with objects of other classes too, and none of the test set.
    """
    paths = files(folder)
    learn, test, unlabelled = [], [], []
    for index, path in enumerate(paths):
        if path.name.startswith("learn"):
            unlabelled.append(index)
        if object_class(path) >= 0:
            (learn if path.name.startswith("learn") else test).append(index)
    return learn, test, unlabelled

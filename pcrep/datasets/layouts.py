"""Folder layouts of published data sets, and that of a user's own folder."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pcrep.cloud import Cloud, Scenes
from pcrep.datasets.formats import SUFFIXES, load_points, npz
from pcrep.datasets.formats.columns import judge_labels
from tspcrep.common.errors import UserError

LEARN, TEST, UNLABELLED = "learn", "test", "unlabelled"
# Subfolders of a user's folder, and the part of the split that their files belong to.
_PART_OF = {"learn": LEARN, "train": LEARN, "test": TEST, "val": TEST, "unlabelled": UNLABELLED}


@dataclass(frozen=True)
class Layout:
    """Folder layout of a data set.

    name : for messages.
    files : folder -> sorted paths of its scenes; empty if the folder has another layout.
    read : path -> cloud.
    title : path -> name of the scene.
    part : (path, folder) -> LEARN, TEST, UNLABELLED, or None for neither.
    classes, things : names of the labels, and those of them that are objects.
    """

    name: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], Cloud]
    title: Callable[[Path], str]
    part: Callable[[Path, Path], str | None]
    classes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()

    def scenes(self, name: str, paths: list[Path]) -> Scenes:
        """Scenes of these paths. Reading a label outside the classes raises a UserError."""
        return Scenes(
            name,
            tuple(self.title(path) for path in paths),
            partial(_read, self.read, tuple(paths), self.classes),
            self.classes,
            self.things,
        )


def _read(
    read: Callable[[Path], Cloud], paths: tuple[Path, ...], classes: tuple[str, ...], index: int
) -> Cloud:
    return judge_labels(read(paths[index]), classes)


def own(folder: Path, files: list[Path]) -> Layout:
    """Layout of a user's folder of files of any format, in it or in subfolders.

    Labels are class indices, with names from a file ``classes.txt`` in the folder, one per line, or
    from an array ``class_names`` in the first NPZ. Subfolders ``learn`` (or ``train``), ``test``
    (or ``val``) and ``unlabelled`` define the split.
    """
    classes = _classes(folder, files)
    return Layout(
        "a folder of files", own_files, load_points, lambda path: path.stem, _part, classes
    )


def own_files(folder: Path) -> list[Path]:
    """Sorted files below a folder that have the suffix of a known format."""
    here = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    return natural(p for p in here if p.is_file() and p.name not in ("classes.txt", "README.txt"))


def natural(paths: Iterable[Path]) -> list[Path]:
    """Natural sort order: scene2 before scene10."""

    def key(path: Path):
        words = re.split(r"(\d+)", str(path.with_suffix("")))
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]

    return sorted(paths, key=key)


def _part(path: Path, folder: Path) -> str | None:
    inside = path.relative_to(folder).parts[:-1]
    return next((_PART_OF[name] for name in inside if name in _PART_OF), None)


def _classes(folder: Path, files: list[Path]) -> tuple[str, ...]:
    listed = folder / "classes.txt"
    if listed.is_file():
        try:
            lines = listed.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{listed}: cannot be read ({error}), expected one class per line"
            ) from None
        return tuple(line.strip() for line in lines if line.strip())
    first = next((path for path in files if path.suffix.lower() == ".npz"), None)
    return npz.class_names(first) if first else ()

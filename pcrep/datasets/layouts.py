"""How a set lies in a folder, and the layout of a user's own folder."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pcrep.cloud import Cloud, Scenes
from pcrep.datasets.formats import SUFFIXES, load_points, npz
from pcrep.datasets.formats.columns import judge_labels
from tspcrep.common.errors import UserError

LEARN, TEST, UNLABELLED = "learn", "test", "unlabelled"
# Folders of a user's set, and the part that the files in them belong to.
_PART_OF = {"learn": LEARN, "train": LEARN, "test": TEST, "val": TEST, "unlabelled": UNLABELLED}


@dataclass(frozen=True)
class Layout:
    """One way in which scenes lie on disk.

    name : for messages.
    files : the scenes below a folder, one path each, in order; none if it has another layout.
    read : the cloud of such a path.
    title : its name.
    part : LEARN, TEST, UNLABELLED, or None, of a path in a folder.
    classes, things : what labels mean, and which of them are objects.
    """

    name: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], Cloud]
    title: Callable[[Path], str]
    part: Callable[[Path, Path], str | None]
    classes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()

    def scenes(self, name: str, paths: list[Path]) -> Scenes:
        """Scenes of these paths; a label outside the classes is a UserError when it is read."""
        return Scenes(
            name,
            tuple(self.title(path) for path in paths),
            lambda index: judge_labels(self.read(paths[index]), self.classes),
            self.classes,
            self.things,
        )


def own(folder: Path, files: list[Path]) -> Layout:
    """A user's folder of files of any format, or of subfolders of them.

    Labels are class indices. Their names come from a file ``classes.txt`` in the folder, one a
    line, or from an array ``class_names`` in the first NPZ. Subfolders ``learn`` (or ``train``),
    ``test`` (or ``val``) and ``unlabelled`` say what a scene is for.
    """
    classes = _classes(folder, files)
    return Layout(
        "a folder of files", own_files, load_points, lambda path: path.stem, _part, classes
    )


def own_files(folder: Path) -> list[Path]:
    """All files below a folder whose suffix is a format's."""
    here = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES]
    return natural(p for p in here if p.is_file() and p.name not in ("classes.txt", "README.txt"))


def natural(paths: Iterable[Path]) -> list[Path]:
    """Sorted by name, numbers by value: scene2 before scene10."""

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
                f"{listed}: cannot be read ({error}), expected a class a line"
            ) from None
        return tuple(line.strip() for line in lines if line.strip())
    first = next((path for path in files if path.suffix.lower() == ".npz"), None)
    return npz.class_names(first) if first else ()

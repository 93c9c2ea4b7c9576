"""Folder layouts of published data sets, and that of a user's own folder."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pcrep.cloud import Cloud, Scenes
from pcrep.datasets.folders import clouds_below
from pcrep.datasets.formats import load_points, npz
from pcrep.datasets.formats.columns import judge_labels
from pcrep.datasets.reading import Reading
from tspcrep.common.errors import UserError

LEARN, TEST, UNLABELLED = "learn", "test", "unlabelled"
# Subfolders of a user's folder, in lower case, and the part of the split that their files are in.
_PART_OF = {
    **dict.fromkeys(("learn", "train", "training"), LEARN),
    **dict.fromkeys(("test", "testing", "val", "validation", "evaluation"), TEST),
    **dict.fromkeys(("unlabelled", "unlabeled", "unsupervised"), UNLABELLED),
}


@dataclass(frozen=True)
class Layout:
    """Folder layout of a data set.

    name : for messages.
    files : folder -> sorted paths of its scenes; empty if the folder has another layout.
    read : path -> cloud.
    title : path -> name of the scene.
    part : (path, folder) -> LEARN, TEST, UNLABELLED, or None for neither.
    classes, things : names of the labels, and those of them that are objects.
    numbers : of the classes in the files, where they are not 0, 1, ...
    """

    name: str
    files: Callable[[Path], list[Path]]
    read: Callable[[Path], Cloud]
    title: Callable[[Path], str]
    part: Callable[[Path, Path], str | None]
    classes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def scenes(self, name: str, paths: list[Path]) -> Scenes:
        """Scenes of these paths, whose names differ: those of one title are called by their paths.

        Reading a label outside the classes raises a UserError.
        """
        titles = [self.title(path) for path in paths]
        seen, top = Counter(titles), os.path.commonpath([path.parent for path in paths] or [Path()])
        return Scenes(
            name,
            tuple(
                title if seen[title] == 1 else path.relative_to(top).as_posix()
                for title, path in zip(titles, paths, strict=True)
            ),
            partial(_read, self.read, tuple(paths), self.classes),
            self.classes,
            self.things,
            self.numbers,
        )


def _read(
    read: Callable[[Path], Cloud], paths: tuple[Path, ...], classes: tuple[str, ...], index: int
) -> Cloud:
    return judge_labels(read(paths[index]), classes)


def own(folder: Path, files: list[Path], reading: Reading) -> Layout:
    """Layout of a user's folder of files of any format, in it or in subfolders.

    Labels are class indices, with names from ``reading``, from a file ``classes.txt`` in the
    folder, one per line, or from an array ``class_names`` in the first NPZ. Subfolders ``learn``
    (or ``train``, ``training``), ``test`` (or ``val``, ...) and ``unlabelled``, in any case, define
    the split.
    """
    classes = reading.classes or _classes(folder, files)
    read = partial(load_points, reading=reading)
    numbers = reading.numbers
    return Layout("a folder of files", _own_files, read, _stem, _part, classes, (), numbers)


def _own_files(folder: Path) -> list[Path]:
    return clouds_below(folder)[0]


def _stem(path: Path) -> str:
    return path.stem


def _part(path: Path, folder: Path) -> str | None:
    inside = [name.lower() for name in path.relative_to(folder).parts[:-1]]
    return next((_PART_OF[name] for name in inside if name in _PART_OF), None)


def _classes(folder: Path, files: list[Path]) -> tuple[str, ...]:
    listed = folder / "classes.txt"
    if listed.is_file():
        try:
            lines = listed.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{listed}: cannot be read ({error}), expected one class per line"
            ) from None
        return tuple(line.strip() for line in lines if line.strip())
    first = next((path for path in files if path.suffix.lower() == ".npz"), None)
    return npz.class_names(first) if first else ()

"""The point clouds below a folder, told from what else lies there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pcrep.datasets.formats import SUFFIXES, arrays, frames, tables, text
from pcrep.datasets.order import natural
from tspcrep.common.errors import UserError

_TEXT = text.FORMAT.suffixes
# Files and folders that lie beside clouds and are none, by the words in their names.
_PAGES = re.compile(r"(?:classes|readme|licen[cs]e)\b.*")
_BESIDE = re.compile(
    r"(?:^|[^a-z])(?:calib\w*|traj|trajector(?:y|ies)|poses?|odom\w*"
    r"|times|timestamps?|imu|gps|gnss|cameras|intrinsics?|extrinsics?)(?:[^a-z]|$)"
)
_FOLDERS = ("semantic_mask", "instance_mask", "label_2", "calib", "__macosx")
_LABELS = (".labels.npy", ".confidence.npy")


def clouds_below(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Sorted paths of the clouds below a folder, and why other files of such suffixes are none.

    A cloud is a file that has the suffix of a format, or a folder of arrays or frames. Links are
    followed; hidden files are passed over. Text counts if it has points, and no name
    such as calib.txt.
    """
    found, others = [], {}
    for path in files_below(folder):
        if scene := frames.scene_of(path):
            found.append(scene)
        elif arrays.is_folder(path.parent):
            if path.name == arrays.COORDS:
                found.append(path.parent)
        elif path.suffix.lower() in SUFFIXES and not _is_page(path.name.lower()):
            if reason := _is_beside(path):
                others[path] = reason
            else:
                found.append(path)
    return natural(set(found)), others


def _is_page(name: str) -> bool:
    """Whether a file of this name says something of the others, and needs no word."""
    return name.endswith(_LABELS) or bool(_PAGES.fullmatch(name))


def _is_beside(path: Path) -> str:
    """Why a file is no cloud, or ""."""
    if path.parent.name.lower() in _FOLDERS:
        return f"lies in {path.parent.name}/"
    if path.suffix.lower() not in _TEXT:
        return ""
    if _BESIDE.search(path.stem.lower()):
        return "is no cloud by its name"
    try:
        tables.find_table(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """All files below a folder but hidden ones; links are followed, but not in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files_below(path, above | {real})
        elif path.is_file():
            yield path

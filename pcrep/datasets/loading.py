"""Load scenes by name or path, and the train/test split of labelled data sets."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from pcrep.cloud import Cloud, Scenes
from pcrep.datasets import mosd, s3dis, scannet, semantickitti
from pcrep.datasets.folders import clouds_below
from pcrep.datasets.formats import SUFFIXES
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout, own
from pcrep.datasets.reading import Reading
from tspcrep.common import datafiles
from tspcrep.common.errors import UserError

_LAYOUTS = tuple(module.LAYOUT for module in (mosd, scannet, s3dis, semantickitti))
_FOLDERS = {
    "mosd": "mosd",
    "s3dis_room": "s3dis_room",
    "semantickitti": "semantickitti",
    "indoor": "indoor_unlabelled",
}

_PROCEDURAL = "procedural"
_COUNTS = {LEARN: 8, TEST: 8, UNLABELLED: 32}  # of procedural scenes


@dataclass(frozen=True)
class Split:
    """Split of a labelled data set.

    learn : training scenes, with labels.
    test : scenes to report scores on.
    unlabelled : scenes to pretrain on, without ``label`` and ``instance``: those of ``learn`` and
        others outside the task, none of them in ``test``.
    """

    learn: Scenes
    test: Scenes
    unlabelled: Scenes


def load_scenes(
    name_or_path: str | Path, root: str | Path | None = None, reading: Reading | None = None
) -> Scenes:
    """Scenes of a named data set, a folder or a file, each read when it is indexed.

    name_or_path : ``procedural`` (generated), ``mosd``, ``s3dis_room``, ``semantickitti`` or
        ``indoor``; or a folder in the layout of mOSD, ScanNet, S3DIS or SemanticKITTI; or a folder
        of files that ``load_points`` reads (``layouts.own``); or one such file.
    root : folder to search for named sets, before ``$TSPCREP_DATA`` and the user cache.
    reading : what the user says of files of his own.

    Warns of files that are no point clouds by their name or text, and are left out. Raises
    UserError where there is nothing to read.
    """
    if str(name_or_path) == _PROCEDURAL:
        return _procedural(UNLABELLED)
    layout, paths, _ = _found(name_or_path, root, reading)
    return layout.scenes(str(name_or_path), paths)


def find_split(
    name_or_path: str | Path, root: str | Path | None = None, reading: Reading | None = None
) -> Split | None:
    """:func:`labelled_split`, or None where there are no training or no test scenes."""
    name = str(name_or_path)
    if name == _PROCEDURAL:
        unlabelled = _procedural(UNLABELLED).map(_without_labels)
        return Split(_procedural(LEARN), _procedural(TEST), unlabelled)
    layout, paths, folder = _found(name_or_path, root, reading)
    parts = {path: layout.part(path, folder) for path in paths}
    learn, test = ([path for path in paths if parts[path] == part] for part in (LEARN, TEST))
    if not (learn and test):
        return None
    unlabelled_paths = [path for path in paths if parts[path] in (LEARN, UNLABELLED)]
    return Split(
        layout.scenes(f"{name} learn", learn),
        layout.scenes(f"{name} test", test),
        layout.scenes(f"{name} unlabelled", unlabelled_paths).map(_without_labels),
    )


def labelled_split(
    name_or_path: str | Path, root: str | Path | None = None, reading: Reading | None = None
) -> Split:
    """Split of a labelled data set, by name or folder.

    ``procedural``: 8 training, 8 test and 32 unlabelled scenes. ``mosd``: the task mOSD-3, see
    :mod:`pcrep.datasets.mosd`. ScanNet: its published lists. S3DIS: test on Area 5. SemanticKITTI:
    test on sequence 08. A user's folder: its subfolders ``learn``, ``test`` and ``unlabelled``.

    Raises UserError where there are no training or no test scenes.
    """
    split = find_split(name_or_path, root, reading)
    if split is None:
        place = _place(name_or_path, root)
        if place.is_file():
            raise UserError(
                f"{place}: one file, expected a folder with scenes to learn and to test"
            )
        layout, paths, folder = _found(name_or_path, root, reading)
        parts = [layout.part(path, folder) for path in paths]
        raise UserError(
            f"{folder}: {parts.count(LEARN)} scenes to learn from and {parts.count(TEST)} to test "
            "on, expected some of each, as its publishers split it or in subfolders learn/ and "
            "test/"
        )
    return split


def pretraining_scenes(
    name_or_path: str | Path, root: str | Path | None = None, reading: Reading | None = None
) -> Scenes:
    """Scenes to learn from without labels: never those that are for tests.

    They are those of the split, :func:`labelled_split`; without one, all that are not in a part
    for tests. Raises UserError where there are none.
    """
    name = str(name_or_path)
    if name == _PROCEDURAL:
        return _procedural(UNLABELLED).map(_without_labels)
    layout, paths, folder = _found(name_or_path, root, reading)
    parts = {path: layout.part(path, folder) for path in paths}
    # In a published layout, scenes of no part are test scenes that its task leaves out.
    for wanted in ((LEARN, UNLABELLED), () if layout in _LAYOUTS else (None,)):
        if chosen := [path for path in paths if parts[path] in wanted]:
            return layout.scenes(name, chosen).map(_without_labels)
    raise UserError(
        f"{folder}: all {len(paths)} scenes are for tests, expected some to learn from, such as in "
        "learn/ or unlabelled/"
    )


def _without_labels(cloud: Cloud) -> Cloud:
    """The cloud without ``label`` and ``instance``, for unsupervised methods."""
    return replace(cloud, label=None, instance=None)


def _procedural(part: str) -> Scenes:
    from pcrep.procedural import procedural

    return procedural(_COUNTS[part], seed=list(_COUNTS).index(part))


def _place(name_or_path: str | Path, root: str | Path | None) -> Path:
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    if name in _FOLDERS:
        remedy = "give a path in place of the name"
        if name == "mosd":
            remedy = "download it with: python tools/prepare_data.py --names mosd"
        return datafiles.find(name, _FOLDERS[name], "points", root, remedy)
    if not path.exists():
        raise UserError(
            f"{name}: no such file or folder, and no named set; expected a path or one of "
            f"{', '.join([_PROCEDURAL, *_FOLDERS])}"
        )
    return path if path.name else path.absolute()


def _found(
    name_or_path: str | Path, root: str | Path | None, reading: Reading | None
) -> tuple[Layout, list[Path], Path]:
    """The layout of a folder or file, the paths of its scenes, and its own path."""
    folder, reading = _place(name_or_path, root), reading or Reading()
    if folder.is_file():
        return own(folder.parent, [folder], reading), [folder], folder.parent
    for layout in _LAYOUTS:
        if paths := layout.files(folder):
            if reading != Reading():
                raise UserError(
                    f"{folder}: has the layout of {layout.name}, which says what its files hold: "
                    "leave --columns, --ignore, --label-map and --unit out"
                )
            return layout, paths, folder
    paths, others = clouds_below(folder)
    others.pop(Path(reading.label_map or ""), None)
    if not paths:
        raise UserError(
            f"{folder}: holds no point clouds, expected files that end in {', '.join(SUFFIXES)}, "
            "a folder of frames of a depth camera (depth/, pose/, intrinsic/), "
            f"or the layout of {', '.join(layout.name for layout in _LAYOUTS)}{_told(others)}"
        )
    if others:
        warnings.warn(f"{folder}: left out what is no point cloud{_told(others)}", stacklevel=3)
    return own(folder, paths, reading), paths, folder


def _told(others: dict[Path, str]) -> str:
    """The first of the files that are no clouds, and why."""
    some = [f"{path.name} {reason[:120]}" for path, reason in list(others.items())[:3]]
    more = f", and {len(others) - 3} more" if len(others) > 3 else ""
    return f"; {'; '.join(some)}{more}" if some else ""

"""Load scenes by name or path, and the train/test split of labelled data sets."""

from dataclasses import dataclass, replace
from pathlib import Path

from pcrep.cloud import Cloud, Scenes
from pcrep.datasets import mosd, s3dis, scannet, semantickitti
from pcrep.datasets.formats import SUFFIXES
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout, own, own_files
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


def load_scenes(name_or_path: str | Path, root: str | Path | None = None) -> Scenes:
    """Scenes of a named data set, a folder or a file, each read when it is indexed.

    name_or_path : ``procedural`` (generated), ``mosd``, ``s3dis_room``, ``semantickitti`` or
        ``indoor``; or a folder in the layout of mOSD, ScanNet, S3DIS or SemanticKITTI; or a folder
        of files that ``load_points`` reads (``layouts.own``); or one such file.
    root : folder to search for named sets, before ``$TSPCREP_DATA`` and the user cache.

    Raises UserError where there is nothing to read.
    """
    if str(name_or_path) == _PROCEDURAL:
        return _procedural(UNLABELLED)
    folder = _place(name_or_path, root)
    if folder.is_file():
        return own(folder.parent, [folder]).scenes(str(name_or_path), [folder])
    layout, paths = _layout(folder)
    return layout.scenes(str(name_or_path), paths)


def labelled_split(name_or_path: str | Path, root: str | Path | None = None) -> Split:
    """Split of a labelled data set, by name or folder.

    ``procedural``: 8 training, 8 test and 32 unlabelled scenes. ``mosd``: the task mOSD-3, see
    :mod:`pcrep.datasets.mosd`. ScanNet: its published lists. S3DIS: test on Area 5. SemanticKITTI:
    test on sequence 08. A user's folder: its subfolders ``learn``, ``test`` and ``unlabelled``.

    Raises UserError where there are no training or no test scenes.
    """
    name = str(name_or_path)
    if name == _PROCEDURAL:
        unlabelled = _procedural(UNLABELLED).map(_without_labels)
        return Split(_procedural(LEARN), _procedural(TEST), unlabelled)
    folder = _place(name_or_path, root)
    if folder.is_file():
        raise UserError(f"{folder}: one file, expected a folder with scenes to learn and to test")
    layout, paths = _layout(folder)
    parts = {path: layout.part(path, folder) for path in paths}
    learn = [path for path in paths if parts[path] == LEARN]
    test = [path for path in paths if parts[path] == TEST]
    if not (learn and test):
        raise UserError(
            f"{folder}: {len(learn)} scenes to learn from and {len(test)} to test on, expected "
            "some of each, as its publishers split it or in subfolders learn/ and test/"
        )
    unlabelled = [path for path in paths if parts[path] in (LEARN, UNLABELLED)]
    return Split(
        layout.scenes(f"{name} learn", learn),
        layout.scenes(f"{name} test", test),
        layout.scenes(f"{name} unlabelled", unlabelled).map(_without_labels),
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
    return path


def _layout(folder: Path) -> tuple[Layout, list[Path]]:
    """The layout of a folder, and the paths of its scenes."""
    for layout in _LAYOUTS:
        if paths := layout.files(folder):
            return layout, paths
    if paths := own_files(folder):
        return own(folder, paths), paths
    raise UserError(
        f"{folder}: holds no point clouds, expected files that end in {', '.join(SUFFIXES)}, or "
        f"the layout of {', '.join(layout.name for layout in _LAYOUTS)}"
    )

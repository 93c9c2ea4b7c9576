"""Scenes by name or path, and the splits that a labelled set is compared on."""

from dataclasses import dataclass, replace
from pathlib import Path

from common import datafiles
from pcrep.cloud import Cloud, Scenes
from pcrep.datasets import mosd
from pcrep.datasets.points import load_points

FOLDERS = {
    "mosd": "mosd",
    "s3dis_room": "s3dis_room",
    "semantickitti": "semantickitti",
    "indoor": "indoor_unlabelled",
}


@dataclass(frozen=True)
class Split:
    """learn: scenes whose labels may be used. test: scenes to report on. unlabelled: scenes to
    pretrain on, without ``label`` and ``instance``, none of which is in ``test``."""

    learn: Scenes
    test: Scenes
    unlabelled: Scenes


def load_scenes(name_or_path: str | Path, root: str | Path | None = None) -> Scenes:
    """Scenes of a named set, a folder or a file, each read when it is asked for."""
    if name_or_path == "procedural":
        from pcrep.scenes import procedural

        return procedural(count=16, seed=0)
    folder = _folder(name_or_path, root)
    if name_or_path == "mosd":
        return mosd.scenes(folder)
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".npz", ".bin", ".pcd"))
    return Scenes(
        str(name_or_path), tuple(p.stem for p in paths), lambda index: load_points(paths[index])
    )


def labelled_split(name: str, root: str | Path | None = None) -> Split:
    """The labelled sets: ``mosd``."""
    folder = _folder(name, root)
    scenes = mosd.scenes(folder)
    learn, test, unlabelled = (scenes.subset(part) for part in mosd.parts(folder))
    return Split(learn, test, unlabelled.map(without_labels))


def without_labels(cloud: Cloud) -> Cloud:
    return replace(cloud, label=None, instance=None)


def _folder(name: str | Path, root: str | Path | None) -> Path:
    if name in FOLDERS:
        return datafiles.find(str(name), FOLDERS[str(name)], "points", root, "give its path")
    return Path(name)

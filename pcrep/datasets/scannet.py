"""ScanNet v2: reconstructed indoor scans (A. Dai et al., CVPR 2017).

    scans/scene0000_00/scene0000_00_vh_clean_2.ply                    vertices and colours
                       scene0000_00_vh_clean_2.labels.ply             class number per vertex
                       scene0000_00_vh_clean_2.0.010000.segs.json     segment per vertex
                       scene0000_00.aggregation.json                  segments per object

The test set lacks the last three. ``scannetv2_train.txt`` and ``scannetv2_val.txt``, in the folder
or above the scans, list the scans to train and to test on.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.folders import natural
from pcrep.datasets.formats import load_points
from pcrep.datasets.layouts import LEARN, TEST, UNLABELLED, Layout
from tspcrep.common.errors import UserError

# The 20 classes of the benchmark and their numbers among the 40 of NYU.
_NYU40 = {
    "wall": 1,
    "floor": 2,
    "cabinet": 3,
    "bed": 4,
    "chair": 5,
    "sofa": 6,
    "table": 7,
    "door": 8,
    "window": 9,
    "bookshelf": 10,
    "picture": 11,
    "counter": 12,
    "desk": 14,
    "curtain": 16,
    "refrigerator": 24,
    "shower curtain": 28,
    "toilet": 33,
    "sink": 34,
    "bathtub": 36,
    "other furniture": 39,
}
CLASSES = tuple(_NYU40)
THINGS = CLASSES[2:]
"""All classes but wall and floor: the 18 of the instance benchmark."""
_MESH = "_vh_clean_2.ply"


def _files(folder: Path) -> list[Path]:
    """Meshes in ``folder``, its subfolders, or the subfolders of ``scans`` and ``scans_test``."""
    patterns = ("", "*/", "scans/*/", "scans_test/*/")
    return natural({path for p in patterns for path in folder.glob(f"{p}*{_MESH}")})


def _title(path: Path) -> str:
    return path.name.removesuffix(_MESH)


def _scan(path: Path) -> Cloud:
    """The vertices of a scan, z up, metres.

    ``segment`` is ScanNet's over-segmentation, ``instance`` the annotated object and ``label`` an
    index into ``CLASSES``, or -1 for other classes of NYU; each where its file exists.
    """
    cloud = replace(load_points(path), label=None, instance=None)
    stem = path.name.removesuffix(".ply")
    labels = path.with_name(f"{stem}.labels.ply")
    if labels.is_file():
        cloud = replace(cloud, label=_labels(labels, len(cloud)))
    segments = next(iter(sorted(path.parent.glob(f"{stem}.*.segs.json"))), None)
    if segments is None:
        return cloud
    numbers = _segments(segments, len(cloud))
    objects = next(iter(sorted(path.parent.glob(f"{_title(path)}*.aggregation.json"))), None)
    if objects is not None:
        cloud = replace(cloud, instance=_instances(objects, numbers))
    return replace(cloud, segment=np.unique(numbers, return_inverse=True)[1].astype(np.int64))


def _labels(path: Path, count: int) -> np.ndarray:
    numbers = load_points(path).label
    if numbers is None or len(numbers) != count:
        found = "no label" if numbers is None else f"{len(numbers)} points"
        raise UserError(f"{path}: has {found}, expected a label for each of {count} vertices")
    table = np.full(42, -1)  # the last is for numbers that are none of the 40 of NYU
    table[list(_NYU40.values())] = np.arange(len(_NYU40))
    return table[np.where((numbers >= 0) & (numbers <= 40), numbers, 41)]


def _segments(path: Path, count: int) -> np.ndarray:
    numbers = _whole(_json(path, "segIndices"), path, "segIndices")
    if len(numbers) != count:
        raise UserError(
            f"{path}: holds {len(numbers)} segment numbers, expected {count}, one per vertex"
        )
    return numbers


def _instances(path: Path, segments: np.ndarray) -> np.ndarray:
    instance = np.full(len(segments), -1, np.int64)
    for group in _listed_groups(path):
        numbers = _whole(group.get("segments"), path, "segments of an object")
        (name,) = _whole([group.get("objectId")], path, "objectId")
        instance[np.isin(segments, numbers)] = name
    return instance


def _listed_groups(path: Path) -> list[dict]:
    groups = _json(path, "segGroups")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise UserError(f"{path}: segGroups is no list of objects; get it again")
    return groups


def _whole(values: object, path: Path, what: str) -> np.ndarray:
    """``values`` (N,) as int64; UserError for what is no list of whole numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # lists of unlike lengths
        array = np.empty(())
    if array.ndim != 1 or (array.size and array.dtype.kind != "i"):
        raise UserError(f"{path}: {what}: expected a list of whole numbers; get it again")
    return array.astype(np.int64)


def _json(path: Path, key: str) -> list:
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error!r}), expected JSON with {key}; get it again"
        ) from None


def _part(path: Path, folder: Path) -> str | None:
    """By the lists beside the scans; scans in neither are unlabelled."""
    for name, part_of in (("scannetv2_train.txt", LEARN), ("scannetv2_val.txt", TEST)):
        if _title(path) in _listed(name, folder):
            return part_of
    return UNLABELLED


def _listed(name: str, folder: Path) -> frozenset[str]:
    place = next((p / name for p in (folder, folder.parent) if (p / name).is_file()), None)
    return frozenset(place.read_text(encoding="utf-8").split()) if place else frozenset()


LAYOUT = Layout("ScanNet", _files, _scan, _title, _part, CLASSES, THINGS)

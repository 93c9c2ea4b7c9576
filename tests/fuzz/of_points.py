"""Readers of point files, of published layouts, of labels and clicks."""

import json
from functools import partial
from pathlib import Path

import laspy
import numpy as np

from pcrep.cloud import Scenes
from pcrep.datasets import Reading, load_points, load_scenes
from pcrep.evaluation.clicks import read_clicks
from tests.fuzz.mutations import of_json, of_text, of_zip
from tests.fuzz.targets import Target
from tests.pcrep.datasets import formats

_CLOUD = formats.random_cloud(0, 40)
_COLUMNS = [*_CLOUD["coords"].T, *_CLOUD["colour"].T, _CLOUD["label"]]


def _written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def _ply(folder: Path, order: str) -> Path:
    return _written(folder, "a.ply", formats.ply(_CLOUD, order))


def _pcd(folder: Path, kind: str) -> Path:
    return _written(folder, "a.pcd", formats.pcd(_CLOUD, kind))


def _las(folder: Path, suffix: str, version: str, point_format: int) -> Path:
    file = laspy.create(point_format=point_format, file_version=version)
    file.header.scales, file.header.offsets = [0.001] * 3, [0.0] * 3
    file.x, file.y, file.z = _CLOUD["coords"].T.astype(float)
    file.classification = _CLOUD["label"] % 20
    file.add_extra_dim(laspy.ExtraBytesParams("tree", np.int32))
    file.tree = _CLOUD["instance"]
    file.write(str(folder / f"a{suffix}"))
    return folder / f"a{suffix}"


def _npz(folder: Path) -> Path:
    names = np.array([f"class {i}" for i in range(50)])
    np.savez(folder / "a.npz", **_CLOUD, class_names=names)
    return folder / "a.npz"


def _npy(folder: Path) -> Path:
    np.save(folder / "a.npy", np.column_stack(_COLUMNS[:3]))
    return folder / "a.npy"


def _lines(folder: Path, name: str, first: str = "", separator: str = " ") -> Path:
    return _written(folder, name, formats.lines(_COLUMNS, separator, first))


def _xyz(folder: Path) -> Path:
    return _written(folder, "a.xyz", formats.lines(_COLUMNS[:6]))


def _bin(folder: Path) -> Path:
    rows = np.column_stack([_CLOUD["coords"], _CLOUD["intensity"]])
    return _written(folder, "a.bin", rows.astype("<f4").tobytes())


def _kitti(folder: Path) -> Path:
    """Labels in the layout of SemanticKITTI."""
    place = folder / "sequences/00"
    _bin(folder).replace(_written(place / "velodyne", "000000.bin", b""))
    numbers = np.tile(np.array([10, 40, 70, 81], "<u4"), 10) | np.arange(40, dtype="<u4") << 16
    return _written(place / "labels", "000000.label", numbers.tobytes())


def _scannet(folder: Path, name: str) -> Path:
    """One scan; name: of the file to return, what follows its title."""
    place, title = folder / "scene0000_00", "scene0000_00_vh_clean_2"
    cloud = {**_CLOUD, "label": _CLOUD["label"] % 40}
    segments = {"segIndices": [i // 4 for i in range(40)]}
    groups = [{"objectId": 0, "segments": [0, 1]}, {"objectId": 1, "segments": [3]}]
    files = {
        f"{title}.ply": formats.ply(_CLOUD, "binary_little_endian"),
        f"{title}.labels.ply": formats.ply(cloud, "binary_little_endian"),
        f"{title}.0.010000.segs.json": json.dumps(segments).encode(),
        "scene0000_00.aggregation.json": json.dumps({"segGroups": groups}).encode(),
    }
    for file, content in files.items():
        _written(place, file, content)
    return next(place / file for file in files if file.endswith(name))


def _first_scene(folder: Path) -> object:
    return load_scenes(folder)[0]


def _folder(path: Path, up: int) -> object:
    return _first_scene(path.parents[up])


def _label_map(folder: Path) -> Path:
    _lines(folder, "a.csv", "x,y,z,r,g,b,label\n", ",")
    lines = (f"{i} class {i}\n" for i in range(50))
    return _written(folder, "map.txt", "".join(lines).encode())


def _with_map(path: Path) -> object:
    return load_scenes(path.with_name("a.csv"), reading=Reading(label_map=str(path)))[0].label


def _clicks(folder: Path) -> Path:
    _npz(folder)
    rows = (",".join(["a", *map(str, point), "class 1"]) for point in _CLOUD["coords"][:5])
    return _written(folder, "clicks.csv", "\n".join(["scene,x,y,z,class", *rows, ""]).encode())


def _with_clicks(path: Path) -> object:
    scenes: Scenes = load_scenes(path.with_name("a.npz"))
    return read_clicks(scenes, path)[0].label


TARGETS = {
    "ascii ply": Target(partial(_ply, order="ascii"), load_points, of_text),
    "binary ply": Target(partial(_ply, order="binary_little_endian"), load_points),
    "header of a ply": Target(partial(_ply, order="binary_big_endian"), load_points, of_text),
    "ascii pcd": Target(partial(_pcd, kind="ascii"), load_points, of_text),
    "binary pcd": Target(partial(_pcd, kind="binary"), load_points, of_text),
    "compressed pcd": Target(partial(_pcd, kind="binary_compressed"), load_points, of_text),
    "las": Target(partial(_las, suffix=".las", version="1.2", point_format=3), load_points),
    "laz": Target(partial(_las, suffix=".laz", version="1.4", point_format=7), load_points),
    "points npz": Target(_npz, load_points, of_zip),
    "points npy": Target(_npy, load_points),
    "xyz": Target(_xyz, load_points, of_text),
    "points csv": Target(
        partial(_lines, name="a.csv", first="x,y,z,r,g,b,label\n", separator=","),
        load_points,
        of_text,
    ),
    "bin": Target(_bin, load_points),
    "SemanticKITTI": Target(_kitti, partial(_folder, up=3)),
    "ScanNet labels": Target(partial(_scannet, name=".labels.ply"), partial(_folder, up=1)),
    "ScanNet segments": Target(
        partial(_scannet, name=".segs.json"), partial(_folder, up=1), of_json
    ),
    "ScanNet objects": Target(
        partial(_scannet, name=".aggregation.json"), partial(_folder, up=1), of_json
    ),
    "label map": Target(_label_map, _with_map, of_text),
    "clicks": Target(_clicks, _with_clicks, of_text),
}

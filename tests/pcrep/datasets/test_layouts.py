"""Folders as the sets are published, in miniature, and what is for learning and testing in them."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from pcrep.datasets import (
    Reading,
    find_split,
    labelled_split,
    load_points,
    load_scenes,
    mosd,
    pretraining_scenes,
    semantickitti,
)
from pcrep.procedural.shapes import CLASSES as PROCEDURAL_CLASSES
from tests.pcrep.datasets.formats import pcd, ply, random_cloud
from tspcrep.common.errors import UserError


def put(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def names(split):
    assert not set(split.unlabelled.names) & set(split.test.names)
    assert set(split.learn.names) <= set(split.unlabelled.names)
    for cloud in split.unlabelled:
        assert cloud.label is None
        assert cloud.instance is None
    return split.learn.names, split.test.names, split.unlabelled.names


@pytest.fixture
def small_mosd(tmp_path):
    """Three pixels of table in two parts, three of two objects, one of them in two parts."""
    cloud = random_cloud(0, 8)
    cloud["label"] = np.array([1, 1, 2, 20, 21, 30, 0, 0], np.uint16)
    cloud["coords"][6:] = np.nan
    data = pcd(cloud, "binary_compressed", 4, 2)
    for name in ("learn/learn2", "learn/learn10", "learn/learn25", "learn/learn33"):
        put(tmp_path, f"mOSD/{name}.pcd", data)
    for name in ("test/test1", "test/test31", "test/test43", "test/test6"):
        put(tmp_path, f"mOSD/{name}.pcd", data)
    return tmp_path / "mOSD"


def test_mosd(small_mosd):
    scenes = load_scenes(small_mosd)
    assert scenes.classes == ("table", "box", "cylinder")
    assert scenes.names[:4] == ("learn2", "learn10", "learn25", "learn33")
    assert scenes.names[4:] == ("test1", "test6", "test31", "test43")
    of_objects = {"learn2": 1, "learn33": 2, "learn25": -1, "test1": 1, "test31": 2, "test43": -1}
    for name, expected in of_objects.items():
        cloud = scenes[scenes.names.index(name)]
        assert cloud.label.tolist() == [0, 0, 0, expected, expected, expected]
        assert cloud.instance.tolist() == [-1, -1, -1, 0, 0, 1]
    learn, test, unlabelled = names(labelled_split(small_mosd))
    assert learn == ("learn2", "learn10", "learn33")
    assert test == ("test1", "test31")
    assert unlabelled == ("learn2", "learn10", "learn25", "learn33")


def test_mosd_without_annotation(tmp_path):
    put(tmp_path, "learn0.pcd", pcd(random_cloud(0, 3), "binary").replace(b" label ", b" lable "))
    with pytest.raises(UserError, match="no field label"):
        load_scenes(tmp_path)[0]


def test_a_named_set_is_searched_as_series_are(small_mosd, tmp_path, monkeypatch):
    monkeypatch.setattr("tspcrep.common.datafiles.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("TSPCREP_DATA", raising=False)
    with pytest.raises(UserError, match=r"mosd was not found.*--data-root.*TSPCREP_DATA.*cache"):
        load_scenes("mosd")
    (tmp_path / "data" / "points").mkdir(parents=True)
    small_mosd.rename(tmp_path / "data" / "points" / "mosd")
    assert len(load_scenes("mosd", tmp_path / "data")) == 8
    monkeypatch.setenv("TSPCREP_DATA", str(tmp_path / "data" / "points"))
    assert len(labelled_split("mosd").learn) == 3


@pytest.fixture
def small_scannet(tmp_path):
    for scan in ("scene0000_00", "scene0000_01", "scene0007_00"):
        cloud = random_cloud(1, 6)
        stem = f"scans/{scan}/{scan}"
        put(tmp_path, f"{stem}_vh_clean_2.ply", ply({**cloud}, "binary_little_endian"))
        cloud["label"] = np.array([1, 2, 39, 40, 0, 5], np.uint16)
        put(tmp_path, f"{stem}_vh_clean_2.labels.ply", ply(cloud, "binary_little_endian"))
        segments = {"segIndices": [70, 70, 8, 8, 9, 9]}
        put(tmp_path, f"{stem}_vh_clean_2.0.010000.segs.json", json.dumps(segments))
        groups = [{"objectId": 4, "segments": [8]}, {"objectId": 5, "segments": [9]}]
        put(tmp_path, f"{stem}.aggregation.json", json.dumps({"segGroups": groups}))
    put(tmp_path, "scannetv2_train.txt", "scene0000_00\n")
    put(tmp_path, "scannetv2_val.txt", "scene0007_00\n")
    return tmp_path


def test_scannet(small_scannet):
    scenes = load_scenes(small_scannet)
    assert scenes.names == ("scene0000_00", "scene0000_01", "scene0007_00")
    assert scenes.classes[0] == "wall"
    assert len(scenes.classes) == 20
    cloud = scenes[1]
    assert cloud.label.tolist() == [0, 1, 19, -1, -1, 4]
    assert cloud.segment.tolist() == [2, 2, 0, 0, 1, 1]
    assert cloud.instance.tolist() == [-1, -1, 4, 4, 5, 5]
    learn, test, unlabelled = names(labelled_split(small_scannet))
    assert (learn, test) == (("scene0000_00",), ("scene0007_00",))
    assert unlabelled == ("scene0000_00", "scene0000_01")
    assert names(labelled_split(small_scannet / "scans"))[0] == learn
    assert load_scenes(small_scannet / "scans" / "scene0000_01").names == ("scene0000_01",)


def test_scannet_with_files_missing_or_wrong(small_scannet):
    scan = small_scannet / "scans" / "scene0000_00"
    segments = scan / "scene0000_00_vh_clean_2.0.010000.segs.json"
    segments.write_text('{"segIndices": [1, 2]}')
    with pytest.raises(UserError, match="2 segment numbers, expected 6"):
        load_scenes(scan)[0]
    segments.write_text('{"segIndices"')
    with pytest.raises(UserError, match="expected JSON with segIndices"):
        load_scenes(scan)[0]
    segments.unlink()
    labels = scan / "scene0000_00_vh_clean_2.labels.ply"
    labels.write_bytes(ply(random_cloud(0, 5), "ascii"))
    with pytest.raises(UserError, match=r"5 points.*each of 6 vertices"):
        load_scenes(scan)[0]
    labels.unlink()
    cloud = load_scenes(scan)[0]
    assert cloud.segment is None
    (small_scannet / "scannetv2_val.txt").unlink()
    with pytest.raises(UserError, match="1 scenes to learn from and 0 to test on"):
        labelled_split(small_scannet)


@pytest.fixture
def small_s3dis(tmp_path):
    for area, room in (("Area_1", "office_2"), ("Area_1", "office_10"), ("Area_5", "hallway_1")):
        folder = f"{area}/{room}"
        put(tmp_path, f"{folder}/{room}.txt", "0 0 0 0 0 0\n" * 3)
        put(tmp_path, f"{folder}/Annotations/chair_1.txt", "1 2 3 255 0 51\n1 2 4 0 0 0\n")
        put(tmp_path, f"{folder}/Annotations/ceiling_1.txt", "0 0 3 10 20 30\n")
        put(tmp_path, f"{folder}/Annotations/stairs_1.txt", "0 1 3 10 20 30\n")
    return tmp_path


def test_s3dis(small_s3dis):
    scenes = load_scenes(small_s3dis)
    assert scenes.names == ("Area_1-office_2", "Area_1-office_10", "Area_5-hallway_1")
    cloud = scenes[0]
    assert [scenes.classes[i] for i in cloud.label] == ["ceiling", "chair", "chair", "clutter"]
    assert cloud.instance.tolist() == [0, 1, 1, 2]
    assert cloud.coords.tolist() == [[0, 0, 3], [1, 2, 3], [1, 2, 4], [0, 1, 3]]
    np.testing.assert_allclose(cloud.colour[1], [1, 0, 0.2])
    learn, test, _ = names(labelled_split(small_s3dis))
    assert learn == scenes.names[:2]
    assert test == scenes.names[2:]
    assert len(load_scenes(small_s3dis / "Area_1")) == 2
    assert len(load_scenes(small_s3dis / "Area_1" / "office_2")) == 1
    put(small_s3dis, "Area_1/office_2/Annotations/lamp_1.txt", "1 2 3 4 5 6\n")
    with pytest.raises(UserError, match="lamp is no class, expected ceiling"):
        scenes[0]


def frame(labels):
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.normal(size=(len(labels), 3)) * 20, rng.random(len(labels))])
    words = b"".join(struct.pack("<HH", *pair) for pair in labels)
    return points.astype("<f4").tobytes(), words


@pytest.fixture
def small_kitti(tmp_path):
    points, words = frame([(10, 1), (252, 1), (0, 0), (81, 0), (52, 0)])
    for sequence in ("00", "08", "11"):
        for number in (3, 20):
            put(tmp_path, f"sequences/{sequence}/velodyne/{number:06}.bin", points)
            if sequence != "11":
                put(tmp_path, f"sequences/{sequence}/labels/{number:06}.label", words)
    return tmp_path


def test_semantickitti(small_kitti):
    scenes = load_scenes(small_kitti)
    assert scenes.names[:2] == ("00-000003", "00-000020")
    assert len(scenes) == 6
    cloud = scenes[0]
    assert cloud.label.tolist() == [0, 0, -1, 18, -1]
    one, two = cloud.instance[:2]
    assert one != two
    assert cloud.instance.tolist() == [one, two, -1, -1, -1]
    learn, test, unlabelled = names(labelled_split(small_kitti))
    assert learn == scenes.names[:2]
    assert test == scenes.names[2:4]
    assert unlabelled == scenes.names[:2] + scenes.names[4:]
    assert load_scenes(small_kitti / "sequences" / "11").names == ("11-000003", "11-000020")
    put(small_kitti, "sequences/00/labels/000003.label", frame([(77, 0)] * 5)[1])
    with pytest.raises(UserError, match=r"000003\.label: holds the label 77"):
        scenes[0]


def test_semantickitti_classes():
    """As the benchmark lists them."""
    numbers = [n for annotated in semantickitti._ANNOTATED.values() for n in annotated]
    assert len(set(numbers)) == len(numbers) == 30
    assert len(semantickitti.CLASSES) == 19
    assert semantickitti.THINGS == (
        "car",
        "bicycle",
        "motorcycle",
        "truck",
        "other-vehicle",
        "person",
        "bicyclist",
        "motorcyclist",
    )


def test_a_folder_of_ones_own(tmp_path):
    for index in (2, 10, 1):
        put(tmp_path, f"train/a{index}.xyz", f"x y z label\n0 0 {index} 1\n1 1 1 -1\n")
    put(tmp_path, "val/b.xyz", "x y z label\n0 0 0 0\n1 1 1 0\n")
    np.savez(tmp_path / "c.npz", coords=np.ones((2, 3)), class_names=np.array(["sky", "sea"]))
    scenes = load_scenes(tmp_path)
    assert scenes.names == ("c", "a1", "a2", "a10", "b")
    assert scenes.classes == ("sky", "sea")
    put(tmp_path, "classes.txt", "road\ntree\n\n")
    split = labelled_split(tmp_path)
    assert names(split) == (("a1", "a2", "a10"), ("b",), ("a1", "a2", "a10"))
    assert split.learn.classes == ("road", "tree")
    put(tmp_path, "train/a10.xyz", "x y z label\n0 0 0 2\n1 1 1 7\n2 2 2 0\n")
    with pytest.raises(UserError, match=r"a10\.xyz: label 2, 7 at 2 points, expected 0 \.\. 1"):
        split.learn[2]
    assert load_scenes(tmp_path / "c.npz").names == ("c",)
    with pytest.raises(UserError, match="one file, expected a folder"):
        labelled_split(tmp_path / "c.npz")


def test_reading_waits_and_nothing_is_kept(tmp_path):
    path = put(tmp_path, "a.xyz", "1 2 3\n")
    scenes = load_scenes(tmp_path)
    path.write_text("4 5 6\n7 8 9\n")
    assert len(scenes[0]) == 2
    path.unlink()
    with pytest.raises(UserError, match=r"a\.xyz: No such file"):
        scenes[0]


def test_procedural():
    split = labelled_split("procedural")
    assert split.learn.classes == PROCEDURAL_CLASSES
    assert [len(part) for part in (split.learn, split.test, split.unlabelled)] == [8, 8, 32]
    learn, test, unlabelled = split.learn[0], split.test[0], split.unlabelled[0]
    assert learn.label.max() < len(PROCEDURAL_CLASSES)
    assert unlabelled.label is None
    assert len({cloud.coords.tobytes() for cloud in (learn, test, unlabelled)}) == 3
    np.testing.assert_array_equal(load_scenes("procedural")[0].coords, unlabelled.coords)


def test_which_mosd_scenes_have_a_class():
    """The table of the task, number by number."""

    def of(part, number):
        return mosd._object_class(Path(f"{part}{number}.pcd"))

    assert [of("learn", n) for n in range(45)] == [1] * 21 + [-1] * 12 + [2] * 12
    assert [of("test", n) for n in range(60)] == [1] * 6 + [-1] * 25 + [2] * 6 + [-1] * 23


def test_load_points_gives_the_files_own_numbers(small_mosd):
    cloud = load_points(small_mosd / "learn" / "learn2.pcd")
    assert cloud.label.tolist() == [1, 1, 2, 20, 21, 30]


def npz(folder, name, labels=(0, 1)):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, xyz=np.arange(3.0 * len(labels)).reshape(-1, 3), label=np.array(labels))
    return path


def test_links_are_followed_and_not_in_a_circle(tmp_path):
    npz(tmp_path / "elsewhere", "s1.npz")
    folder = tmp_path / "data"
    folder.mkdir()
    for part in ("learn", "test"):
        (folder / part).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(folder)
    (folder / "test.npz").symlink_to(tmp_path / "elsewhere" / "s1.npz")
    scenes = load_scenes(folder)
    assert scenes.names == ("learn/s1.npz", "test", "test/s1.npz")
    assert labelled_split(folder).test.names == ("s1",)
    (tmp_path / "pcd").mkdir()
    put(tmp_path / "real", "learn2.pcd", pcd(random_cloud(0, 8), "binary"))
    (tmp_path / "pcd" / "mOSD").symlink_to(tmp_path / "real")
    assert load_scenes(tmp_path / "pcd").classes == ("table", "box", "cylinder")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("calib.txt", "P0: 1 2 3 4\n", True),
        ("trajectory.csv", "time,x,y,z\n0,0,0,0\n1,1,1,1\n", True),
        ("scan_poses.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n" * 3, True),
        ("notes.txt", "scanned in May\n", True),
        ("._s1.npz", b"\0\5\x16\7" + bytes(100), False),
        (".hidden/s2.npz", b"PK", False),
        ("classes.txt", "a\nb\n", False),
        ("README.txt", "how it was made\n", False),
        ("s1.labels.npy", b"\x93NUMPY", False),
        ("s1.mtl", "newmtl a\n", False),
    ],
)
def test_what_is_no_cloud_is_left_out(tmp_path, name, content, told, recwarn):
    npz(tmp_path, "s1.npz")
    if name == "s1.labels.npy":
        np.save(tmp_path / name, np.array([1, 0]))
    else:
        put(tmp_path, name, content)
    scenes = load_scenes(tmp_path)
    assert scenes.names == ("s1",) and len(scenes[0]) == 2
    said = [str(w.message) for w in recwarn]
    assert len(said) == told
    if told:
        assert name in said[0] and "\n" not in said[0] and "left out" in said[0]
    (tmp_path / "s1.npz").unlink()
    with pytest.raises(UserError, match="holds no point clouds") as error:
        load_scenes(tmp_path)
    assert (name in str(error.value)) == told


def test_a_folder_of_very_many_files_with_a_bad_one(tmp_path):
    for index in range(300):
        put(tmp_path, f"{index}.xyz", "0 0 0\n1 1 1\n")
    put(tmp_path, "120.xyz", "0 0 0\n1 one 1\n")
    scenes = load_scenes(tmp_path)
    assert len(scenes) == 300
    with pytest.raises(UserError, match=r"120\.xyz: .*one"):
        scenes[120]


def test_labels_in_files_of_mmdetection_and_pointcept(tmp_path):
    rng = np.random.default_rng(0)
    label, coords = rng.integers(0, 3, 300), rng.uniform(0, 5, (300, 3))
    frame = np.column_stack([coords, rng.random(300)]).astype("<f4")
    put(tmp_path / "mm", "points/a.bin", frame.tobytes())
    put(tmp_path / "mm", "semantic_mask/a.bin", label.astype("<i8").tobytes())
    put(tmp_path / "mm", "instance_mask/a.bin", (label + 7).astype("<i8").tobytes())
    with pytest.warns(UserWarning, match=r"a\.bin lies in .*_mask/"):
        scenes = load_scenes(tmp_path / "mm")
    assert scenes.names == ("a",)
    np.testing.assert_array_equal(scenes[0].label, label)
    np.testing.assert_array_equal(scenes[0].instance, label + 7)
    for part, scene in (("train", "scene0"), ("val", "scene1")):
        folder = tmp_path / "pointcept" / part / scene
        folder.mkdir(parents=True)
        np.save(folder / "coord.npy", coords)
        np.save(folder / "segment.npy", label)
    split = labelled_split(tmp_path / "pointcept")
    assert names(split)[:2] == (("scene0",), ("scene1",))
    np.testing.assert_array_equal(split.test[0].label, label)
    text = "".join(f"{n}\n" for n in label)
    np.savetxt(tmp_path / "b.txt", coords)
    put(tmp_path, "b.labels", text)
    np.testing.assert_array_equal(load_points(tmp_path / "b.txt").label, label)
    put(tmp_path, "b.labels", text + "1\n")
    with pytest.raises(UserError, match=r"b\.labels: holds 301 labels, expected 300"):
        load_points(tmp_path / "b.txt")


@pytest.mark.parametrize(
    "parts", [("Train", "Validation"), ("training", "testing"), ("LEARN", "Test"), ("train", "val")]
)
def test_names_of_parts(tmp_path, parts):
    for part in parts:
        npz(tmp_path, f"{part}/{part}.npz")
    learn, test, unlabelled = names(labelled_split(tmp_path))
    assert (learn, test, unlabelled) == ((parts[0],), (parts[1],), (parts[0],))


def test_scenes_for_tests_are_never_pretrained_on(tmp_path, small_mosd):
    npz(tmp_path / "own", "test/a.npz")
    with pytest.raises(UserError, match="all 1 scenes are for tests"):
        pretraining_scenes(tmp_path / "own")
    npz(tmp_path / "own", "b.npz")
    assert find_split(tmp_path / "own") is None
    assert pretraining_scenes(tmp_path / "own").names == ("b",)
    npz(tmp_path / "own", "unlabelled/c.npz")
    assert pretraining_scenes(tmp_path / "own").names == ("c",)
    npz(tmp_path / "own", "learn/d.npz")
    scenes = pretraining_scenes(tmp_path / "own")
    assert scenes.names == ("d", "c") and scenes[0].label is None
    assert pretraining_scenes(small_mosd).names == labelled_split(small_mosd).unlabelled.names


def test_a_published_layout_says_itself_what_its_files_hold(small_mosd):
    with pytest.raises(UserError, match=r"layout of mOSD.*leave --columns, --ignore"):
        load_scenes(small_mosd, None, Reading(ignore=(255,)))

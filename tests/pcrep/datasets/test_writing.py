"""Classes written into a file are read back, and all else of it is as it was."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pcrep.datasets import Reading, load_points, load_scenes
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.writing import class_numbers, target_of, write_fields
from tests.pcrep.datasets.formats import lines, pcd, ply, random_cloud
from tspcrep.common.errors import UserError

COUNT = 130
CLOUD = random_cloud(3, COUNT)
RNG = np.random.default_rng(8)


def made(rows=COUNT, names=(), colour=False):
    label = RNG.integers(0, 5, rows)
    return Fields(
        label,
        RNG.random(rows, dtype=np.float32),
        np.arange(rows),
        np.arange(5),
        RNG.integers(0, 256, (rows, 3)).astype(np.uint8) if colour else None,
        names,
    )


def source(folder, name):
    """A file of that name, and how it is read."""
    path, reading = folder / "in" / name, Reading()
    path.parent.mkdir(exist_ok=True)
    kind, _, suffix = name.partition(".")
    if suffix == "ply":
        path.write_bytes(ply(CLOUD, kind))
    elif suffix == "pcd":
        path.write_bytes(pcd(CLOUD, kind))
    elif suffix == "npz":
        np.savez(path, xyz=CLOUD["coords"], label=CLOUD["label"], other=np.arange(3))
    elif suffix == "npy":
        np.save(path, CLOUD["coords"])
    elif suffix == "bin":
        data = np.column_stack([CLOUD["coords"], CLOUD["intensity"]])
        path.write_bytes(data.astype("<f4").tobytes())
    elif suffix == "csv":
        columns = [*CLOUD["coords"].T, CLOUD["intensity"]]
        path.write_bytes(lines(columns, ",", "X,Y,Z,intensity\n"))
    else:
        path.write_bytes(b"# two\n" + lines(CLOUD["coords"].T))
    return path, reading


ASPRS_CODES = class_numbers(Path("a.las"), ("ground", "Building", "water", "road", "rail"))
NAMES = (
    *("ascii.ply", "binary_little_endian.ply", "binary_big_endian.ply"),
    *("ascii.pcd", "binary.pcd", "binary_compressed.pcd"),
    *("a.npz", "a.npy", "a.bin", "a.csv", "a.xyz"),
)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(tmp_path, name, colour):
    path, _ = source(tmp_path, name)
    before, fields = load_points(path), made(colour=colour)
    target = target_of(path, tmp_path / "out" / name)
    write_fields(path, target, fields)
    if target.suffix == ".label":
        confidence = np.load(target.with_suffix(".confidence.npy"))
        np.testing.assert_array_equal(confidence, fields.confidence)
        target = (tmp_path / "out" / name).with_suffix(".bin")
        target.write_bytes(path.read_bytes())
        colour = False  # a .label holds none
    after = load_points(target)
    np.testing.assert_array_equal(after.label, fields.label)
    for field, values in before.arrays().items():
        if field not in ("label", "colour"):
            np.testing.assert_array_equal(after.arrays()[field], values, err_msg=field)
    if colour:
        np.testing.assert_allclose(after.colour, fields.colour / 255, atol=1e-6)
    elif before.colour is not None:
        np.testing.assert_array_equal(after.colour, before.colour)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_written_once_more_without_growing(tmp_path, name):
    """The fields of another prediction are replaced."""
    path, _ = source(tmp_path, name)
    if path.suffix in (".bin", ".npy"):
        return
    first, second = tmp_path / "1" / name, tmp_path / "2" / name
    write_fields(path, first, made())
    fields = made()
    write_fields(first, second, fields)
    np.testing.assert_array_equal(load_points(second).label, fields.label)
    assert abs(second.stat().st_size - first.stat().st_size) < COUNT * 8


def test_the_confidence_is_in_the_file(tmp_path):
    path, _ = source(tmp_path, "binary_little_endian.ply")
    fields, target = made(), tmp_path / "a.ply"
    write_fields(path, target, fields)
    open3d = pytest.importorskip("open3d")
    found = open3d.t.io.read_point_cloud(str(target)).point["confidence"].numpy()[:, 0]
    np.testing.assert_array_equal(found, fields.confidence)
    assert target.read_bytes().endswith(struct.pack("<Biii", 3, 0, 0, 0))  # its face is there
    write_fields(source(tmp_path, "a.csv")[0], tmp_path / "a.csv", fields)
    text = (tmp_path / "a.csv").read_text().splitlines()
    assert text[0] == "x,y,z,intensity,label,confidence" and len(text) == COUNT + 1
    confidence = [float(line.split(",")[-1]) for line in text[1:]]
    np.testing.assert_allclose(confidence, fields.confidence, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_a_point_have_no_class(tmp_path, name):
    path, _ = source(tmp_path, name)
    row = np.delete(np.arange(COUNT), [0, 7])
    fields = replace(made(COUNT - 2), row=row)
    target = target_of(path, tmp_path / name)
    write_fields(path, target, fields)
    if target.suffix == ".label":
        target = tmp_path / "a.bin"
        target.write_bytes(path.read_bytes())
    label = load_points(target).label
    np.testing.assert_array_equal(label[row], fields.label)
    assert (label[[0, 7]] == -1).all()
    with pytest.raises(UserError, match="holds 130 points, expected at least 131"):
        write_fields(path, tmp_path / "b", replace(fields, row=np.arange(3, 131)))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("kind", [3, 7])
def test_las(tmp_path, suffix, kind):
    """All dimensions, records and coordinates against laspy, bit for bit."""
    laspy = pytest.importorskip("laspy")
    header = laspy.LasHeader(version="1.4", point_format=kind)
    header.scales, header.offsets = [0.001, 0.002, 0.01], [500_000, 5_400_000, 0]
    header.add_extra_dim(laspy.ExtraBytesParams("height", "int16", scales=[0.01], offsets=[1.0]))
    header.add_extra_dim(laspy.ExtraBytesParams("label", "uint8"))
    header.vlrs.append(laspy.VLR("survey", 7, "who flew", b"us"))
    file = laspy.LasData(header)
    file.x, file.y, file.z = (RNG.random((COUNT, 3)) * 90 + [500_100, 5_400_100, 30]).T
    for name in ("intensity", "gps_time", "red", "return_number", "user_data", "scan_angle_rank"):
        if name in file.point_format.dimension_names:
            file[name] = RNG.integers(0, 6, COUNT)
    file["height"] = np.round(RNG.random(COUNT) * 5, 2) + 1
    file.evlrs = laspy.vlrs.vlrlist.VLRList([laspy.VLR("survey", 8, "later", b"x" * 300)])
    file.write(tmp_path / f"in{suffix}")
    fields = replace(made(), codes=ASPRS_CODES)
    write_fields(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", fields)
    before, after = laspy.read(tmp_path / f"in{suffix}"), laspy.read(tmp_path / f"out{suffix}")
    assert after.header.are_points_compressed == (suffix == ".laz")
    for name in before.points.array.dtype.names:
        if name not in ("label", "classification", "raw_classification"):
            np.testing.assert_array_equal(after.points.array[name], before.points.array[name])
    np.testing.assert_array_equal(after.xyz, before.xyz)
    np.testing.assert_array_equal(after["label"], fields.label)
    np.testing.assert_array_equal(after["confidence"], fields.confidence)
    codes = np.array([2, 6, 9, 11, 10])[fields.label]
    np.testing.assert_array_equal(after.classification, codes)
    np.testing.assert_array_equal(np.asarray(after["height"]), np.asarray(before["height"]))
    own = [v for v in after.vlrs if v.user_id == "survey"]
    assert [v.record_data for v in own] == [b"us"]
    assert [e.record_data for e in after.evlrs] == [b"x" * 300]
    np.testing.assert_array_equal(load_points(tmp_path / f"out{suffix}").label, fields.label)


def test_a_classification_that_has_too_few_bits_stays(tmp_path):
    laspy = pytest.importorskip("laspy")
    file = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
    file.x = file.y = file.z = np.arange(COUNT) / 10
    file.classification = np.full(COUNT, 7)
    file.write(tmp_path / "in.las")
    write_fields(
        tmp_path / "in.las", tmp_path / "out.las", replace(made(), codes=np.arange(28, 33))
    )
    assert (laspy.read(tmp_path / "out.las").classification == 7).all()


def test_numbers_of_classes():
    las, label = Path("a.LAZ"), Path("a.label")
    assert class_numbers(las, ("Ground", "building")).tolist() == [2, 6]
    assert class_numbers(las, ("ground", "chair")).tolist() == [0, 1]
    assert class_numbers(label, ("Ground", "building")).tolist() == [0, 1]
    for path in (las, label):  # those of the files come first, where each class has one
        assert class_numbers(path, ("ground", "chair"), (8, 64)).tolist() == [8, 64]
        assert class_numbers(path, ("sea", "chair"), (8,)).tolist() == [0, 1]


def test_a_label_file_has_the_numbers_of_the_classes(tmp_path):
    """Read back as SemanticKITTI and through a label map, and as the 32-bit words of its format."""
    path, _ = source(tmp_path, "a.bin")
    row = np.delete(np.arange(COUNT), [3])
    fields = replace(made(COUNT - 1), row=row, codes=np.array([40, 10, 70, 48, 50]))
    write_fields(path, tmp_path / "a.label", fields)
    (tmp_path / "a.bin").write_bytes(path.read_bytes())
    words = np.fromfile(tmp_path / "a.label", "<u4")
    np.testing.assert_array_equal(words[row], np.array([40, 10, 70, 48, 50])[fields.label])
    assert words[3] == 0
    (tmp_path / "map").write_text("40 r\n10 c\n70 v\n48 s\n50 b\n0 none\n")
    mapped = load_points(path.parent.parent / "a.bin", reading=Reading(label_map=tmp_path / "map"))
    np.testing.assert_array_equal(mapped.label[row], fields.label)
    assert mapped.label[3] == -1
    names = np.array(["road", "car", "vegetation", "sidewalk", "building"])
    scenes = load_scenes(tmp_path)
    found = scenes[0].label
    np.testing.assert_array_equal(np.array(scenes.classes)[found[row]], names[fields.label])
    assert found[3] == -1
    with pytest.raises(UserError, match="a class has the number 70000, expected less than 65535"):
        write_fields(path, tmp_path / "b.label", replace(fields, codes=np.array([1, 2, 70000])))


def test_a_folder_of_arrays_is_read_alone(tmp_path):
    (tmp_path / "scene").mkdir()
    np.save(tmp_path / "scene" / "coord.npy", CLOUD["coords"])
    with pytest.raises(UserError, match="a folder of arrays is read alone"):
        target_of(tmp_path / "scene", tmp_path / "out")
    with pytest.raises(UserError, match="a folder of arrays is read alone"):
        write_fields(tmp_path / "scene", tmp_path / "out", made())

"""Scans are predicted with one command, and classes come back in the format that came in."""

import copy
import json

import numpy as np
import pytest
import torch

from pcrep.datasets import Reading, load_points, load_scenes
from pcrep.encoders.encoding import encode
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter, save_segmenter
from tests.pcrep.made_scenes import CLASSES, made_scene
from tests.pcrep.networks import tiny
from tests.tools.running import contents, is_one_line


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A file with an untrained segmenter whose classes vary, and the segmenter."""
    path = tmp_path_factory.mktemp("segmenter") / "segmenter.safetensors"
    method = Segmenter(tiny(5), 3, SegmentationConfig(voxel=0.05)).eval()
    features = torch.from_numpy(encode(method.encoder, made_scene(0), 0.05)[0])
    with torch.no_grad():
        method.head.weight.mul_(10)
        method.head.bias.copy_(-method.head.weight @ features.mean(0))
    save_segmenter(path, method, CLASSES)
    return path, method


@pytest.fixture
def scans(tmp_path):
    """A LAZ far away, a PLY-like NPZ in a subfolder, one scan that is cut off, and a note."""
    laspy = pytest.importorskip("laspy")
    folder = tmp_path / "scans"
    (folder / "deep").mkdir(parents=True)
    cloud = made_scene(1)
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.0001] * 3, [600_000, 5_400_000, 0]
    file = laspy.LasData(header)
    file.x, file.y, file.z = (cloud.coords + np.array([600_000, 5_400_000, 0])).T
    file.red, file.green, file.blue = (cloud.colour * 65535).astype(np.uint16).T
    file.write(folder / "a.laz")
    np.savez(folder / "deep" / "a.npz", xyz=cloud.coords, rgb=cloud.colour)
    (folder / "notes.txt").write_text("of May")
    return folder


def predict(tool, segmenter, data, output, *options):
    options = ("--segmenter", segmenter[0], "--data", data, "--output", output, *options)
    return tool("predict", *options)


def test_a_folder_and_again(tool, segmenter, scans, tmp_path):
    output = tmp_path / "out"
    status, stdout, stderr = predict(tool, segmenter, scans, output)
    assert status == 0, stderr
    left = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert left == {"a.laz", "deep/a.npz", "predict.json", "classes.txt", "picture.png"}
    assert (output / "classes.txt").read_text().split() == list(CLASSES)
    for name in ("a.laz", "deep/a.npz"):
        before, after = load_points(scans / name), load_points(output / name)
        np.testing.assert_array_equal(after.label, segmenter[1].predict(before))
        np.testing.assert_array_equal(after.coords, before.coords)
        np.testing.assert_array_equal(after.colour, before.colour)
    assert len(np.unique(after.label)) > 1
    counts = dict(line.rsplit(maxsplit=1) for line in stdout.splitlines()[:-1])
    assert counts["predicted"] == "2" and "notes.txt" in stderr
    assert sum(int(counts[name].replace(",", "")) for name in CLASSES) == 2 * len(after)

    (output / "deep" / "a.npz").unlink()  # as if it had been stopped
    kept = (output / "a.laz").stat().st_mtime_ns
    status, stdout, _ = predict(tool, segmenter, scans, output)
    assert status == 0 and stdout.splitlines()[0].split() == ["there", "already", "1"]
    assert (output / "a.laz").stat().st_mtime_ns == kept and (output / "deep" / "a.npz").exists()
    status, _, stderr = predict(tool, segmenter, scans, output, "--colours")
    is_one_line(status, stderr, "holds predictions of another segmenter or with other options")


def test_one_bad_scan_among_others_is_left_out_and_told(tool, segmenter, scans, tmp_path):
    data = (scans / "a.laz").read_bytes()
    (scans / "cut.laz").write_bytes(data[: len(data) // 2])
    status, stdout, stderr = predict(tool, segmenter, scans, tmp_path / "out")
    said = [line for line in stderr.splitlines() if line]
    assert status == 2 and "predicted" in stdout
    assert any(line.startswith("left out: ") and "cut.laz" in line for line in said)
    assert said[-1].startswith("predict.py: 1 of 3 scans could not be predicted")
    assert not (tmp_path / "out" / "cut.laz").exists()
    status, _, stderr = predict(tool, segmenter, scans / "cut.laz", tmp_path / "one")
    is_one_line(status, stderr, "predict.py: ", "cut.laz")


def test_a_mesh_among_scans_is_left_out_and_told(tool, segmenter, scans, tmp_path):
    (scans / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    status, _, stderr = predict(tool, segmenter, scans, tmp_path / "out")
    assert status == 0 and "mesh.obj a mesh is read alone" in stderr
    status, _, stderr = predict(tool, segmenter, scans / "mesh.obj", tmp_path / "one")
    is_one_line(status, stderr, "a mesh is read alone")
    status, _, stderr = predict(tool, segmenter, scans, tmp_path / "two", "--density", 5)
    is_one_line(status, stderr, "--density: samples points that are in no file")


def test_colours_and_tiles(tool, segmenter, scans, tmp_path):
    assert predict(tool, segmenter, scans / "a.laz", tmp_path / "whole")[0] == 0
    options = ("--colours", "--tile", 100)
    assert predict(tool, segmenter, scans / "a.laz", tmp_path / "tiles", *options)[0] == 0
    whole, tiled = (load_points(tmp_path / name / "a.laz") for name in ("whole", "tiles"))
    np.testing.assert_array_equal(tiled.label, whole.label)
    for index in np.unique(tiled.label):
        assert len(np.unique(tiled.colour[tiled.label == index], axis=0)) == 1
    assert len(np.unique(tiled.colour, axis=0)) == len(np.unique(tiled.label))
    note = json.loads((tmp_path / "tiles" / "predict.json").read_text())
    assert note["colours"] is True and len(note["segmenter"]) == 64


def test_what_cannot_be_predicted(tool, segmenter, scans, tmp_path, monkeypatch):
    before = contents(scans)
    cases = {
        ("--data", tmp_path / "nowhere"): "no such file or folder",
        ("--output", scans): "holds the scans",
        ("--segmenter", tmp_path / "none"): "no such file",
        ("--tile", 0): "tile: found 0",
        ("--unit", 0): "unit: found 0",
    }
    for option, words in cases.items():
        status, _, stderr = predict(tool, segmenter, scans, tmp_path / "out", *option)
        is_one_line(status, stderr, "predict.py: ", words)
    np.savez(scans / "b.npz", xyz=np.ones((2, 3)))
    np.save(scans / "b.npy", np.ones((2, 3)))
    status, _, stderr = predict(tool, segmenter, scans, tmp_path / "out")
    assert status == 2 and "b.npy and " in stderr.splitlines()[-1]
    assert "would both be written to" in stderr.splitlines()[-1]
    (scans / "b.npz").unlink()
    (scans / "b.npy").unlink()
    monkeypatch.setattr("predict.MOST", 100)
    frame = tmp_path / "a.bin"
    frame.write_bytes(np.random.default_rng(0).random((601, 4), "f4").tobytes())
    status, _, stderr = predict(tool, segmenter, frame, tmp_path / "out2")
    is_one_line(status, stderr, "a.bin: holds 601 points, more than 100: save it as LAS or cut")
    (tmp_path / "empty").mkdir()
    status, _, stderr = predict(tool, segmenter, tmp_path / "empty", tmp_path / "out")
    is_one_line(status, stderr, "holds no point clouds")
    assert contents(scans) == before and not (tmp_path / "out").exists()


def test_numbers_of_the_files_that_were_learnt_from(tool, segmenter, scans, tmp_path):
    """They come from the label map through fine-tuning's scenes into LAS and .label."""
    laspy = pytest.importorskip("laspy")
    method, numbers = segmenter[1], (64, 2, 17, 40, 5)[: len(CLASSES)]
    (tmp_path / "map").write_text(
        "".join(f"{n} {c}\n" for n, c in zip(numbers, CLASSES, strict=True))
    )
    reading = Reading(label_map=str(tmp_path / "map"))
    method = copy.deepcopy(method)
    method.numbers = load_scenes(scans / "deep", reading=reading).numbers
    save_segmenter(tmp_path / "s.safetensors", method, CLASSES)
    cloud = load_points(scans / "a.laz")
    file = laspy.convert(laspy.read(scans / "a.laz"), point_format_id=7)
    file.write(scans / "a.las")
    data = np.column_stack([cloud.coords, np.linspace(0, 1, len(cloud))])
    (scans / "f.bin").write_bytes(data.astype("<f4").tobytes())
    output = tmp_path / "out"
    status, stdout, stderr = predict(tool, (tmp_path / "s.safetensors",), scans, output)
    assert status == 0 and "label_map.txt" in stdout, stderr
    found = laspy.read(output / "a.las")
    np.testing.assert_array_equal(found.classification, np.array(numbers)[found["label"]])
    (output / "f.bin").write_bytes((scans / "f.bin").read_bytes())
    given = Reading(label_map=str(output / "label_map.txt"))
    frame = load_points(scans / "f.bin")
    np.testing.assert_array_equal(
        load_points(output / "f.bin", reading=given).label, method.predict(frame)
    )
    assert set(np.fromfile(output / "f.label", "<u4")) <= set(numbers)


def test_a_large_laz_is_written_as_one_in_memory(tool, segmenter, scans, tmp_path, monkeypatch):
    options = ("--colours", "--tile", 100)
    assert predict(tool, segmenter, scans / "a.laz", tmp_path / "memory", *options)[0] == 0
    monkeypatch.setattr("predict.MOST", 100)
    status, stdout, stderr = predict(tool, segmenter, scans / "a.laz", tmp_path / "disk", *options)
    assert status == 0 and "predicted" in stdout, stderr
    memory, disk = (load_points(tmp_path / name / "a.laz") for name in ("memory", "disk"))
    assert memory.arrays().keys() == disk.arrays().keys()
    for name, values in memory.arrays().items():
        np.testing.assert_array_equal(disk.arrays()[name], values, err_msg=name)
    left = {path.name for path in (tmp_path / "disk").iterdir()}
    assert left == {"a.laz", "predict.json", "classes.txt", "picture.png"}

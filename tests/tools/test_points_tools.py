"""Few labels and vectors of points with the tools, as a user would, on tiny scenes."""

import json
import shutil

import numpy as np
import pytest
import torch

from pcrep import SparseUNet, load_encoder, save_encoder
from pcrep.datasets import labelled_split, load_points
from pcrep.embedding import principal_colours
from pcrep.encoders.encoding import encode
from pcrep.evaluation.scores import ProbeConfig, probe, score
from pcrep.evaluation.segmentation import (
    SEGMENTER,
    Segmenter,
    choose_scenes,
    load_segmenter,
)
from pcrep.procedural import procedural
from tests.pcrep.made_scenes import CLASSES, made_scene
from tests.pcrep.networks import tiny
from tests.tools.running import contents, is_one_line
from tspcrep.common.weights import FILE, read_encoder

QUICK = ("--device", "cpu", "--max-steps", 4, "--batch-size", 2, "--probe-points", 50)


def write_scene(path, seed, **without):
    cloud = made_scene(seed)
    known = {"coords": cloud.coords, "colour": cloud.colour, "label": cloud.label} | without
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: values for name, values in known.items() if values is not None})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three scenes to learn from and one to test on."""
    folder = tmp_path_factory.mktemp("data")
    for seed, part in enumerate(("learn", "learn", "learn", "test")):
        write_scene(folder / part / f"scene{seed}.npz", seed)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / FILE
    network = tiny(7)
    network.voxel = 0.05
    save_encoder(path, network)
    return path


def finetune(tool, data, output, *options):
    return tool("finetune_segmentation", "--data", data, "--output", output, *QUICK, *options)


def test_a_fine_tuned_run_and_what_it_leaves(tool, data, encoder, tmp_path):
    output = tmp_path / "run"
    options = ("--encoder", encoder, "--labelled-scenes", 2, "--seeds", 0, 3, "--mode", "finetune")
    status, stdout, stderr = finetune(tool, data, output, *options)
    assert status == 0, stderr
    trained = [f"{name}/{file}" for name in ("finetune", "scratch") for file in
               ("checkpoint.pt", "metrics.jsonl")]  # fmt: skip
    left = ["result.json", FILE, "segmenter.safetensors"]
    expected = {"config.toml", "env.json", "report.html", *left}
    expected |= {f"seed-{seed}/{name}" for seed in (0, 3) for name in (*trained, *left)}
    assert {str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()} == expected

    result = json.loads((output / "result.json").read_text())
    assert result["task"] == "segmentation" and result["mode"] == "finetune"
    assert result["seeds"] == [0, 3] and result["labelled_scenes"] == 2
    assert result["labelled_fraction"] == pytest.approx(2 / 3)
    assert result["controls"].keys() == {"frozen", "scratch", "random_encoder_probe"}
    assert "+- : over 2 seeds: draws of labels and of random weights, of one encoder" in stdout
    for scores in (result, *result["controls"].values()):
        assert scores["iou"].keys() == set(CLASSES) and 0 <= scores["miou"] <= 1
        assert scores["miou"] == pytest.approx(np.mean(list(scores["iou"].values())))
        assert f"{100 * scores['miou']:.1f}" in stdout
    learn = labelled_split(data).learn
    for names, seed in zip(result["labelled"], (0, 3), strict=True):
        assert names == [learn.names[i] for i in choose_scenes(learn, 2, seed)]

    test = labelled_split(data).test
    scores = []
    for seed in (0, 3):
        segmenter, classes = load_segmenter(output / f"seed-{seed}" / "segmenter.safetensors")
        assert classes == CLASSES and segmenter.voxel == 0.05
        scores.append(score(test, segmenter.predict)["miou"])
    assert result["miou"] == pytest.approx(np.mean(scores))
    tuned = load_encoder(output)
    assert tuned.voxel == 0.05
    assert torch.equal(tuned.stem.conv.weight, load_encoder(output / "seed-0").stem.conv.weight)
    assert not torch.equal(tuned.stem.conv.weight, load_encoder(encoder).stem.conv.weight)


def test_a_run_that_stops_anywhere_resumes_to_the_same_bits(
    tool, data, encoder, tmp_path, monkeypatch
):
    options = ("--encoder", encoder, "--labelled-fraction", 0.1, "--seeds", 1)
    options += ("--mode", "finetune")
    options += ("--checkpoint-every", 1)
    assert finetune(tool, data, tmp_path / "whole", *options)[0] == 0
    output = tmp_path / "stopped"
    steps = []

    def stop(self):
        steps.append(1)
        if len(steps) in (3, 6):  # amid the first network, then amid the second
            raise KeyboardInterrupt

    monkeypatch.setattr(Segmenter, "after_step", stop)
    for resume in ([], ["--resume"]):
        assert finetune(tool, data, output, *options, *resume)[0] == 130
        assert not (output / "result.json").exists()
    status, _, stderr = finetune(tool, data, output, *options, "--resume")
    # 2 + 2 steps, and 1 + 3: each stopped step is done again, no other.
    assert status == 0 and len(steps) == 10, stderr
    for name in (f"seed-1/{FILE}", "seed-1/segmenter.safetensors"):
        found, expected = (read_encoder(tmp_path / r / name)[2] for r in ("stopped", "whole"))
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    results = [
        json.loads((tmp_path / r / "result.json").read_text()) | {"timing": None}
        for r in ("stopped", "whole")
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("mode", ["linear", "knn"])
def test_probes_of_frozen_features(tool, data, encoder, tmp_path, mode):
    output = tmp_path / "run"
    options = ("--encoder", encoder, "--mode", mode, "--seeds", 2)
    status, stdout, stderr = finetune(tool, data, output, *options)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    split, network = labelled_split(data), load_encoder(encoder)
    few = ProbeConfig(probe_points=50)
    by_hand = probe(network, split.learn, split.test, None, mode, few, 2)
    assert result["miou"] == by_hand["miou"] and result["iou"] == by_hand["iou"]
    assert result["controls"].keys() == {"scratch", "random_encoder_probe"}
    assert (output / SEGMENTER).exists() == (mode == "linear")
    report = (output / "report.html").read_text()
    assert "<small>the same network trained from random weights" in report
    assert result["labelled_fraction"] == 1 and not (output / FILE).exists()
    assert mode in stdout
    assert (output / "segmenter.safetensors").exists() == (mode == "linear")
    if mode == "linear":  # the probe as a segmenter, for tools/predict.py
        segmenter, classes = load_segmenter(output / "segmenter.safetensors")
        assert classes == CLASSES
        assert score(split.test, segmenter.predict)["miou"] == pytest.approx(
            result["miou"], abs=2e-3
        )


def test_the_segmenter_knows_the_numbers_of_its_classes(tool, data, encoder, tmp_path):
    (tmp_path / "map").write_text("2 c\n0 a\n1 b\n")
    options = ("--encoder", encoder, "--mode", "linear", "--seeds", 2)
    options += ("--label-map", tmp_path / "map")
    status, _, stderr = finetune(tool, data, tmp_path / "run", *options)
    assert status == 0, stderr
    segmenter, classes = load_segmenter(tmp_path / "run" / SEGMENTER)
    assert classes == ("c", "a", "b") and segmenter.numbers == (2, 0, 1)


def test_by_default_it_is_tuned_as_far_as_validation_says(tool, data, encoder, tmp_path):
    output = tmp_path / "run"
    options = ("--encoder", encoder, "--seeds", 0, 1, "--levels", "both", "--smooth")
    status, _, stderr = finetune(tool, data, output, *options)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    assert result["mode"] == "auto" and len(result["tuned"]) == 2
    for seed, share in zip((0, 1), result["tuned"], strict=True):
        own = json.loads((output / f"seed-{seed}" / "result.json").read_text())
        assert str(share) == min(own["validation"], key=own["validation"].get)
        if share == 0:
            assert own["miou"] == own["controls"]["frozen"]["miou"]
    segmenter, _ = load_segmenter(output / SEGMENTER)
    assert segmenter.smooth and segmenter.levels == "both"
    test = labelled_split(data).test
    first = json.loads((output / "seed-0" / "result.json").read_text())
    assert score(test, segmenter.predict)["miou"] == first["miou"]
    assert (
        "<small>the pretrained encoder, tuned as far as cross-validation"
        in (output / "report.html").read_text()
    )


def test_objects_of_a_run(tool, encoder, tmp_path, monkeypatch):
    """On rooms of fewer points, beside the controls, and in the report."""

    def small(count, seed):
        made = procedural(1, seed)
        return made.map(lambda cloud: cloud.take(np.arange(0, len(cloud), 8)))

    monkeypatch.setattr("pcrep.procedural.procedural", small)
    output = tmp_path / "run"
    options = ("--encoder", encoder, "--mode", "linear", "--seeds", 0, 1, "--voxel", 0.1)
    status, stdout, stderr = finetune(tool, "procedural", output, *options, "--instances")
    assert status == 0, stderr
    found = json.loads((output / "result.json").read_text())["instances"]
    assert found.keys() == {"grouped", "segments", "dbscan"}
    for values in found.values():
        for name in ("pq", "map25", "map50", "box25", "box50"):
            assert 0 <= values[name] <= 1 and values[f"{name}_std"] >= 0
        assert values["map50"] <= values["map25"] and f"{100 * values['pq']:.1f} +-" in stdout
    page = (output / "report.html").read_text()
    assert "<h2>Objects</h2>" in page and "boxes stand upright" in page


def test_data_without_objects(tool, data, encoder, tmp_path):
    status, _, stderr = finetune(tool, data, tmp_path / "run", "--encoder", encoder, "--instances")
    is_one_line(status, stderr, "does not say which points are of one object")
    assert not (tmp_path / "run").exists()


def test_clicked_points(tool, data, encoder, tmp_path):
    options = ("--encoder", encoder, "--mode", "linear", "--seeds", 0)
    status, _, stderr = finetune(tool, data, tmp_path / "drawn", *options, "--labelled-points", 6)
    assert status == 0, stderr
    cloud = made_scene(1)
    rows = [np.flatnonzero(cloud.label == c)[0] for c in range(3)]
    lines = [
        ",".join(map(str, ("scene1", *cloud.coords[row], name)))
        for row, name in zip(rows, CLASSES, strict=True)
    ]
    clicks = tmp_path / "clicks.csv"
    clicks.write_text("\n".join(["scene,x,y,z,class", *lines]))
    options += ("--labelled-points", clicks)
    status, _, stderr = finetune(tool, data, tmp_path / "read", *options)
    assert status == 0, stderr
    result = json.loads((tmp_path / "read" / "result.json").read_text())
    assert result["labelled"] == [["scene1"]] and result["iou"].keys() == set(CLASSES)
    clicks.write_text("scene,x,y,z,class\nscene1,0,0,0,cat")
    status, _, stderr = finetune(tool, data, tmp_path / "bad", *options)
    is_one_line(status, stderr, "line 2: class 'cat'")


def test_from_scratch_without_an_encoder_or_names_of_classes(tool, data, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(data, bare)
    (bare / "classes.txt").unlink()
    options = ("--labelled-fraction", 0.05, "--labelled-scenes", 1, "--seeds", 0, "--voxel", 0.1)
    status, _, stderr = finetune(tool, bare, tmp_path / "run", *options)
    assert status == 0, stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["mode"] == "scratch" and result["iou"].keys() == {"0", "1", "2"}
    assert result["labelled_fraction"] == pytest.approx(0.05 / 3)
    assert result["miou"] == result["controls"]["scratch"]["miou"]
    found = load_encoder(tmp_path / "run")
    assert found.in_channels == 4 and found.voxel == 0.1


@pytest.mark.parametrize(
    "options, words",
    [
        (["--labelled-scenes", 9], ["found 9", "1 .. 3"]),
        (["--labelled-fraction", 0], ["labelled fraction", "found 0"]),
        (["--mode", "linear"], ["linear", "--encoder"]),
        (["--labelled-points", 0], ["labelled points: found 0"]),
        (["--labelled-points", "no.csv"], ["no.csv", "cannot be read"]),
        (["--labelled-points", 5, "--labelled-fraction", 0.5], ["one of the two"]),
        (["--labelled-points", "a.csv", "--labelled-scenes", 1], ["leave one of the two out"]),
        (["--balance", 2], ["balance 2", "0 .. 1"]),
        (["--network", "99Z"], ["99Z", "14A"]),
        (["--encoder", "nowhere"], ["nowhere", "no such encoder"]),
        (["--seeds"], ["seeds"]),
        (["--lr", 0], ["lr 0"]),
        (["--voxel", 0], ["voxel", "above 0"]),
        (["--probe-points", 0], ["probe_points 0"]),
        (["--max-steps", 0], ["max_steps"]),
        (["--data", "nothing-here"], ["nothing-here"]),
    ],
    ids=lambda value: str(value[0]).strip("-") if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be_used(tool, data, tmp_path, options, words):
    status, _, stderr = finetune(tool, data, tmp_path / "run", *options)
    is_one_line(status, stderr, "finetune_segmentation.py: ", *words)
    assert not (tmp_path / "run").exists()


def test_scenes_without_labels_and_encoders_of_other_inputs(tool, data, tmp_path):
    for part in ("learn", "test"):
        write_scene(tmp_path / "bare" / part / "a.npz", 0, label=None)
    status, _, stderr = finetune(tool, tmp_path / "bare", tmp_path / "run")
    is_one_line(status, stderr, "a.npz", "has no labels")
    cloud = made_scene(0)
    for part in ("learn", "test"):
        write_scene(tmp_path / "mm" / part / "a.npz", 0, coords=1000 * cloud.coords)
    status, _, stderr = finetune(tool, tmp_path / "mm", tmp_path / "run")
    is_one_line(status, stderr, "a.npz", "m apart", "--unit 0.001")
    options = ("--voxel", 0.05)
    status, _, stderr = finetune(tool, tmp_path / "mm", tmp_path / "run", *options)
    is_one_line(status, stderr, "a.npz", "extent", "metres")
    save_encoder(tmp_path / FILE, SparseUNet())
    status, _, stderr = finetune(tool, data, tmp_path / "run", "--encoder", tmp_path / FILE)
    is_one_line(status, stderr, FILE, "reads 3 channels, expected 4")
    assert not (tmp_path / "run").exists()


def embed(tool, encoder, data, output, *options):
    return tool("embed", "--encoder", encoder, "--data", data, "--output", output, *options)


def test_vectors_of_points_are_those_by_hand(tool, data, encoder, tmp_path):
    path = data / "learn" / "scene1.npz"
    status, stdout, stderr = embed(tool, encoder, path, tmp_path / "vectors.npz")
    assert status == 0 and str(tmp_path / "vectors.npz") in stdout, stderr
    found, cloud = np.load(tmp_path / "vectors.npz"), made_scene(1)
    features, point_to_voxel = encode(load_encoder(encoder), cloud, 0.05)
    assert np.array_equal(found["coords"], cloud.coords)
    assert np.array_equal(found["row"], np.arange(len(cloud)))
    assert np.array_equal(found["features"], features[point_to_voxel])
    coarse = embed(tool, encoder, path, tmp_path / "coarse.npz", "--voxel", 0.2)
    assert coarse[0] == 0
    assert len(np.unique(np.load(tmp_path / "coarse.npz")["features"], axis=0)) < len(features)


@pytest.mark.filterwarnings("ignore:.*dropped 2 of")
def test_vectors_lead_back_to_the_points_of_their_files(tool, encoder, tmp_path):
    """Scans in a national grid, with points that have no coordinates, of one name."""
    far, scans = np.array([612_000.25, 5_403_000.5, 300]), tmp_path / "scans"
    for seed, part in enumerate(("a", "b")):
        cloud = made_scene(seed)
        coords = cloud.coords + far
        coords[[0, 5]] = np.nan
        (scans / part).mkdir(parents=True)
        np.savez(scans / part / "scan.npz", coords=coords, colour=cloud.colour)
    status, _, stderr = embed(tool, encoder, scans, tmp_path / "out")
    assert status == 0, stderr
    files = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.npz"))
    assert [p.as_posix() for p in files] == ["a/scan.npz.npz", "b/scan.npz.npz"]
    for seed, file in enumerate(files):
        found, whole = np.load(tmp_path / "out" / file), made_scene(seed).coords + far
        rows = np.delete(np.arange(len(whole)), [0, 5])
        assert np.array_equal(found["row"], rows)
        np.testing.assert_allclose(found["coords"], whole[rows], atol=1e-4)
    picture = tmp_path / "p.ply"
    assert embed(tool, encoder, scans / "a" / "scan.npz", picture)[0] == 0
    np.testing.assert_allclose(
        load_points(picture).file_coords(), found_coords(tmp_path), atol=1e-9
    )


def found_coords(folder):
    return np.load(folder / "out" / "a" / "scan.npz.npz")["coords"]


@pytest.mark.filterwarnings("ignore:.*no voxel size is given")
def test_what_an_encoder_does_not_say_follows_from_the_points(tool, tmp_path, recwarn):
    save_encoder(tmp_path / FILE, tiny(7))
    scan = tmp_path / "grid.npz"
    axes = np.stack(np.meshgrid(np.arange(30), np.arange(30), [0.0]), -1).reshape(-1, 3)
    np.savez(scan, coords=axes * 0.05)
    status, _, stderr = embed(tool, tmp_path / FILE, scan, tmp_path / "v.npz")
    assert status == 0, stderr
    said = stderr.splitlines()
    assert any("takes 0.2 m" in line and "--voxel" in line for line in said)
    assert any("grid.npz: has no colour, which the network reads" in line for line in said)


def test_vectors_of_a_folder_and_a_coloured_picture(tool, data, encoder, tmp_path):
    status, _, stderr = embed(tool, encoder, data / "learn", tmp_path / "out")
    assert status == 0, stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["scene0.npz", "scene1.npz", "scene2.npz"]
    open3d = pytest.importorskip("open3d")
    assert embed(tool, encoder, data / "test" / "scene3.npz", tmp_path / "p.ply")[0] == 0
    seen = open3d.io.read_point_cloud(str(tmp_path / "p.ply"))
    np.testing.assert_array_equal(np.asarray(seen.points), made_scene(3).coords)
    colours = np.asarray(seen.colors)
    assert colours.min() == 0 and colours.max() == 1 and (colours.std(0) > 0.1).all()


def test_principal_colours_follow_the_largest_spread():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 3)) * [9, 3, 1]
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0][:3]
    colours = principal_colours((hidden @ turn + 5).astype(np.float32)).astype(float)
    for channel in range(3):
        between = np.corrcoef(colours[:, channel], hidden[:, channel])[0, 1]
        assert abs(between) > 0.97
    assert not principal_colours(np.ones((10, 4), np.float32)).any()
    flat = principal_colours(np.linspace(0, 1, 50, dtype=np.float32)[:, None])
    assert flat[0, 0] == 0 and flat[-1, 0] == 255 and not flat[:, 1:].any()


@pytest.mark.parametrize(
    "options, words",
    [
        (["--pool"], ["--pool", "for series"]),
        (["--time-column", "t"], ["--table", "for series"]),
        (["--voxel", "-1"], ["voxel", "above 0"]),
        (["--output", "one.npz"], ["3 scenes", "one.npz", "folder"]),
        (["--data", "nothing-here"], ["nothing-here"]),
    ],
    ids=lambda value: str(value[0]).strip("-") if isinstance(value, list) else "",
)
def test_points_that_cannot_be_embedded(tool, data, encoder, tmp_path, options, words):
    status, _, stderr = embed(tool, encoder, data / "learn", tmp_path / "out", *options)
    is_one_line(status, stderr, "embed.py: ", *words)
    assert contents(tmp_path) == {}


def test_an_output_that_cannot_be_written(tool, data, encoder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = data / "test" / "scene3.npz"
    status, _, stderr = embed(tool, encoder, path, tmp_path / "file" / "out.npz")
    is_one_line(status, stderr, "out.npz", "cannot be written")

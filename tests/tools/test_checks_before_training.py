"""What scenes lack is said before any preparation or training, and nothing is written."""

import importlib
import json

import numpy as np
import pytest

from tests.pcrep.made_scenes import made_scene
from tests.tools.running import TOOLS, is_one_line

QUICK = ("--device", "cpu", "--max-steps", 1, "--batch-size", 2, "--seeds", 0, "--voxel", 0.08)


def scene(folder, name, seed=0, scale=1, **changes):
    cloud = made_scene(seed)
    known = {"coords": cloud.coords * scale, "colour": cloud.colour, "label": cloud.label} | changes
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: values for name, values in known.items() if values is not None})


@pytest.fixture(params=["pretrain_fac", "finetune_segmentation"])
def checked(request, tool, monkeypatch):
    """Run a tool that fails with AssertionError where it begins to prepare or train."""
    monkeypatch.syspath_prepend(str(TOOLS))
    module = importlib.import_module(request.param)

    def never(*_, **__):
        raise AssertionError("began")

    for name in ("preprocessed", "fit"):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, never)

    def call(data, output, *options):
        return tool(request.param, "--data", data, "--output", output, *QUICK, *options)

    return call


@pytest.mark.parametrize(
    ("learn", "test", "words"),
    [
        ({"label": made_scene(0).label.clip(0, 1)}, {}, ("found label 2", "0 .. 1", "classes.txt")),
        ({}, {"label": None}, ("a.npz", "has no labels")),
        ({}, {"label": np.where(made_scene(0).label == 2, 9, 0)}, ("found label 9", "0 .. 2")),
        ({"label": np.where(made_scene(0).label == 2, 255, 0)}, {}, ("0, 255", "--ignore")),
        ({"scale": 1e5}, {}, ("extent", "metres")),
        ({"label": np.full(600, -1)}, {}, ("no labelled point",)),
    ],
    ids=["only in test", "some without", "beyond", "ignore label", "unit", "none at all"],
)
@pytest.mark.filterwarnings("ignore:.*m across if its unit")
def test_what_is_wrong_with_scenes(checked, tmp_path, learn, test, words):
    scene(tmp_path / "data", "learn/b.npz", 1, **learn)
    scene(tmp_path / "data", "test/a.npz", 0, **test)
    status, _, stderr = checked(tmp_path / "data", tmp_path / "run")
    is_one_line(status, stderr, *words)
    assert not (tmp_path / "run").exists()


def test_with_a_word_of_the_user_the_same_scenes_will_do(checked, tmp_path):
    label = np.where(made_scene(0).label == 2, 255, made_scene(0).label)
    for name in ("learn/a.npz", "test/a.npz"):
        scene(tmp_path / "data", name, label=label)
    with pytest.raises(AssertionError, match="began"):
        checked(tmp_path / "data", tmp_path / "run", "--ignore", 255)
    (tmp_path / "map.txt").write_text("0 floor\n1 box\n255 none\n")
    with pytest.raises(AssertionError, match="began"):
        checked(tmp_path / "data", tmp_path / "run2", "--label-map", tmp_path / "map.txt")


@pytest.mark.filterwarnings("ignore:.*no scene has labels")
def test_a_folder_without_labels_trains_to_its_end(tool, tmp_path, monkeypatch):
    """With parts called train and test, of which the first alone is pretrained on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("train/a.npz", "test/b.npz"):
        scene(tmp_path / "data", name, label=None)
    options = ("--data", tmp_path / "data", "--output", tmp_path / "run", *QUICK)
    status, _, stderr = tool("pretrain_fac", *options)
    assert status == 0, stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "miou" not in result
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1

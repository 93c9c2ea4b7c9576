"""The tool that pretrains on made scenes and on a user's own, on very few steps."""

import json

import pytest
import torch

from pcrep import load_encoder
from pcrep.encoders.inputs import channels
from tests.tools.rooms import write_room
from tests.tools.running import contents
from tspcrep.common.weights import FILE, read_encoder

TINY = ("--voxel", "0.1", "--points", "600", "--batch-size", "2", "--parts", "1")
FEW = (*TINY, "--device", "cpu", "--workers", "0", "--max-steps", "2", "--checkpoint-every", "1")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Prepared scenes lie in a folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.filterwarnings("ignore:.*1 of 1 scenes have no intensity:UserWarning")
def test_made_scenes_mixed_with_own_ones(tmp_path, tool):
    write_room(tmp_path / "own" / "room.npz", 0)
    output = tmp_path / "run"
    inputs = ("colour", "height", "intensity")
    options = ("--data", "rooms", tmp_path / "own", "--inputs", *inputs, "--output", output)
    status, stdout, stderr = tool("pretrain_points", *options, *FEW)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    assert result["data"] == ["rooms", str(tmp_path / "own")] and result["method"] == "fac"
    assert (output / "scenes.png").read_bytes()[:4] == b"\x89PNG"
    encoder = load_encoder(output)
    assert (encoder.inputs, encoder.voxel) == (inputs, 0.1)
    assert encoder.in_channels == channels(inputs)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1  # of the own scene alone
    for name in ("result.json", "scenes.png", FILE):
        assert str(output / name) in stdout


def test_self_distillation_needs_no_segments(tmp_path, tool, monkeypatch):
    def refused(*arguments):
        raise AssertionError("segments were found")

    monkeypatch.setattr("pcrep.contrast.corpora.prepare", refused)
    options = ("--method", "distillation", "--prototypes", "8", "--inputs", "colour", "normal")
    status, _, stderr = tool("pretrain_points", *options, *FEW, "--output", tmp_path / "run")
    assert status == 0, stderr
    _, config, tensors = read_encoder(tmp_path / "run")
    assert config["inputs"] == ["colour", "normal"]
    assert all(t.dtype == torch.float16 for t in tensors.values() if t.is_floating_point())


def test_workers_change_no_bit(tmp_path, tool):
    options = ("--data", "aerial", *FEW, "--voxel", "0.8", "--size", "50")
    helped, alone = tmp_path / "helped", tmp_path / "alone"
    assert tool("pretrain_points", *options, "--workers", "1", "--output", helped)[0] == 0
    assert tool("pretrain_points", *options, "--output", alone)[0] == 0
    found, expected = (read_encoder(folder)[2] for folder in (alone, helped))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--inputs", "color"), "inputs: found color, expected different ones of colour"),
        (("--data", "caves"), "caves: no such file or folder"),
        (("--size", "0"), "expected one of procedural, rooms, aerial, street and at least 1 scene"),
        (("--smallest", "0"), "smallest"),
    ],
)
def test_bad_options_write_nothing(options, message, tmp_path, tool):
    status, _, stderr = tool("pretrain_points", "--output", tmp_path / "run", *options)
    assert status == 2 and message in stderr and stderr.count("\n") == 1
    assert not contents(tmp_path)

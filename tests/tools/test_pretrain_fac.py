"""The tool that pretrains on point clouds, run as a user would, on tiny rooms."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from pcrep import FAC, SparseUNet, UNetConfig, load_encoder
from pcrep.contrast import OBJECTIVES, new_objective
from tests.tools.rooms import write_room
from tests.tools.running import TOOLS, contents
from tspcrep.common.config import load, parse
from tspcrep.common.errors import UserError
from tspcrep.common.weights import FILE, read_encoder

TINY = ("--voxel", "0.08", "--batch-size", "2", "--device", "cpu", "--seeds", "0")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    for index, part in enumerate(("learn", "learn", "learn", "test")):
        write_room(folder / part / f"room{index}.npz", index)
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Prepared scenes lie in a folder of this test."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def test_a_labelled_folder_ends_with_a_probe_beside_the_untrained_encoder(rooms, tmp_path, tool):
    output = tmp_path / "run"
    options = ("--data", rooms, "--output", output, "--max-steps", 3)
    status, stdout, stderr = tool("pretrain_fac", *options, *TINY)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    assert result["method"] == "fac" and result["mode"] == "linear"
    for found in (result, result["controls"]["random_encoder_probe"]):
        assert found["iou"].keys() == {"floor", "box", "ball"}
        assert 0 < found["miou"] <= 1
    assert "random_encoder_probe" in stdout and str(output / "result.json") in stdout
    encoder = load_encoder(output)
    assert encoder.voxel == 0.08
    files = {str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()}
    of_seed = {f"seed-0/{name}" for name in (FILE, "checkpoint.pt", "metrics.jsonl", "result.json")}
    assert files >= of_seed | {"config.toml", "env.json", "result.json", FILE}


@pytest.mark.parametrize("method", [name for name in OBJECTIVES if name != FAC.name])
def test_rivals_on_one_file_without_a_split(method, rooms, tmp_path, tool):
    output = tmp_path / "run"
    file = rooms / "learn" / "room0.npz"
    options = ("--data", file, "--output", output, "--method", method, "--max-steps", 2)
    status, _, stderr = tool("pretrain_fac", *options, *TINY)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    assert result["method"] == method and "miou" not in result
    assert load_encoder(output).in_channels == 4


def test_a_killed_run_ends_with_the_same_weights(rooms, tmp_path, tool):
    options = ["--data", rooms, *TINY, "--max-steps", 16, "--checkpoint-every", 1]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert tool("pretrain_fac", *options, "--output", whole)[0] == 0
    command = [sys.executable, str(TOOLS / "pretrain_fac.py"), *map(str, options)]
    process = subprocess.Popen(
        [*command, "--output", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    metrics, deadline = killed / "seed-0" / "metrics.jsonl", time.monotonic() + 300
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "seed-0" / FILE).exists(), "killed too late to show anything"
    assert tool("pretrain_fac", *options, "--output", killed, "--resume")[0] == 0
    found, expected = (read_encoder(folder)[2] for folder in (killed, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def write_flat(folder):
    """A wall and nothing before it."""
    coords = np.random.default_rng(0).uniform(0, 3, (4000, 3)) * [1, 1, 0.002]
    np.savez(folder / "flat.npz", coords=coords, colour=np.full((4000, 3), 0.5))
    return folder / "flat.npz"


def write_millimetres(folder):
    write_room(folder / "mm.npz", 0)
    with np.load(folder / "mm.npz") as archive:
        arrays = dict(archive)
    np.savez(folder / "mm.npz", **{**arrays, "coords": 1000 * arrays["coords"]})
    return folder / "mm.npz"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: folder / "nothing", "no such file or folder"),
        (write_flat, "no foreground"),
        (write_millimetres, "metres"),
    ],
    ids=["missing", "flat", "millimetres"],
)
def test_bad_data_is_one_line(write, message, tmp_path, tool):
    output = tmp_path / "run"
    status, _, stderr = tool("pretrain_fac", "--data", write(tmp_path), "--output", output, *TINY)
    assert status == 2
    assert message in stderr and stderr.count("\n") == 1


def test_the_configuration_for_rooms_is_read(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = importlib.import_module("pretrain_fac")
    config = load(tool.Config, TOOLS / "configs" / "fac-procedural.toml")
    assert config.pretraining.views.voxel == 0.05
    usual = tool.Config(data="", output=config.output).training
    assert config.training == usual


def test_every_objective_is_an_option_and_has_a_title(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    tool = importlib.import_module("pretrain_fac")
    encoder = SparseUNet(UNetConfig(in_channels=4))
    for name, objective in OBJECTIVES.items():
        assert name == objective.name and objective.title
        config = parse(tool.Config, ["--data", "", "--output", "", "--method", name])
        assert type(new_objective(name, encoder, config.pretraining, config.fac)) is objective
    with pytest.raises(UserError, match="method"):
        parse(tool.Config, ["--data", "", "--output", "", "--method", "none"])


def test_bad_options_write_nothing(rooms, tmp_path, tool):
    for options in (("--temperature", "0"), ("--network", "99Z"), ("--method", "x"), ("--seeds",)):
        status, _, stderr = tool(
            "pretrain_fac", "--data", rooms, "--output", tmp_path / "run", *options
        )
        assert status == 2 and stderr.count("\n") == 1
    assert not contents(tmp_path)

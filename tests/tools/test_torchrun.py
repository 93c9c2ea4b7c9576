"""Tools under torchrun: two processes leave what one leaves with twice the batch."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pcrep.encoders.unet import save_encoder
from pcrep.evaluation.segmentation import SEGMENTER
from tests.pcrep.made_scenes import CLASSES, made_scene
from tests.pcrep.networks import tiny
from tests.tools.running import TOOLS, contents, run, torchrun
from tspcrep.common.metrics_log import read_metrics
from tspcrep.common.weights import FILE
from tsrep.forecasting.files import FORECASTER_FILE

pytestmark = pytest.mark.distributed

FORECASTER = (
    *("--look-back", 24, "--patch", 8, "--dim", 8, "--heads", 2, "--horizons", 4, 12),
    *("--max-steps", 6, "--checkpoint-every", 2, "--seeds", 0, "--snapshots", 2, "--device", "cpu"),
    *("--objective", "moco2+hcl", "--width", 6, "--windows", 9, "--queue", 27),
    "--no-linear",
)
POINTS = (
    *("--labelled-scenes", 2, "--seeds", 0, "--max-steps", 3, "--device", "cpu"),
    *("--voxels", 400, "--probe-points", 50, "--tuning-lr", 1e-2),
)

STEM = "encoder.stem."

# The second process fails alone, while the first one waits for its gradients.
FAILING = f"""
import os
import sys

sys.path.insert(0, {str(TOOLS)!r})
import train_forecaster
from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tsrep.forecasting.training import Learner

loss = Learner.loss

def failing(self, batch, phase):
    if os.environ["RANK"] == "1" and self.done == 3:
        raise UserError("the disk of the second process is gone")
    return loss(self, batch, phase)

Learner.loss = failing
run_tool(train_forecaster.main, train_forecaster.Config)
"""


@pytest.fixture(scope="module")
def alone(csv, tmp_path_factory):
    """A forecaster of one process."""
    folder = tmp_path_factory.mktemp("forecaster") / "alone"
    options = ("--data", csv, "--output", folder, "--batch-size", 16)
    done = run("train_forecaster", *options, *FORECASTER)
    assert done.returncode == 0, done.stderr
    return folder


def same_training(folder, other, rtol=1e-4, atol=1e-6, change=lambda weights: weights):
    """The weights, moments and losses of two trainings are equal to rounding.

    change : of the weights before they are compared.
    """
    states = [torch.load(f / "checkpoint.pt", weights_only=True) for f in (folder, other)]
    for state in states:
        state["method"] = change(state["method"])
    for name in ("method", "optimizers", "step"):
        torch.testing.assert_close(*(state[name] for state in states), rtol=rtol, atol=atol)
    found, expected = (read_metrics(f / "metrics.jsonl").curves for f in (folder, other))
    assert found.keys() == expected.keys()
    for name, (steps, values) in found.items():
        assert steps == expected[name][0]
        np.testing.assert_allclose(values, expected[name][1], rtol=rtol, err_msg=name)


def without_constant(weights):
    """Leave out what the constant input channel adds at a voxel itself, the same everywhere.

    Batch normalisation takes it out again, so the gradient is 0 but for rounding (1e-8 beside 5e-3
    of others), of which Adam makes whole steps.
    """
    weights = {name: weight.clone() for name, weight in weights.items()}
    del weights[f"{STEM}norm.bn.running_mean"]
    weights[f"{STEM}conv.weight"][13, 3] = 0  # (27 offsets, 4 inputs, outputs)
    return weights


def same_forecaster(folder, other):
    same_training(folder / "seed-0", other / "seed-0")
    files = (load_file(f / FORECASTER_FILE) for f in (folder, other))
    torch.testing.assert_close(*files, rtol=1e-3, atol=1e-5)
    results = [json.loads((f / "result.json").read_text()) for f in (folder, other)]
    averages = [result["average"]["mse"] for result in results]
    assert averages[0] == pytest.approx(averages[1], rel=1e-4)


def test_a_forecaster_of_two_processes(csv, alone, tmp_path):
    options = ("--data", csv, "--output", tmp_path / "run", "--batch-size", 8)
    done = torchrun("train_forecaster", *options, *FORECASTER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("result.json") == 1  # the first process alone evaluates and prints
    names = [{path.relative_to(f) for path in contents(f)} for f in (tmp_path / "run", alone)]
    assert names[0] == names[1]
    same_forecaster(tmp_path / "run", alone)


def test_one_that_fails_ends_both_in_a_line_and_one_process_goes_on(csv, alone, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING)
    options = ("--data", csv, "--output", tmp_path / "run", *FORECASTER)
    done = torchrun(tmp_path / "failing.py", *options, "--batch-size", 8)
    assert done.returncode != 0
    assert "failing.py: the disk of the second process is gone\n" in done.stderr
    assert done.stderr.count("failing.py: ") == 1, done.stderr  # and the first one adds nothing
    assert "[rank0]: Traceback" not in done.stderr and "exitcode  : 2" in done.stderr, done.stderr
    assert torch.load(tmp_path / "run/seed-0/checkpoint.pt", weights_only=True)["step"] == 2

    refused = run("train_forecaster", *options, "--batch-size", 8, "--resume")
    assert refused.returncode == 2
    assert "training.batch_size x processes = 16, found 8" in refused.stderr
    done = run("train_forecaster", *options, "--batch-size", 16, "--resume")
    assert done.returncode == 0, done.stderr
    same_forecaster(tmp_path / "run", alone)


def test_what_both_refuse_is_said_once(tmp_path):
    done = torchrun("train_forecaster", "--data", tmp_path / "no.csv", "--output", tmp_path / "run")
    assert done.returncode != 0 and "exitcode  : 2" in done.stderr
    assert done.stderr.count("train_forecaster.py: ") == 1, done.stderr
    assert not contents(tmp_path)


def test_a_segmenter_of_two_processes(tmp_path):
    for seed, part in enumerate(("learn", "learn", "test")):
        cloud, path = made_scene(seed), tmp_path / "data" / part / f"scene{seed}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, coords=cloud.coords, colour=cloud.colour, label=cloud.label)
    (tmp_path / "data/classes.txt").write_text("\n".join(CLASSES))
    network = tiny(7)
    network.voxel = 0.05
    save_encoder(tmp_path / FILE, network)
    options = ("--data", tmp_path / "data", "--encoder", tmp_path / FILE, *POINTS)
    one, two = tmp_path / "one", tmp_path / "two"
    name = "finetune_segmentation"
    done = run(name, *options, "--output", one, "--batch-size", 4)
    assert done.returncode == 0, done.stderr
    done = torchrun(name, *options, "--output", two, "--batch-size", 2)
    assert done.returncode == 0, done.stderr
    names = [{path.relative_to(f) for path in contents(f)} for f in (two, one)]
    assert names[0] == names[1]
    assert done.stdout.count("result.json") == 1
    # Adam moves a weight by up to its rate of 3e-3, however small the gradient is: where that is
    # nearly zero, its rounding moves the weight by a share of the rate.
    same_training(two / "seed-0/auto", one / "seed-0/auto", atol=1e-4)
    scratch = two / "seed-0/scratch", one / "seed-0/scratch"
    same_training(*scratch, atol=1e-4, change=without_constant)
    files = (load_file(f / SEGMENTER) for f in (two, one))
    torch.testing.assert_close(*files, rtol=1e-4, atol=1e-4)
    results = [json.loads((f / "result.json").read_text()) for f in (two, one)]
    assert results[0]["tuned"] == results[1]["tuned"] != [0.0]
    assert results[0]["miou"] == pytest.approx(results[1]["miou"], abs=0.01)

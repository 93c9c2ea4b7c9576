"""The archive's benchmark on a folder of made sets: its table, its kept scores, its errors."""

import csv
import importlib
import json

import numpy as np
import pytest
import torch

from tests.tools.running import TOOLS, is_one_line
from tsrep.encoders import DilatedConv
from tsrep.encoders.files import save_encoder

NAMES = ("Made", "Other")


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder of two sets of slow and fast waves, with the numbers of a published classifier."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sets"
    folder.mkdir()
    for n, name in enumerate(NAMES):
        rng = np.random.default_rng(n)
        labels = np.arange(60) % 2
        phase = rng.uniform(0, 6, (60, 1))
        x = np.sin(np.arange(40) * (0.3 + 0.3 * labels[:, None]) + phase)
        x += (0.2 + n) * rng.normal(size=x.shape)
        np.savez(
            folder / f"{name}.npz",
            train=x[:30],
            train_labels=labels[:30],
            test=x[30:],
            test_labels=labels[30:],
        )
    with (folder / "published.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["set", "HC2", "Gone"], ["Made", 0.5, 0.25], ["Other", 1.0, 0.75]])
    torch.manual_seed(0)
    save_encoder(tmp_path / "encoder.safetensors", DilatedConv(1, 8, 4, 3).eval())
    return folder


def options(archive, *more):
    return ("archive", "--archive", archive, "--encoder", "encoder.safetensors", *more)


def numbers(stdout):
    """``{(case, system, metric): value}`` of printed rows."""
    found = {}
    for line in stdout.splitlines():
        case, system, metric = line[:32].strip(), line[32:60].strip(), line[60:92].strip()
        if metric:
            found[case, system, metric] = float(line[92:].split()[0])
    return found


@pytest.mark.filterwarnings("ignore")  # sktime's
def test_a_quick_run_and_a_second_one(archive, tool, tmp_path):
    status, stdout, stderr = tool("benchmark", *options(archive, "--quick"))
    assert status == 0, stderr
    found = numbers(stdout)
    systems = {key[1] for key in found}
    assert {"fusion", "encoder", "random_encoder", "random_convolutions", "raw_ridge"} <= systems
    for labels in ("all", "1 a class", "5 a class", "10 a class"):
        per_set = [found[f"{name}/{labels}", "fusion", "accuracy"] for name in NAMES]
        mean = found[f"mean of 2/{labels}", "fusion", "accuracy"]
        assert mean == pytest.approx(np.mean(per_set), abs=1e-3)
    assert found["mean of 2/all", "HC2-published", "accuracy"] == 0.75
    assert found["Made/all", "fusion", "accuracy"] > 0.9
    assert found["mean of 2/all", "fusion", "seconds a set"] > 0
    assert (tmp_path / "runs" / "benchmark-archive").is_dir()
    pictures = list((tmp_path / "runs" / "benchmark-archive").glob("*.png"))
    assert len(pictures) == 1

    kept = next((tmp_path / "runs" / "benchmark-archive").glob("fusion-*/Made/0.json"))
    scores = json.loads(kept.read_text())
    kept.write_text(json.dumps({**scores, "all": 0.125}))
    status, stdout, _ = tool("benchmark", *options(archive, "--quick"))
    assert status == 0
    assert numbers(stdout)["Made/all", "fusion", "accuracy"] == 0.125  # it was not computed again


def test_another_encoder_has_other_keys(archive, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    suite = importlib.import_module("suites.archive")
    torch.manual_seed(1)
    save_encoder(tmp_path / "other.safetensors", DilatedConv(1, 8, 4, 3).eval())
    keys = {}
    for encoder in ("encoder.safetensors", "other.safetensors"):
        for name, system in suite.systems(encoder).items():
            if name == "catch22":  # not installed with the tests
                continue
            keys.setdefault(name, set()).add(suite.key(name, system, encoder))
    assert {name for name, found in keys.items() if len(found) == 2} == {
        "fusion",
        "encoder",
        "random_encoder",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("archive", "--archive", "nowhere", "--quick"), ["nowhere holds no set"]),
        (("archive", "--quick"), ["$TSPCREP_DATA is not set"]),
    ],
)
def test_errors_are_one_line(arguments, words, tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TSPCREP_DATA", raising=False)
    status, _, stderr = tool("benchmark", *arguments)
    is_one_line(status, stderr, *words)


def test_an_unknown_set_or_encoder_is_one_line(archive, tool):
    status, _, stderr = tool("benchmark", *options(archive, "--cases", "Nothing"))
    is_one_line(status, stderr, "no set 'Nothing'")
    status, _, stderr = tool("benchmark", "archive", "--archive", archive, "--encoder", "no-such")
    is_one_line(status, stderr, "no-such")

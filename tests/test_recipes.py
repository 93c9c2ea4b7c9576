"""CONTRIBUTING's recipes, followed: a toy of each kind is added to a copy of the code and used.

The toys are the files of tests/recipes/. Each recipe copies one of them and edits one file.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tools.rooms import write_room
from tests.tools.running import TINY, frame

ROOT = Path(__file__).parents[1]
SET = """
    "Toy": NamedSet(
        file="toy.csv", target="load", rows=440, horizons=(4,), period=24, url="https://localhost/"
    ),
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the code to which every recipe was applied."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("common", "tspcrep", "tsrep", "pcrep", "tools"):
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True)

    def follow(recipe, place, edits, file):
        """Copy a toy to its place and put lines into one file, each behind another line."""
        if recipe:
            shutil.copy(ROOT / "tests" / "recipes" / f"{recipe}.py", copy / place)
        text = (copy / file).read_text()
        for line, added in edits.items():
            assert text.count(line) == 1, f"{file}: {line!r} is where the recipe adds to it"
            text = text.replace(line, line + added)
        (copy / file).write_text(text)

    follow(
        "backbone",
        "tsrep/encoders/moving_mean.py",
        {
            "from tsrep.encoders.lstm import LSTM\n": (
                "from tsrep.encoders.moving_mean import MovingMean\n"
            ),
            '    "lstm": LSTM,\n': '    "mean": MovingMean,\n',
        },
        "tsrep/encoders/config.py",
    )
    follow(None, None, {"NAMED = {": SET}, "tsrep/datasets/named.py")
    follow(
        "format",
        "pcrep/datasets/formats/vertices.py",
        {"mesh, npy, npz, pcd, ": "vertices, ", "for module in (": "vertices, "},
        "pcrep/datasets/formats/__init__.py",
    )
    follow(
        "loss",
        "common/losses/distance.py",
        {
            "from tspcrep.common.losses.cacr import CACR, cacr\n": (
                "from tspcrep.common.losses.distance import cosine_distance\n"
            ),
            "__all__ = [\n": '    "cosine_distance",\n',
        },
        "common/losses/__init__.py",
    )
    follow(
        "objective",
        "pcrep/contrast/matched.py",
        {
            "from pcrep.contrast.fac import FAC, FACConfig\n": (
                "from pcrep.contrast.matched import MatchedDistance\n"
            ),
            "for objective in (": "MatchedDistance, ",
        },
        "pcrep/contrast/__init__.py",
    )
    follow(
        "task",
        "tsrep/evaluation/retrieval.py",
        {
            "from tsrep.evaluation.forecasts import FORECASTING\n": (
                "from tsrep.evaluation.retrieval import RETRIEVAL\n"
            ),
            "for task in (": "RETRIEVAL, ",
        },
        "tsrep/evaluation/__init__.py",
    )
    return copy


@pytest.fixture
def run(checkout, tmp_path):
    def call(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=checkout,
            env={
                **os.environ,
                "PYTHONPATH": str(checkout),
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "TSPCREP_DATA": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_a_backbone_a_series_and_a_task(run, tmp_path):
    frame().to_csv(tmp_path / "toy.csv", index=False)
    write_panel(tmp_path / "panel")
    pretrain = ("tools/pretrain_autotcl.py", "--kind", "mean", "--max-steps", 2, *TINY)
    run(*pretrain, "--data", "Toy", "--output", tmp_path / "series")
    assert json.loads((tmp_path / "series" / "result.json").read_text())["data"] == "Toy"
    evaluate = ("tools/evaluate.py", "--encoder", tmp_path / "series", "--task", "retrieval")
    table = run(*evaluate, "--data", tmp_path / "panel").splitlines()
    assert table[0].split() == ["accuracy", "nearest"] and table[1].split()[0] == "trained"


def write_panel(folder):
    """Noise around 0 of class a, around 5 of class b, in the archive's text form."""
    folder.mkdir()
    head = "@problemName Panel\n@timeStamps false\n@univariate true\n@equalLength true\n"
    head += "@seriesLength 12\n@classLabel true a b\n@data\n"
    for seed, part in enumerate(("TRAIN", "TEST")):
        values = np.random.default_rng(seed).normal(size=(10, 12)) + np.repeat([0, 5], 5)[:, None]
        rows = [",".join(f"{x:.4f}" for x in v) + f":{'ab'[i // 5]}" for i, v in enumerate(values)]
        (folder / f"Panel_{part}.ts").write_text(head + "\n".join(rows) + "\n")


def test_a_format_and_an_objective_of_points(run, tmp_path):
    for index in range(2):
        write_room(tmp_path / "room.npz", index)
        coords = np.load(tmp_path / "room.npz")["coords"]
        path = tmp_path / "scans" / f"{index}.vert"
        path.parent.mkdir(exist_ok=True)
        np.savetxt(path, coords, header=f"VERT\n{len(coords)} 0 0", comments="")
    options = ("--voxel", 0.08, "--batch-size", 2, "--device", "cpu", "--seeds", 0)
    data = ("--data", tmp_path / "scans", "--output", tmp_path / "run", "--max-steps", 1)
    run("tools/pretrain_fac.py", "--method", "matched", *data, *options)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["method"] == "matched"
    assert "Matched distance" in (tmp_path / "run" / "report.html").read_text()


def test_a_loss(run):
    code = "import torch; from tspcrep.common.losses import cosine_distance; x = torch.eye(3)"
    assert run("-c", f"{code}; print(float(cosine_distance(x, -x)))").strip() == "2.0"

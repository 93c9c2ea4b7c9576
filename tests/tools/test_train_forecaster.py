"""tools/train_forecaster.py as a user runs it: the run folder, its numbers, and what cannot be."""

import json
import re
import shutil
import sys

import numpy as np
import pytest
import torch

from tests.tools.running import TOOLS, contents, run
from tspcrep.common.config import load
from tspcrep.common.runs import write_json
from tsrep import datasets
from tsrep.evaluation import forecasts
from tsrep.evaluation.forecasts import FORECASTING
from tsrep.forecasting.files import FORECASTER_FILE, load_forecaster
from tsrep.forecasting.task import inputs_of

TINY = (
    *("--look-back", "24", "--patch", "8", "--dim", "8", "--heads", "2", "--batch-size", "16"),
    *("--horizons", "4", "12", "--max-steps", "4", "--width", "6", "--windows", "8"),
    *("--queue", "16", "--device", "cpu", "--snapshots", "2"),
)
CONFIGS = sorted((TOOLS / "configs" / "forecasting").glob("*.toml"))


@pytest.fixture(scope="module")
def trained(csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecaster") / "run"
    done = run("train_forecaster", "--data", csv, "--output", folder, "--seeds", 0, 1, *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_run_folder(trained):
    folder, stdout = trained
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    of_seed = {"metrics.jsonl", "checkpoint.pt", FORECASTER_FILE, "result.json"}
    expected = {"config.toml", "env.json", "result.json", "report.html", FORECASTER_FILE}
    assert names == expected | {f"seed-{seed}/{name}" for seed in (0, 1) for name in of_seed}
    page = (folder / "report.html").read_text()
    assert (
        "<h2>Forecasts</h2>" in page
        and "<h2>Losses</h2>" in page
        and "learn/contrast" in (folder / "seed-0" / "metrics.jsonl").read_text()
    )
    assert str(folder / "result.json") in stdout


def test_the_result_holds_every_control_and_what_the_forecaster_scores(trained, csv):
    folder, stdout = trained
    result = json.loads((folder / "result.json").read_text())
    fixed = {"persistence", "seasonal_naive", "lag_ridge", "nridge", "lag_ridge_calendar"}
    assert result["controls"].keys() == fixed | {"linear_path", "random_encoder"}
    assert result["task"] == "forecasting" and result["seeds"] == [0, 1]
    for scores in (result, *result["controls"].values()):
        errors = [scores["horizons"][h]["mse"] for h in ("4", "12")]
        assert scores["average"]["mse"] == pytest.approx(np.mean(errors))
    assert all(0.6 < share <= 1 for share in result["coverage"].values())
    assert result["crps"].keys() == result["width"].keys() == result["coverage"].keys()
    assert FORECASTING.table(result) in stdout and "forecaster" in stdout
    seeds = [json.loads((folder / f"seed-{s}" / "result.json").read_text()) for s in (0, 1)]
    best = int(np.argmin([seed["validation"] for seed in seeds]))
    data = inputs_of(datasets.load(csv))
    again = forecasts.score(load_forecaster(folder).forecasts(data), data.series)
    expected = seeds[best]["forecast"]["average"]["mse"]
    assert again["average"]["mse"] == pytest.approx(expected, rel=1e-5)


def test_a_resumed_run_ends_with_the_same_result(tool, trained, csv, tmp_path):
    """The second seed is done again; the first is kept."""
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    (folder / "seed-1" / "result.json").unlink()
    (folder / "seed-1" / "checkpoint.pt").unlink()
    options = ["--data", csv, "--output", folder, "--seeds", 0, 1, *TINY]
    status, _, stderr = tool("train_forecaster", *options)
    assert status == 2 and "--resume" in stderr
    status, _, stderr = tool("train_forecaster", *options, "--resume")
    assert status == 0, stderr
    first, second = (load_forecaster(run).state_dict() for run in (trained[0], folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_its_report_is_drawn_again(tool, trained, tmp_path):
    """The folder says that this tool made it."""
    shutil.copytree(trained[0], tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    status, stdout, stderr = tool("report", "--run", tmp_path / "run")
    assert status == 0, stderr
    assert stdout.strip() == str(tmp_path / "run" / "report.html")
    pages = [(run / "report.html").read_text() for run in (trained[0], tmp_path / "run")]
    first, second = (re.sub(r"base64,[^\"]*", "", page) for page in pages)
    assert first == second


def test_a_report_of_another_tools_run(tool, trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    write_json(tmp_path / "run" / "env.json", {"tool": "embed"})
    status, _, stderr = tool("report", "--run", tmp_path / "run")
    assert status == 2 and stderr.count("\n") == 1
    assert "a run of embed, expected one of pretrain_autotcl, train_forecaster" in stderr


def config_class():
    sys.path.insert(0, str(TOOLS))
    import train_forecaster

    return train_forecaster.Config


def test_each_row_of_the_papers_tables_has_a_config():
    """MSE alone and four contrasts end to end; three strategies of two steps with MoCo2."""
    found = [load(config_class(), path) for path in CONFIGS]
    assert all(not config.linear for config in found)
    rows = {(c.learning.strategy, c.contrast.objective) for c in found}
    end_to_end = {("e2e", o) for o in ("none", "hcl", "moco", "moco2", "moco2+hcl")}
    assert rows == end_to_end | {(s, "moco2") for s in ("finetune", "frozen-mlp", "frozen-ridge")}
    assert len(found) == 8


@pytest.mark.parametrize("name", ["frozen-ridge", "finetune"])
def test_a_config_trains_the_network_alone(tool, csv, name, tmp_path):
    path = TOOLS / "configs" / "forecasting" / f"{name}.toml"
    options = ["--config", path, "--data", csv, "--output", tmp_path / "run", "--seeds", 0, *TINY]
    status, _, stderr = tool("train_forecaster", *options, "--target", "load")
    assert status == 0, stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "linear_path" not in result["controls"] and result["mode"] == "univariate"
    assert load_forecaster(tmp_path / "run").alone
    assert (tmp_path / "run" / "seed-0" / "contrast" / "metrics.jsonl").exists()


def test_columns_beside_the_forecast(tool, csv, tmp_path):
    options = ["--data", csv, "--output", tmp_path, "--seeds", 0, *TINY]
    status, _, stderr = tool("train_forecaster", *options, "--known-columns", "wind")
    assert status == 0, stderr
    model = load_forecaster(tmp_path)
    assert model.names.columns == ("load",) and model.names.known == ("wind",)
    assert model.network.known == 1


def test_the_configuration_of_a_run_is_read_back(trained):
    config = load(config_class(), trained[0] / "config.toml")
    assert config.model.look_back == 24 and config.linear and config.learning.snapshots == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--horizons", "300"], "tiny has 264 of its 440 rows, .* horizon 300"),
        (["--horizons", "0"], "horizons: found 0"),
        (["--look-back", "300"], "look-back 300"),
        (["--known-columns", "price"], "price"),
        (["--past-columns", "load", "wind"], "at least one other to forecast"),
        (["--objective", "simclr"], "objective"),
        (["--heads", "3"], "heads"),
        (["--patch", "50"], "patch: found 50"),
        (["--queue", "4"], "queue: found 4"),
        (["--strategy", "finetune", "--objective", "none"], "nothing to pretrain with"),
        (["--seeds"], "seeds"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_bad_options_are_one_line_and_write_nothing(tool, csv, tmp_path, options, message):
    rest = [*TINY, "--data", csv, "--output", tmp_path / "run", "--seeds", 0]
    status, _, stderr = tool("train_forecaster", *rest, *options)
    assert status == 2 and stderr.count("\n") == 1, stderr
    assert re.search(message, stderr), stderr
    assert not contents(tmp_path / "run")

"""Each tool is run as a user would: what it writes, and that it equals the same done by hand."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tools.running import frame, run
from tspcrep.common.runs import write_json
from tspcrep.common.weights import FILE
from tsrep import load_encoder
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.contrast.view_network import ViewNetwork
from tsrep.evaluation import TASKS
from tsrep.reports.autotcl import learned_view

FIXED = {"persistence", "seasonal_naive", "lag_ridge", "nridge", "lag_ridge_calendar"}


def test_pretrain_writes_the_run_folder(finished):
    folder, stdout = finished
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    of_seed = {"metrics.jsonl", "checkpoint.pt", FILE, "result.json"}
    of_run = {"config.toml", "env.json", "result.json", "report.html", FILE}
    assert names == of_run | {f"seed-0/{name}" for name in of_seed}
    assert str(folder / "report.html") in stdout and str(folder / "result.json") in stdout


def test_schema_of_result(finished):
    folder, stdout = finished
    result = json.loads((folder / "result.json").read_text())
    assert result["task"] == "forecasting" and result["data"] == "tiny"
    assert result["mode"] == "multivariate" and result["seeds"] == [0]
    assert result["controls"].keys() == {*FIXED, "no_representation", "random_encoder"}
    random = result["controls"]["random_encoder"]
    for scores in (result, result["probe"], random, random["probe"], *result["controls"].values()):
        assert scores["horizons"].keys() == {"4"}
        assert all(0 < scores["horizons"]["4"][metric] < 10 for metric in ("mse", "mae"))
        assert scores["average"]["mse"] == scores["horizons"]["4"]["mse"]
    assert result["average"]["mse_std"] == 0
    assert result["timing"].keys() == {"encode_s", "probe_s", "train_s"}
    assert TASKS[result["task"]].table(result) in stdout


def test_the_run_folder_holds_the_encoder_of_the_seed_of_least_validation_error(
    tool, csv, finished, tmp_path
):
    """Two finished seeds, the first worse on validation and better on test."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(re.sub(r"seeds = \[\s*0,\s*\]", "seeds = [0, 1]", text))
    shutil.copytree(folder / "seed-0", folder / "seed-1")
    result = json.loads((folder / "seed-0" / "result.json").read_text())
    write_json(folder / "seed-0" / "result.json", {**result, "validation": 9.0})
    result["product"]["horizons"]["4"]["mse"] = result["product"]["average"]["mse"] = 99.0
    write_json(folder / "seed-1" / "result.json", result)
    other = (folder / "seed-1" / FILE).read_bytes()
    (folder / "seed-0" / FILE).write_bytes(b"not chosen")
    status, _, stderr = tool(
        "pretrain_autotcl", "--config", folder / "config.toml", "--output", folder, "--resume"
    )
    assert status == 0, stderr
    assert (folder / FILE).read_bytes() == other


class Links(HTMLParser):
    """Everything that a page would load."""

    def __init__(self):
        super().__init__()
        self.tags, self.sources = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.sources += [v for k, v in attrs if k in ("src", "srcset", "href")]


def test_report_needs_no_network_and_no_script(finished):
    page = (finished[0] / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert "script" not in links.tags and "link" not in links.tags
    assert len(links.sources) == 10  # five figures, light and dark
    assert all(source.startswith("data:image/png;base64,") for source in links.sources)
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    for name in ("product", "probe", "random encoder, product", *FIXED, "no_representation"):
        assert f'<th scope="row">{name}<small>' in page
    result = json.loads((finished[0] / "result.json").read_text())
    for column in TASKS[result["task"]].columns(result, None).values():
        assert f"<td>{min(column.values()):.4f}</td>" in page


def test_report_is_written_again(tool, finished):
    before = (finished[0] / "report.html").read_text()
    (finished[0] / "report.html").unlink()
    status, stdout, stderr = tool("report", "--run", finished[0])
    assert status == 0, stderr
    assert stdout.strip() == str(finished[0] / "report.html")
    again = (finished[0] / "report.html").read_text()
    tables = [re.sub(r"base64,[^\"]*", "", page) for page in (before, again)]
    assert tables[0] == tables[1]


def test_the_view_of_the_report_is_that_of_the_trained_network(finished):
    checkpoint = finished[0] / "seed-0" / "checkpoint.pt"
    x = torch.randn(1, 32, 1)
    view = learned_view(checkpoint, x, AutoTCLConfig())
    state = torch.load(checkpoint, weights_only=True)["method"]
    network = ViewNetwork(1)
    network.load_state_dict(
        {n.partition(".")[2]: t for n, t in state.items() if n.startswith("augmentation.")}
    )
    uniform = torch.rand(1, 32, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(view.gain, network(x, uniform).gain.detach())
    torch.testing.assert_close(view.values, view.gain * view.keep * x)
    assert learned_view(checkpoint, x, AutoTCLConfig(augmentation="none")) is None


def by_hand(folder, data, columns):
    """Vectors (T, D) of each column by the encoder as a plain module."""
    encoder = load_encoder(folder)
    for i, name in enumerate(encoder.columns):
        if name in columns:
            z = (data[name].to_numpy() - encoder.scaler.mean[i]) / encoder.scaler.std[i]
            x = torch.tensor(z, dtype=torch.float32)[None, :, None]
            yield encoder(x)[0].detach().numpy()


@pytest.mark.parametrize("window", [None, 20])
def test_embed_equals_encoding_by_hand(tool, finished, tmp_path, window):
    data = frame(rows=90, seed=7)  # new rows: scaled as the training series, not by themselves
    data[["date", "wind", "load"]].to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / "vectors.parquet"
    options = ["--encoder", finished[0], "--data", tmp_path / "new.csv", "--output", output]
    status, _, stderr = tool("embed", *options, *(["--window", window] if window else []))
    assert status == 0, stderr
    vectors = pd.read_parquet(output)
    encoder = load_encoder(finished[0])
    assert encoder.columns == ("load", "wind")
    numbers = [f"{name}_v{i}" for name in ("load", "wind") for i in range(encoder.dim)]
    assert list(vectors.columns) == ["time", *numbers]
    assert (vectors["time"].to_numpy() == data["date"].to_numpy()).all()
    expected = np.concatenate(list(by_hand(finished[0], data, ("load", "wind"))), axis=1)
    rows = slice(None)
    if window:  # a row sees its window alone
        tail = data.iloc[-window:]
        expected = np.concatenate(list(by_hand(finished[0], tail, ("load", "wind"))), axis=1)[-1:]
        rows = slice(-1, None)
    np.testing.assert_allclose(vectors[numbers].to_numpy()[rows], expected, atol=1e-5)


def test_embed_as_a_user_pools_one_column(finished, tmp_path):
    data = frame(rows=90, seed=7)
    data.to_parquet(tmp_path / "new.parquet")
    output = tmp_path / "sub" / "one.parquet"
    options = ["--encoder", finished[0] / FILE, "--data", tmp_path / "new.parquet"]
    done = run("embed", *options, "--columns", "wind", "--pool", "--output", output)
    assert done.returncode == 0, done.stderr
    pooled = pd.read_parquet(output)
    (expected,) = by_hand(finished[0], data, ("wind",))
    assert list(pooled.columns) == ["time", *(f"v{i}" for i in range(expected.shape[1]))]
    assert pooled["time"].tolist() == [data["date"].iloc[-1]]
    np.testing.assert_allclose(pooled.iloc[0, 1:].astype(float), expected.max(0), atol=1e-5)


def test_evaluate_as_a_user_repeats_the_run_s_numbers(csv, finished, tmp_path):
    options = ["--encoder", finished[0], "--data", csv, "--horizons", 4, "--mode", "probe"]
    done = run("evaluate", *options, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    expected = json.loads((finished[0] / "result.json").read_text())
    for pick in (lambda r: r, lambda r: r["probe"], lambda r: r["controls"]["nridge"]):
        for metric in ("mse", "mae"):
            np.testing.assert_allclose(
                pick(found)["average"][metric], pick(expected)["average"][metric], rtol=1e-4
            )
    assert "random encoder, probe" in done.stdout and "product" not in done.stdout


def test_classification_pretrained_and_evaluated(tool, tmp_path):
    pytest.importorskip("sktime", reason="reads the classification sets")
    folder = tmp_path / "run"
    options = ["--dim", 8, "--hidden", 4, "--depth", 2, "--channels", "joint", "--max-steps", 2]
    status, stdout, stderr = tool(
        "pretrain_autotcl", "--data", "ItalyPowerDemand", "--output", folder, "--seeds", 0, *options
    )
    assert status == 0, stderr
    result = json.loads((folder / "result.json").read_text())
    assert result["task"] == "classification" and result["data"] == "ItalyPowerDemand"
    assert result["controls"].keys() == {"random_encoder", "raw"}
    for scores in (result["accuracy"], *result["controls"].values()):
        assert scores.keys() == {"svm", "linear", "svm_std", "linear_std"}
        assert all(0.5 < scores[probe] <= 1 for probe in ("svm", "linear"))
    assert TASKS[result["task"]].table(result) in stdout
    assert (folder / "report.html").read_text().count("<figure>") == 5
    again = tmp_path / "again"
    status, _, stderr = tool(
        "evaluate", "--encoder", folder, "--data", "ItalyPowerDemand", "--output", again
    )
    assert status == 0, stderr
    assert json.loads((again / "result.json").read_text())["accuracy"] == result["accuracy"]


def test_demo(tmp_path, monkeypatch):
    pytest.importorskip("sktime", reason="holds the demo's series")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # empty, as for a new user
    done = run("demo", "--output", tmp_path / "demo", "--max-steps", 1)
    assert done.returncode == 0, done.stderr
    means = re.search(r"^mean +(\S+) +(\S+)", done.stdout, re.MULTILINE)
    assert float(means[1]) > float(means[2])  # series-small, and the same untrained
    for row in ("random encoder, probe", "nridge", "random_encoder_probe", "finetune", "scratch"):
        assert row in done.stdout
    lines = done.stdout.strip().splitlines()
    for part in ("series", "segmentation"):
        for name in ("result.json", "report.html"):
            path = tmp_path / "demo" / part / name
            assert path.exists() and str(path) in lines
    result = json.loads((tmp_path / "demo" / "segmentation" / "result.json").read_text())
    assert result["labelled_scenes"] == 2 and set(result["labelled"][0]) < {
        f"procedural-0-{i}" for i in range(8)
    }
    gain = 100 * (result["miou"] - result["controls"]["scratch"]["miou"])
    assert lines[-1] == f"pretraining: {gain:+.1f} points of mIoU against training from scratch"

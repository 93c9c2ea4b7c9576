"""Files and run folders that version 0.1 wrote are opened, and give what they gave then."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tspcrep.common.runs import tool_of
from tsrep import encode, load, load_encoder, load_forecaster
from tsrep.evaluation import TASKS

OLD = Path(__file__).parents[1] / "data" / "version-0.1"


@pytest.fixture(scope="module")
def expected():
    return np.load(OLD / "expected.npz")


def test_a_forecaster_predicts_what_it_did(expected):
    series = load(str(OLD / "tiny.csv"))
    history = series.scaler.inverse(series.values[0])
    model = load_forecaster(OLD / "forecaster")
    ahead = model.predict(history, series.times)
    np.testing.assert_allclose(ahead, expected["ahead"], rtol=1e-5)
    quantiles = model.predict_quantiles(history, (0.1, 0.9), series.times)
    np.testing.assert_allclose(quantiles, expected["q"], rtol=1e-5)


def test_an_encoder_gives_the_vectors_that_it_did(expected):
    series = load(str(OLD / "tiny.csv"))
    vectors = encode(load_encoder(OLD / "autotcl"), series.values[0].T[..., None])[:, -1]
    np.testing.assert_allclose(vectors, expected["vectors"], atol=1e-5)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of all runs to work in; their data, tiny.csv, stands beside them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("name", ["forecaster", "autotcl"])
def test_the_report_of_a_run_is_drawn_again(tool, copied, name):
    """Such a folder does not say which tool made it."""
    assert tool_of(copied / name) is None
    status, stdout, stderr = tool("report", "--run", name)
    assert status == 0, stderr
    assert stdout.strip() == f"{name}/report.html"
    page = (copied / name / "report.html").read_text()
    result = json.loads((copied / name / "result.json").read_text())
    for column, values in TASKS[result["task"]].columns(result, None).items():
        digits = 3 if column.isdecimal() and len(result["horizons"]) > 1 else 4
        assert f"<td>{min(values.values()):.{digits}f}</td>" in page
    assert ("<h2>Receptive field</h2>" in page) == (name == "forecaster")


@pytest.mark.parametrize(("name", "of"), [("train_forecaster", "forecaster")])
def test_a_finished_run_is_resumed(tool, copied, name, of):
    before = json.loads((copied / of / "result.json").read_text())
    status, _, stderr = tool(name, "--config", f"{of}/config.toml", "--resume")
    assert status == 0, stderr
    assert tool_of(copied / of) == name
    after = json.loads((copied / of / "result.json").read_text())
    assert after["average"] == before["average"]

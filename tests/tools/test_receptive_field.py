"""evaluate.py --receptive-field on a run of train_forecaster.py."""

import re

import numpy as np
import pytest

from tests.tools.running import run
from tsrep.datasets import load
from tsrep.forecasting.files import load_forecaster
from tsrep.forecasting.receptive_field import measured, periodicity

TINY = (
    *("--horizons", "4", "8", "--seeds", "0", "--device", "cpu", "--max-steps", "2"),
    *("--look-back", "32", "--dim", "8", "--heads", "2", "--patch", "8"),
    *("--objective", "none", "--batch-size", "8"),
)


@pytest.fixture(scope="module")
def trained(csv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecaster") / "run"
    done = run("train_forecaster", "--data", csv, "--output", folder, *TINY)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_field_of_a_run(tool, csv, trained, tmp_path):
    options = ["--encoder", trained, "--data", csv, "--receptive-field"]
    status, stdout, stderr = tool("evaluate", *options, "--output", tmp_path / "field")
    assert status == 0, stderr
    field = np.load(tmp_path / "field" / "receptive.npz")["field"]
    model, series = load_forecaster(trained), load(csv)
    np.testing.assert_allclose(field, measured(model, series, 8), rtol=1e-5, atol=1e-7)
    assert field.shape == (8, model.look_back)
    score = float(re.search(r"periodicity (-?\d+\.\d+)", stdout)[1])
    assert score == pytest.approx(periodicity(field, (24,)), abs=1e-4)
    picture = (tmp_path / "field" / "receptive.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert str(tmp_path / "field" / "receptive.png") in stdout
    status, stdout, _ = tool("evaluate", *options, "--horizons", 4)
    assert status == 0 and "receptive.png" not in stdout, "nothing is written unless asked"


def test_the_report_of_a_run_shows_it(trained):
    page = (trained / "report.html").read_text()
    assert "<h2>Receptive field</h2>" in page and "whole seasons of 24 steps" in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--horizons", "5"], "horizon: found 5"),
        (["--columns", "wind"], "the forecaster was fitted to load, wind"),
        (["--output", "{csv}/x"], "cannot be written"),
    ],
)
def test_what_does_not_fit(tool, csv, trained, options, words):
    options = [option.format(csv=csv) for option in options]
    status, _, stderr = tool(
        "evaluate", "--encoder", trained, "--data", csv, "--receptive-field", *options
    )
    assert status == 2 and words in stderr and "Traceback" not in stderr


def test_an_encoder_is_no_forecaster(tool, csv, finished):
    options = ["--data", csv, "--receptive-field"]
    status, _, stderr = tool("evaluate", "--encoder", finished[0], *options)
    assert status == 2 and "forecaster.safetensors" in stderr

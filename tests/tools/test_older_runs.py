"""Files and run folders that version 0.1 wrote are opened, and give what they gave then."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tsrep import encode, load, load_encoder, load_forecaster

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
    """A folder to work in, as ``name`` says what is copied into it."""
    monkeypatch.chdir(tmp_path)  # the data of these runs is tiny.csv, beside them
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    return tmp_path

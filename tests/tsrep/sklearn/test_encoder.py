"""ContrastiveEncoder: scikit-learn's own checks, and what they do not ask."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from tspcrep.common.errors import DataWarning
from tsrep.encoders.config import BACKBONES
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import load_encoder, save_encoder
from tsrep.sklearn.encoder import ContrastiveEncoder, build_encoder

TINY = {"dim": 4, "depth": 1, "max_steps": 2, "window": 16, "batch_size": 8}
LENGTHS = "series of another length may be transformed than were fitted"
EXPECTED_TO_FAIL = {
    "check_n_features_in": LENGTHS,
    "check_n_features_in_after_fitting": LENGTHS,
    "check_transformer_general": LENGTHS,
    "check_methods_sample_order_invariance": "float32 sums differ in the last digit by batch",
}


def panel(n=12, steps=30, channels=2, seed=0):
    """Two classes of sines, some values missing, one series short."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.arange(steps)[None, :, None]
    values = np.sin(t * (0.3 + 0.6 * y[:, None, None])) + 0.1 * rng.normal(
        size=(n, steps, channels)
    )
    values[0, 5] = np.nan
    values[1, steps // 2 :] = np.nan
    return values, y


def test_scikit_learns_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # array API without its switch
        found = check_estimator(
            ContrastiveEncoder(**TINY),
            expected_failed_checks=EXPECTED_TO_FAIL,
            on_skip=None,
            on_fail=None,
        )
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in found) > 30


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_vectors_are_those_of_the_encoder(backbone, channels):
    x, _ = panel()
    model = ContrastiveEncoder(backbone=backbone, channels=channels, **TINY).fit(x)
    vectors = model.transform(x)
    scaled = (x - np.nanmean(x, axis=(0, 1))) / np.nanstd(x, axis=(0, 1))
    parts = [scaled] if channels == "joint" else [scaled[..., :1], scaled[..., 1:]]
    expected = np.concatenate([encode(model.encoder_, p, pool=True) for p in parts], axis=1)
    patches = backbone == "patch_transformer"  # of two layers mean and maximum, and the scale
    width = TINY["dim"] * (1 + 3 * patches) * len(parts) + 3 * patches * x.shape[2]
    assert vectors.shape == (12, width)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("backbone", ["dilated", "transformer", "tcn", "lstm"])
def test_steps_know_nothing_of_later_ones(backbone):
    x, _ = panel()
    model = ContrastiveEncoder("steps", backbone=backbone, **TINY).fit(x)
    other = x.copy()
    other[:, 20:] = 7
    before, after = model.transform(x), model.transform(other)
    assert before.shape[:2] == x.shape[:2]
    np.testing.assert_allclose(before[:, :20], after[:, :20], atol=1e-5)
    assert np.abs(before[:, 20:] - after[:, 20:]).max() > 0.1


def test_a_fit_is_seeded_and_leaves_torch_as_it_was():
    x, _ = panel()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second, other = (
        ContrastiveEncoder(random_state=seed, **TINY).fit(x).transform(x) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3
    assert torch.equal(torch.rand(2), expected)


def test_training_changes_the_encoder_and_zero_steps_do_not():
    x, _ = panel()
    as_drawn = build_encoder("dilated", 1, 4, 1, 16, causal=False, level_window=0, seed=0)
    untrained = ContrastiveEncoder(**{**TINY, "max_steps": 0}).fit(x).encoder_
    trained = ContrastiveEncoder(**TINY).fit(x).encoder_
    for a, b, c in zip(*(m.parameters() for m in (as_drawn, untrained, trained)), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_fit_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ContrastiveEncoder(**TINY).fit(panel()[0])
    assert list(tmp_path.iterdir()) == []


def test_clone_pickle_and_safetensors(tmp_path):
    x, _ = panel()
    model = ContrastiveEncoder(**TINY).fit(x)
    vectors = model.transform(x)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).transform(x), vectors)
    copied = clone(model)
    with pytest.raises(NotFittedError):
        copied.transform(x)
    np.testing.assert_array_equal(copied.fit(x).transform(x), vectors)
    save_encoder(tmp_path / "encoder.safetensors", model.encoder_, model.scaler_)
    model.encoder_ = load_encoder(tmp_path / "encoder.safetensors")
    np.testing.assert_array_equal(model.transform(x), vectors)


def test_in_a_pipeline_and_a_grid_search():
    x, y = panel(24)
    pipeline = make_pipeline(ContrastiveEncoder(**TINY), LogisticRegression())
    grid = {"contrastiveencoder__dim": [2, 4]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_params_["contrastiveencoder__dim"] in (2, 4)
    assert search.score(x, y) > 0.9  # classes of different frequency


def test_other_lengths_are_transformed():
    x, _ = panel()
    model = ContrastiveEncoder(**TINY).fit(x)
    assert model.transform(x[:, :17]).shape == (12, 8)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, lambda x: np.where(np.isnan(x), np.inf, x), "infinity"),
        ({}, lambda x: x[:, :1], "at least 2 steps"),
        ({}, lambda x: x[..., None], "expected <= 3|expected .N, T, C"),
        ({}, lambda x: np.full_like(x, np.nan), "channel 0 of X has no number"),
        ({"output": "rows"}, lambda x: x, "output: found 'rows', expected one of vector, steps"),
        ({"backbone": "rnn"}, lambda x: x, "backbone: found 'rnn', expected one of dilated"),
        (
            {"backbone": "patch_transformer", "output": "steps"},
            lambda x: x,
            "'patch_transformer' looks ahead, expected one that looks back only",
        ),
        ({"channels": "all"}, lambda x: x, "channels: found 'all'"),
        ({"max_steps": -1}, lambda x: x, "max_steps: found -1, expected at least 0"),
    ],
    ids=["infinite", "one-step", "4D", "empty", "output", "backbone", "ahead", "channels", "steps"],
)
def test_bad_input(options, change, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveEncoder(**{**TINY, **options}).fit(change(panel()[0]))


def test_other_channels_than_fitted():
    x, _ = panel()
    model = ContrastiveEncoder(**TINY).fit(x)
    with pytest.raises(
        ValueError, match="X has 1 channels, but ContrastiveEncoder was fitted on 2"
    ):
        model.transform(x[..., :1])


def test_vectors_have_names_for_set_output():
    values, _ = panel()
    model = ContrastiveEncoder(**{**TINY, "max_steps": 0}).fit(values)
    vectors = model.transform(values)
    frame = model.set_output(transform="pandas").transform(values)
    assert list(frame.columns) == [f"contrastiveencoder{i}" for i in range(vectors.shape[1])]
    np.testing.assert_array_equal(frame.to_numpy(), vectors)


def test_axes_in_an_unlikely_order_are_told():
    values, _ = panel(steps=160)
    model = ContrastiveEncoder(**{**TINY, "max_steps": 0})
    with pytest.warns(DataWarning, match=r"found 2 steps of 160 channels.*swap the last two"):
        model.fit(np.nan_to_num(values).transpose(0, 2, 1))

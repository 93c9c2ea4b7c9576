"""Classifier and regressor: scikit-learn's checks, and their features and ridge done by hand."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import SkipTestWarning
from sklearn.metrics import adjusted_rand_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from tsrep.encoders import DilatedConv
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import save_encoder
from tsrep.features import RandomConvolutions
from tsrep.features.ridge import BlockRidge
from tsrep.sklearn import (
    ContrastiveClassifier,
    ContrastiveClusterer,
    ContrastiveEncoder,
    ContrastiveRegressor,
    PretrainedEncoder,
)

TINY = ContrastiveEncoder(dim=4, depth=1, max_steps=1, window=16, batch_size=8)
LENGTHS = "series of another length may be predicted than were fitted"
BOTH = [ContrastiveClassifier, ContrastiveRegressor]


def encoder_of(channels=1, seed=0):
    torch.manual_seed(seed)
    return DilatedConv(channels, 5, 4, 2).eval()


def panel(n=24, steps=30, channels=2, seed=0):
    """Series of two frequencies with noise, some values missing, one short; the frequencies."""
    rng = np.random.default_rng(seed)
    y = 0.3 + 0.6 * (np.arange(n) % 2)
    t = np.arange(steps)[None, :, None]
    phase = rng.uniform(0, 6, (n, 1, channels))
    x = np.sin(t * y[:, None, None] + phase) + 0.1 * rng.normal(size=(n, steps, channels))
    x[0, 5] = np.nan
    x[1, steps // 2 :] = np.nan
    return x, y


def classes(y):
    return np.where(y < 0.5, "slow", "fast")


@pytest.mark.parametrize("model", BOTH)
def test_scikit_learns_checks(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # array API without its switch
        found = check_estimator(
            model(encoder=TINY),
            expected_failed_checks={
                "check_n_features_in": LENGTHS,
                "check_n_features_in_after_fitting": LENGTHS,
                "check_classifiers_train": LENGTHS,
                "check_regressors_train": LENGTHS,
                "check_methods_sample_order_invariance": "float32 sums differ by batch",
            },
            on_skip=None,
            on_fail=None,
        )
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in found) > 40


@pytest.mark.parametrize("features", ["encoder", "random", "both"])
def test_features_and_ridge_by_hand(features):
    x, y = panel()
    encoder = encoder_of()
    scaled = (x - np.nanmean(x, axis=(0, 1))) / np.nanstd(x, axis=(0, 1))
    blocks = []
    if features != "random":
        parts = [encode(encoder, scaled[..., c : c + 1], pool=True) for c in (0, 1)]
        blocks.append(np.hstack(parts))
    if features != "encoder":
        for differences in (False, True):
            convolutions = RandomConvolutions(differences=differences, random_state=3)
            blocks.append(convolutions.fit(x).transform(x))
    model = ContrastiveRegressor(features, encoder=encoder, random_state=3).fit(x, y)
    expected = BlockRidge.fit(blocks, y[:, None] / y.std()).predict(blocks)[:, 0] * y.std()
    np.testing.assert_allclose(model.predict(x), expected, atol=1e-4)


@pytest.mark.parametrize("features", ["encoder", "random", "both"])
def test_slow_and_fast(features):
    x, y = panel(48)
    labels = classes(y)
    model = ContrastiveClassifier(features, encoder=encoder_of()).fit(x[:24], labels[:24])
    assert model.score(x[24:], labels[24:]) > 0.9
    assert list(model.classes_) == ["fast", "slow"]
    probability = model.predict_proba(x[24:])
    np.testing.assert_allclose(probability.sum(1), 1)
    np.testing.assert_array_equal(model.classes_[probability.argmax(1)], model.predict(x[24:]))
    difference = model.decision_function(x[24:])
    np.testing.assert_array_equal(difference > 0, model.predict(x[24:]) == "slow")
    regressor = ContrastiveRegressor(features, encoder=encoder_of()).fit(x[:24], y[:24])
    assert regressor.score(x[24:], y[24:]) > 0.6


def test_the_sharpness_of_probabilities_is_chosen_on_left_out_predictions():
    """Of labels that are noise, probabilities stay near the shares of the classes."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(120, 30, 1)), rng.integers(0, 3, 120)
    model = ContrastiveClassifier("random").fit(x, labels)
    unseen = model.predict_proba(rng.normal(size=(120, 30, 1)))
    assert log_loss(rng.integers(0, 3, 120), unseen) < np.log(3) + 0.15
    easy, y = panel(48)
    model = ContrastiveClassifier("random").fit(easy, classes(y))
    assert model.predict_proba(easy).max(1).mean() > 0.9


def test_several_targets_share_a_fit():
    x, y = panel()
    both = ContrastiveRegressor("random").fit(x, np.stack([y, 1000 * y + 7], 1)).predict(x)
    assert both.shape == (24, 2)
    np.testing.assert_allclose(both[:, 1], 1000 * both[:, 0] + 7, rtol=1e-6)


def test_one_label_a_class():
    x, y = panel(40)
    model = ContrastiveClassifier(encoder=encoder_of()).fit(x[2:4], classes(y)[2:4])
    assert set(model.predict(x)) == {"slow", "fast"}
    assert np.isfinite(model.predict_proba(x)).all()


def test_an_encoder_by_path_in_memory_and_trained_in_fit(tmp_path):
    x, y = panel()
    save_encoder(tmp_path / "encoder.safetensors", encoder_of())
    in_memory = PretrainedEncoder(encoder_of()).fit(x).transform(x)
    by_path = PretrainedEncoder(tmp_path / "encoder.safetensors").fit(x).transform(x)
    np.testing.assert_array_equal(in_memory, by_path)
    assert in_memory.shape == (24, 10)
    trained = ContrastiveClassifier("encoder", encoder=TINY).fit(x, classes(y))
    assert not hasattr(TINY, "encoder_")  # a clone was fitted
    np.testing.assert_array_equal(trained.parts_[0].transform(x), clone(TINY).fit(x).transform(x))


@pytest.mark.parametrize("model", BOTH)
def test_clone_pickle_and_grid_search(model):
    x, y = panel()
    y = classes(y) if model is ContrastiveClassifier else y
    fitted = model(encoder=encoder_of()).fit(x, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(x), fitted.predict(x))
    np.testing.assert_array_equal(clone(fitted).fit(x, y).predict(x), fitted.predict(x))
    search = GridSearchCV(model(encoder=encoder_of()), {"features": ["encoder", "random"]}, cv=2)
    assert search.fit(x, y).best_params_["features"] in ("encoder", "random")


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({}, lambda x, y: (x[:, :1], y), "at least 2 steps"),
        ({}, lambda x, y: (np.where(np.isnan(x), np.inf, x), y), "infinity"),
        ({}, lambda x, y: (x[:5], y), "inconsistent numbers of samples"),
        ({"features": "all"}, lambda x, y: (x, y), "features: found 'all', expected one of enc"),
        ({"encoder": "no-such"}, lambda x, y: (x, y), "no-such"),
    ],
    ids=["one-step", "infinite", "rows", "features", "encoder"],
)
def test_bad_input(model, options, change, message):
    x, y = panel()
    x, y = change(x, classes(y) if model is ContrastiveClassifier else y)
    with pytest.raises(ValueError, match=message):
        model(**{"encoder": encoder_of(), **options}).fit(x, y)


def test_a_single_class():
    with pytest.raises(ValueError, match="y has one class, a, expected at least 2"):
        ContrastiveClassifier("random").fit(np.zeros((3, 9, 1)), ["a"] * 3)


@pytest.mark.parametrize("model", [*BOTH, PretrainedEncoder])
def test_other_channels_than_fitted(model):
    x, y = panel()
    y = classes(y) if model is ContrastiveClassifier else y
    fitted = model(encoder=encoder_of()).fit(x, y)
    ask = fitted.transform if model is PretrainedEncoder else fitted.predict
    with pytest.raises(ValueError, match=f"X has 1 channels, but {model.__name__} was fitted on 2"):
        ask(x[..., :1])


def test_clusters_by_hand():
    x, y = panel()
    encoder = encoder_of()
    model = ContrastiveClusterer(2, encoder=encoder, random_state=1).fit(x)
    vectors = PretrainedEncoder(encoder).fit(x).transform(x).astype(np.float64)
    scaled = (vectors - vectors.mean(0)) / vectors.std(0)
    expected = KMeans(2, n_init=10, random_state=1).fit_predict(scaled)
    assert adjusted_rand_score(model.labels_, expected) == 1
    assert adjusted_rand_score(model.labels_, y > 0.5) > 0.5
    np.testing.assert_array_equal(model.predict(x), model.labels_)
    with pytest.raises(ValueError, match="n_samples=24 should be >= n_clusters=30"):
        ContrastiveClusterer(30, encoder=encoder).fit(x)


def test_scikit_learns_checks_of_the_clusterer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # array API without its switch, and more clusters than rows
        found = check_estimator(
            ContrastiveClusterer(2, features="random"),
            expected_failed_checks={
                "check_n_features_in": LENGTHS,
                "check_n_features_in_after_fitting": LENGTHS,
            },
            on_skip=None,
            on_fail=None,
        )
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in found) > 30

"""Random convolutions against plain loops in float64, the paper's numbers, sktime's MiniRocket."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from tsrep.features import RandomConvolutions
from tsrep.features.ragged import Ragged

LENGTHS = "series of another length may be transformed than were fitted"


def whole_numbers(n, steps, channels=1, seed=0):
    """Sums of few whole numbers are exact in any precision and order."""
    return np.random.default_rng(seed).integers(-9, 10, (n, steps, channels)).astype(float)


def convolve(x, kernel, dilation):
    """``x (T,)`` with zeros around it, by the definition of a convolution: (T,) float64."""
    found = np.zeros(len(x))
    for t in range(len(x)):
        for j in range(9):
            at = t + (j - 4) * dilation
            if 0 <= at < len(x):
                found[t] += kernel[j] * x[at]
    return found


def values_of_pair(model, x, pair):
    """What the biases of a pair are compared with, by plain loops."""
    kernels = [
        [2.0 if j in (a, b, c) else -1.0 for j in range(9)]
        for a in range(9)
        for b in range(a + 1, 9)
        for c in range(b + 1, 9)
    ]
    dilation = model.dilations_[pair]
    conv = sum(convolve(x[:, c], kernels[pair % 84], dilation) for c in model.channels_[pair])
    padded = (pair % 84 + pair // 84) % 2 == 0
    inside = conv[4 * dilation : len(x) - 4 * dilation]
    return conv if padded or len(inside) == 0 else inside


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_plain_loops(channels):
    x = whole_numbers(5, 40, channels)
    x[1, 25:] = np.nan  # shorter
    x[2, 6:] = np.nan  # shorter than a kernel
    model = RandomConvolutions(336).fit(x)
    found = model.transform(x)
    assert found.shape == (5, 336) and len(model.dilations_) > 84
    for n, instance in enumerate(x):
        instance = instance[~np.isnan(instance).any(1)]
        expected = []
        for pair, biases in enumerate(model.biases_):
            conv = values_of_pair(model, instance, pair)
            expected += [np.mean(conv > bias) for bias in biases]
        np.testing.assert_allclose(found[n], expected, atol=1e-7)


def test_biases_are_quantiles_of_a_training_series():
    x = whole_numbers(1, 60)
    model = RandomConvolutions(500).fit(x)
    levels = iter(np.arange(1, model.n_features_out_ + 1) * (np.sqrt(5) - 1) / 2 % 1)
    for pair, biases in enumerate(model.biases_):
        conv = np.sort(values_of_pair(model, x[0], pair))
        for bias in biases:
            place = next(levels) * (len(conv) - 1)
            low = int(place)
            high = min(low + 1, len(conv) - 1)
            expected = conv[low] + (place - low) * (conv[high] - conv[low])
            assert bias == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("steps", "largest"), [(9, 1), (500, 62), (5, 1), (1000, 124)])
def test_numbers_of_the_paper(steps, largest):
    """84 kernels, 9,996 features, and dilations up to where a kernel spans the series."""
    model = RandomConvolutions().fit(whole_numbers(1, steps))
    dilations = np.unique(model.dilations_)
    assert model.n_features_out_ == 9_996
    assert len(model.dilations_) == 84 * len(dilations)
    assert dilations[0] == 1 and dilations[-1] == largest and len(dilations) <= 32
    counts = [len(b) for b in model.biases_]
    assert sum(counts[:84]) >= sum(counts[-84:])  # rounding joins small dilations


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    channels=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_alone_and_in_a_batch(lengths, channels, seed):
    x = np.random.default_rng(seed).normal(size=(len(lengths), max(lengths), channels))
    for part, length in zip(x, lengths, strict=True):
        part[length:] = np.nan
    model = RandomConvolutions(168, random_state=seed).fit(x)
    found = model.transform(x)
    assert ((found >= 0) & (found <= 1)).all()
    for n, length in enumerate(lengths):
        np.testing.assert_array_equal(model.transform(x[n : n + 1, :length])[0], found[n])


def test_missing_values_lie_between_their_neighbours():
    x = np.array([[[1.0], [np.nan], [5.0], [np.nan], [np.nan]], [[np.nan], [2], [3], [4], [5]]])
    series = Ragged.of(x)
    np.testing.assert_allclose(series.one(0)[:, 0], [1, 3, 5])
    np.testing.assert_allclose(series.one(1)[:, 0], [2, 2, 3, 4, 5])


def test_channels_end_together():
    x = np.array([[[1.0, 7.0], [2.0, np.nan], [np.nan, np.nan]]])
    np.testing.assert_allclose(Ragged.of(x).one(0), [[1, 7], [2, 7]])


def test_scale_and_level_of_a_channel_change_nothing_but_at_padding():
    x = np.random.default_rng(0).normal(size=(3, 80, 1))
    np.testing.assert_allclose(
        RandomConvolutions(840).fit(x).transform(x),
        RandomConvolutions(840).fit(4 * x).transform(4 * x),
        atol=1e-6,
    )


def test_differences_are_convolved():
    x = np.random.default_rng(0).normal(size=(3, 40, 2))
    x[1, 25:] = np.nan
    found = RandomConvolutions(168, differences=True).fit(x).transform(x)
    changes = np.diff(x, axis=1)
    np.testing.assert_array_equal(found, RandomConvolutions(168).fit(changes).transform(changes))


def test_seeds_and_threads():
    x = np.random.default_rng(0).normal(size=(6, 50, 2))
    first, again, other = (
        RandomConvolutions(840, random_state=s).fit(x).transform(x) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        np.testing.assert_array_equal(RandomConvolutions(840).fit(x).transform(x), first)
    finally:
        torch.set_num_threads(threads)


def test_scikit_learns_checks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)  # array API without its switch
        found = check_estimator(
            RandomConvolutions(84),
            expected_failed_checks={
                "check_n_features_in": LENGTHS,
                "check_n_features_in_after_fitting": LENGTHS,
                "check_transformer_general": LENGTHS,
            },
            on_skip=None,
            on_fail=None,
        )
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in found) > 30


@pytest.mark.parametrize(
    ("options", "x", "message"),
    [
        ({}, np.zeros((2, 3, 1, 1)), r"X has shape \(2, 3, 1, 1\), expected \(N, T, C\)"),
        ({}, np.zeros((0, 3, 1)), "0 sample"),
        ({}, np.array([[[1.0], [np.inf]]]), "infinity"),
        ({}, np.array([[[1.0], [1e300]]]), "too large at series 0, step 1, channel 0"),
        ({"n_features": 10}, np.zeros((2, 9, 1)), "n_features: found 10, expected at least 84"),
    ],
    ids=["4D", "empty", "infinite", "large", "few"],
)
def test_bad_input(options, x, message):
    with pytest.raises(ValueError, match=message):
        RandomConvolutions(**options).fit(x)


def test_other_channels_than_fitted():
    model = RandomConvolutions(84).fit(np.zeros((2, 9, 2)))
    with pytest.raises(ValueError, match="X has 1 channels, but RandomConvolutions was fitted on"):
        model.transform(np.zeros((2, 9, 1)))


def test_constant_and_empty_series_are_finite():
    x = np.full((3, 20, 1), 5.0)
    x[1] = np.nan
    for steps in (20, 1):
        for differences in (False, True):
            model = RandomConvolutions(84, differences=differences).fit(x[:, :steps])
            assert np.isfinite(model.transform(x)).all()


@pytest.mark.data
@pytest.mark.skipif("TSPCREP_DATA" not in os.environ, reason="$TSPCREP_DATA is not set")
def test_as_accurate_as_sktimes_minirocket():
    """Cross-validated on the train halves of three sets, the same ridge on both."""
    rocket = pytest.importorskip("sktime.transformations.rocket")
    found = []
    for name in ("Car", "GunPointAgeSpan", "MedicalImages"):
        file = np.load(Path(os.environ["TSPCREP_DATA"]) / "series" / "ucr" / f"{name}.npz")
        x, y = file["train"].astype(np.float64), file["train_labels"]
        theirs = rocket.MiniRocket(random_state=0, n_jobs=1).fit_transform(x[:, None])
        ours = RandomConvolutions().fit(x).transform(x)
        ridge = RidgeClassifierCV(np.logspace(-3, 3, 10))
        found.append(
            [cross_val_score(ridge, np.asarray(f), y, cv=5).mean() for f in (ours, theirs)]
        )
    ours, theirs = np.mean(found, axis=0)
    assert ours > theirs - 0.01, found

"""Probes agree with scikit-learn, and choose on what they are given alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.linear_model import Ridge

from tspcrep.common import probes
from tspcrep.common.probes import PENALTIES, Moments, RidgePath, choose_scaled_ridge


def problem(n=300, d=12, m=5, seed=0, dtype=np.float64):
    """Correlated columns with means far from zero, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 10 * rng.normal(size=d)
    y = x @ rng.normal(size=(d, m)) + 3 * rng.normal(size=(n, m)) + 7
    return x.astype(dtype), y.astype(dtype)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(2, 60),
    d=st.integers(1, 20),
    m=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_path_equals_sklearn_for_every_penalty(n, d, m, seed):
    x, y = problem(n, d, m, seed)
    path = RidgePath(Moments.of(x, y))
    for alpha in PENALTIES:
        ours, theirs = path.model(alpha), Ridge(alpha).fit(x, y)
        np.testing.assert_allclose(ours.weight.T, theirs.coef_.reshape(m, d), atol=1e-8)
        np.testing.assert_allclose(ours.predict(x), theirs.predict(x).reshape(n, m), atol=1e-8)


def test_moments_do_not_depend_on_blocks(monkeypatch):
    x, y = problem()
    whole = Moments.of(x, y)
    monkeypatch.setattr(probes, "_BLOCK_BYTES", 1)
    parts = Moments.of(x, y)
    for name in ("rows", "x_mean", "y_mean", "xx", "xy", "yy"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-11)


def test_errors_and_choice_equal_a_loop_over_sklearn():
    x, y = problem(400, 40, 6)
    train, valid = slice(0, 60), slice(60, 400)
    path = RidgePath(Moments.of(x[train], y[train]))
    mse, mae = path.errors(x[valid], y[valid])
    wanted = []
    for alpha in PENALTIES:
        error = Ridge(alpha).fit(x[train], y[train]).predict(x[valid]) - y[valid]
        wanted.append([(error**2).mean(), np.abs(error).mean()])
    np.testing.assert_allclose(np.stack([mse, mae], axis=1), wanted, rtol=1e-9)
    np.testing.assert_allclose(path.mse(Moments.of(x[valid], y[valid])), mse, rtol=1e-9)
    scores = [np.sqrt(a) + b for a, b in wanted]
    chosen = path.choose(x[valid], y[valid])
    assert chosen.alpha == PENALTIES[int(np.argmin(scores))]
    assert chosen.score == pytest.approx(min(scores))


def test_labels_may_be_overlapping_windows_and_tensors():
    x, _ = problem(200)
    series = np.random.default_rng(1).normal(size=(210, 3))
    windows = sliding_window_view(series, 11, axis=0).transpose(0, 2, 1)  # (200, 11, 3), a view
    copied = np.stack([series[t : t + 11].ravel() for t in range(200)])
    ours = RidgePath(Moments.of(torch.tensor(x), windows)).model(2.0)
    np.testing.assert_allclose(ours.weight.T, Ridge(2.0).fit(x, copied).coef_, atol=1e-9)


def test_nested_moments_equal_moments_of_each(monkeypatch):
    monkeypatch.setattr(probes, "_BLOCK_BYTES", 1)
    x, _ = problem(200)
    series = np.random.default_rng(1).normal(size=(200, 2))
    labels = [sliding_window_view(series, h, axis=0).transpose(0, 2, 1) for h in (3, 40, 7)]
    for found, y in zip(probes.nested_moments(x, labels), labels, strict=True):
        wanted = Moments.of(x[: len(y)], y)
        assert found.rows == wanted.rows
        for name in ("x_mean", "y_mean", "xx", "xy", "yy"):
            np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-9)


def test_nested_moments_refuse_labels_that_do_not_nest():
    x, y = problem(50)
    with pytest.raises(ValueError, match="fewer rows where there are more targets"):
        probes.nested_moments(x, [y, y[:40, :3]])


def test_scaled_columns_equal_sklearn_on_scaled_columns():
    x, y = problem()
    scale = np.repeat([1.0, 0.1], [4, 8])
    ours = RidgePath(Moments.of(x, y), scale).model(50.0)
    theirs = Ridge(50.0).fit(x * scale, y)
    np.testing.assert_allclose(ours.weight.T, theirs.coef_ * scale, atol=1e-9)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x * scale), atol=1e-8)


def test_scales_are_chosen_on_validation_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 41))
    y = x[:, :1] + 0.3 * rng.normal(size=(400, 1))  # 40 columns of noise
    moments = Moments.of(x[:60], y[:60])
    scales = [np.repeat([1.0, g], (1, 40)) for g in (0.01, 1.0, 100.0)]
    best = choose_scaled_ridge(moments, x[60:], y[60:], scales)
    np.testing.assert_array_equal(best.scale, scales[0])
    alone = [RidgePath(moments, scale).choose(x[60:], y[60:]).score for scale in scales]
    assert best.score == min(alone)


def test_float32_products_are_as_good_as_float64():
    """On an ill-conditioned embedding (10^10 between largest and least eigenvalue)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 96)) * np.logspace(0, -5, 96) @ rng.normal(size=(96, 96))
    y = x @ rng.normal(size=(96, 24)) / 10 + rng.normal(size=(4000, 24))
    narrow = x.astype(np.float32), y.astype(np.float32)
    wide = [a.astype(np.float64) for a in narrow]
    fine, coarse = RidgePath(Moments.of(*wide)), RidgePath(Moments.of(*narrow))
    np.testing.assert_allclose(coarse.errors(*narrow), fine.errors(*wide), rtol=1e-5)
    for alpha in (PENALTIES[0], PENALTIES[-1]):
        theirs = Ridge(alpha).fit(*wide).predict(wide[0])
        assert coarse.model(alpha).predict(narrow[0]).dtype == np.float32
        np.testing.assert_allclose(coarse.model(alpha).predict(narrow[0]), theirs, atol=1e-3)


def test_no_penalty_and_a_constant_column_give_the_least_norm_solution():
    x, y = problem(50, 4)
    x[:, 2] = 5.0
    model = RidgePath(Moments.of(x, y)).model(0.0)
    wanted = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(model.weight, wanted, atol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 2)), np.ones((4, 1)), "x has 3 rows and y 4"),
        (np.ones((0, 2)), np.ones((0, 1)), "at least one"),
        (np.ones(3), np.ones((3, 1)), r"expected \(rows, dim\)"),
    ],
)
def test_rows_that_do_not_match_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        Moments.of(x, y)


def test_a_scale_that_is_not_positive_is_named():
    with pytest.raises(ValueError, match="minimum 0, expected"):
        RidgePath(Moments.of(*problem()), np.zeros(12))

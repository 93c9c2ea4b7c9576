"""Candidates against forecasts written as loops, and ridges of scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from tspcrep.common.probes import Moments
from tsrep.forecasting.candidates import (
    PENALTIES,
    Drift,
    LagRidge,
    Layout,
    Mean,
    Persistence,
    PhaseMeans,
    SeasonalNaive,
    SimpleRegression,
    Smoothing,
    look_backs,
    ridges,
    simple,
)

LAYOUT = Layout(2, 3, 12)
STEPS = np.array([1, 2, 5, 9, 20])


def windows(rows=80, seed=0):
    """Rows (n, 17) and their next values at STEPS (n, 5)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, LAYOUT.size)).cumsum(axis=1)
    return x, x[:, -1:] + rng.normal(size=(rows, len(STEPS)))


def forecasts(candidate, x, y):
    maps = candidate.maps(Moments.of(x, y), STEPS, LAYOUT)
    return [x @ m.weight + m.bias for m in maps]


@pytest.mark.parametrize("seed", range(3))
def test_simple_forecasts_are_loops(seed):
    x, y = windows(seed=seed)
    lags = x[:, 5:]
    np.testing.assert_allclose(forecasts(Persistence(), x, y)[0], lags[:, [-1] * 5])
    np.testing.assert_allclose(forecasts(Mean(), x, y)[0], np.full((80, 5), y.mean()))
    for period in (1, 4, 12):
        for found, step in zip(forecasts(SeasonalNaive(period), x, y)[0].T, STEPS, strict=True):
            back = step
            while back > 0:
                back -= period
            np.testing.assert_allclose(found, lags[:, back - 1])
    for found, seasons in zip(forecasts(PhaseMeans(4), x, y), (2, 3, 5, 10, 20), strict=True):
        for own, step in zip(found.T, STEPS, strict=True):
            alike = [k for k in range(12) if (11 - k + step) % 4 == 0][-seasons:]
            np.testing.assert_allclose(own, lags[:, alike].mean(axis=1))
    for found, span in zip(forecasts(Drift(), x, y), (11, 5, 2), strict=True):
        slope = (lags[:, -1] - lags[:, -1 - span]) / span
        np.testing.assert_allclose(found, lags[:, -1:] + slope[:, None] * STEPS)
    for found, newest in zip(
        forecasts(Smoothing(), x, y), (0.05, 0.1, 0.2, 0.35, 0.5, 0.7), strict=True
    ):
        weights = np.array([(1 - newest) ** age for age in range(11, -1, -1)])
        level = lags @ weights / weights.sum()
        np.testing.assert_allclose(found, np.repeat(level[:, None], 5, axis=1))


@settings(deadline=None, max_examples=20)
@given(
    look_back=st.integers(1, 12),
    since_last=st.booleans(),
    calendar=st.booleans(),
    vectors=st.sampled_from([0.0, 0.3]),
    phases=st.sampled_from([(), (3,), (3, 5)]),
    seed=st.integers(0, 50),
)
def test_a_ridge_is_that_of_scikit_learn(look_back, since_last, calendar, vectors, phases, seed):
    x, y = windows(seed=seed)
    last = x[:, -1:] if since_last else 0.0
    lags = x[:, 5:] - last
    blocks = [x[:, :2]] if calendar else []
    blocks += [vectors * x[:, 2:5]] if vectors else []
    blocks.append(lags[:, 12 - look_back :])
    for period in phases:
        for step in range(1, period + 1):
            alike = [k for k in range(12) if (11 - k + step) % period == 0]
            blocks.append(lags[:, alike].mean(axis=1, keepdims=True))
    design = np.concatenate(blocks, axis=1)
    candidate = LagRidge(look_back, since_last, calendar, vectors, phases)
    for found, alpha in zip(forecasts(candidate, x, y), PENALTIES, strict=True):
        expected = Ridge(alpha=alpha, solver="svd").fit(design, y - last).predict(design) + last
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_regression_on_simple_forecasts_is_least_squares_with_a_prior():
    x, y = windows(300)
    candidate = SimpleRegression((4,))
    reads = candidate._forecasts(STEPS, 12)
    np.testing.assert_allclose(reads.sum(axis=2), 1)
    designs = []
    for step in range(len(STEPS)):
        own = x[:, 5:] @ reads[step].T - x[:, -1:]
        designs.append(np.concatenate([own, x[:, -1:]], axis=1))
    centred = [d - d.mean(axis=0) for d in designs]
    labels = y - x[:, -1:]
    labels = labels - labels.mean(axis=0)
    units = np.eye(centred[0].shape[1]) * len(x)
    gram = np.mean([d.T @ d for d in centred], axis=0)
    cross = np.mean([d.T @ label for d, label in zip(centred, labels.T, strict=True)], axis=0)
    shared = np.linalg.solve(gram + 1e-3 * units, cross)
    for found, penalty in zip(forecasts(candidate, x, y), (1e-3, 1e-1, 1e1), strict=True):
        for step, (d, label) in enumerate(zip(centred, labels.T, strict=True)):
            pull = penalty * units
            own = np.linalg.solve(d.T @ d + pull, d.T @ label + pull @ shared)
            expected = x[:, -1] + (y - x[:, -1:])[:, step].mean() + d @ own
            np.testing.assert_allclose(found[:, step], expected, atol=1e-8)


def test_look_backs_hold_whole_seasons_and_fit():
    assert look_backs((), 720) == [8, 24, 72, 216, 648]
    assert look_backs((96,), 700) == [8, 24, 96, 192, 672]
    assert look_backs((12,), 28) == [12, 24]
    assert look_backs((), 3) == [3]


@pytest.mark.parametrize("periods", [(), (7,), (24, 168), (400,)])
@pytest.mark.parametrize("lags", [2, 30, 200])
@pytest.mark.parametrize("level", [True, False])
def test_names_tell_candidates_apart_and_all_are_finite(periods, lags, level):
    candidates = [*simple(periods, lags, level), *ridges(periods, lags, level)]
    names = [c.name for c in candidates]
    assert len(set(names)) == len(names)
    rng = np.random.default_rng(0)
    layout = Layout(0, 0, lags)
    moments = Moments.of(rng.normal(size=(50, lags)), rng.normal(size=(50, 3)))
    for candidate in candidates:
        for m in candidate.maps(moments, np.array([1, 2, 3]), layout):
            if not level:  # a higher series is forecast as much higher
                np.testing.assert_allclose(m.weight.sum(axis=0), 1, atol=1e-6)
            assert m.weight.shape == (lags, 3) and np.isfinite(m.weight).all(), candidate.name

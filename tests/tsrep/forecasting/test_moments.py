"""Moments of windows against windows cut one by one, in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.probes import Moments
from tsrep.forecasting import moments
from tsrep.forecasting.moments import part, since_last, summed_moments, window_moments


def windows(values, beside, starts, look_back, horizon, normalise):
    x, y = [], []
    for t in starts:
        for channel in values.T:
            last = channel[t] if normalise else 0.0
            x.append(np.concatenate([beside[t], channel[t - look_back + 1 : t + 1] - last]))
            y.append(channel[t + 1 : t + 1 + horizon] - last)
    return np.array(x), np.array(y)


def assert_same(found, expected):
    assert found.rows == expected.rows
    for name in ("x_mean", "y_mean", "xx", "xy", "yy"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-8, err_msg=name
        )


@settings(deadline=None, max_examples=25)
@given(
    channels=st.integers(1, 3),
    beside=st.integers(0, 3),
    look_back=st.integers(1, 12),
    horizon=st.integers(1, 9),
    normalise=st.booleans(),
    level=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_moments_are_those_of_all_windows(
    channels, beside, look_back, horizon, normalise, level, seed
):
    rng = np.random.default_rng(seed)
    values = level + rng.normal(size=(60, channels)).cumsum(axis=0)
    table = rng.normal(size=(60, beside))
    starts = np.arange(look_back - 1, 60 - horizon)
    found = window_moments(values, table, starts, look_back, horizon)
    if normalise:
        found = since_last(found, look_back)
    expected = Moments.of(*windows(values, table, starts, look_back, horizon, normalise))
    assert_same(found, expected)


@pytest.mark.parametrize("targets", [slice(None), np.array([0, 3])])
def test_a_part_is_the_moments_of_those_columns(targets):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 4))
    columns = np.array([5, 1, 2])
    found = part(Moments.of(x, y), columns, targets)
    assert_same(found, Moments.of(x[:, columns], y[:, targets]))


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    many=st.sampled_from([5, 40, 10_000]),
    seed=st.integers(0, 99),
)
def test_moments_of_several_series_are_those_of_all_their_windows(lengths, many, seed):
    """Whether windows are cut or not, and in whatever portions."""
    rng = np.random.default_rng(seed)
    look_back, horizon, series, cut = 4, 3, [], []
    for rows in lengths:
        values, beside = rng.normal(5, 2, size=(rows, 2)), rng.normal(size=(rows, 1))
        starts = np.arange(look_back - 1, rows - horizon)
        series.append((values, beside, starts))
        if len(starts):
            cut.append(windows(values, beside, starts, look_back, horizon, False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "_MANY", many)
        found = summed_moments(series, look_back, horizon)
    if not cut:
        assert found is None
        return
    assert_same(found, Moments.of(*(np.concatenate(parts) for parts in zip(*cut, strict=True))))

"""Windows by hand, and vectors on a common scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tsrep.mining.raw_windows import RawWindow
from tsrep.features import RandomConvolutions
from tsrep.mining.windows import WindowVectors, windows_of


@settings(deadline=None)
@given(steps=st.integers(1, 40), length=st.integers(1, 10), stride=st.integers(1, 7))
def test_windows_hold_every_step(steps, length, stride):
    series = np.arange(2.0 * steps).reshape(steps, 2)
    if steps < length:
        with pytest.raises(ValueError, match=f"has {steps} steps, expected at least a window"):
            windows_of(series, length, stride)
        return
    starts, windows = windows_of(series, length, stride)
    assert starts[0] == 0 and starts[-1] == steps - length
    assert (starts[:-1] % stride == 0).all()
    for start, window in zip(starts, windows, strict=True):
        np.testing.assert_array_equal(window, series[start : start + length])
    if stride <= length:
        covered = {t for start in starts for t in range(start, start + length)}
        assert covered == set(range(steps))


def test_the_mean_squared_distance_of_fitted_windows_is_two():
    rng = np.random.default_rng(0)
    vectors = WindowVectors(RawWindow(), 8, 1)
    ((_, z),) = vectors.fit([rng.normal(5, 3, (200, 1))])
    pairs = np.square(z[:, None] - z[None]).sum(-1)
    assert pairs.mean() == pytest.approx(2)
    np.testing.assert_allclose(z.std(0), np.sqrt(1 / 8), rtol=1e-6)


def test_a_constant_component_is_no_distance():
    series = np.tile([1.0, 5.0, 1.0, 7.0], 30)[:, None]
    ((_, z),) = WindowVectors(RawWindow(), 4, 4).fit([series])
    np.testing.assert_array_equal(z, 0)


@pytest.mark.parametrize(
    ("length", "stride", "series", "message"),
    [
        (1, None, [np.zeros((9, 1))], "window: found 1, expected at least 2 steps"),
        (4, 0, [np.zeros((9, 1))], "stride: found 0, expected at least 1 step"),
        (4, None, [np.zeros((9, 1)), np.zeros((9, 2))], r"series have \[1, 2\] channels"),
    ],
)
def test_bad_input(length, stride, series, message):
    with pytest.raises(ValueError, match=message):
        WindowVectors(RawWindow(), length, stride).fit(series)


def test_a_transformer_learns_from_the_windows():
    series = np.sin(np.arange(100.0))[:, None]
    convolutions = RandomConvolutions(84)
    vectors = WindowVectors(convolutions, 20, 5)
    ((starts, z),) = vectors.fit([series])
    assert not hasattr(convolutions, "biases_")  # a clone was fitted
    windows = np.stack([series[start : start + 20] for start in starts])
    side_by_side = np.stack([series[start : start + 20] for start in range(0, 100, 20)])
    expected = RandomConvolutions(84).fit(side_by_side).transform(windows)
    np.testing.assert_allclose(z, expected * vectors.factor, atol=1e-6)

"""The test of Dickey and Fuller: its size on random walks, its power on series with a level."""

import numpy as np
import pytest
from scipy.signal import lfilter

from tsrep.forecasting.unit_root import _statistic, returns_to_its_level


def share(make, count=120):
    return np.mean([returns_to_its_level(make(np.random.default_rng(s))) for s in range(count)])


@pytest.mark.parametrize("rows", [150, 600])
def test_one_random_walk_in_twenty_passes(rows):
    passed = share(lambda rng: rng.normal(size=(rows, 1)).cumsum(axis=0))
    assert passed < 0.12  # four standard errors above .05


def test_series_that_return_pass():
    assert share(lambda rng: rng.normal(size=(300, 1)), 40) > 0.95
    assert share(lambda rng: lfilter([1], [1, -0.8], rng.normal(size=(600, 1)), axis=0), 40) > 0.9


def test_trends_constants_and_short_series_do_not():
    assert not returns_to_its_level(np.arange(400.0)[:, None])
    assert not returns_to_its_level(np.ones((400, 2)))
    assert not returns_to_its_level(np.random.default_rng(0).normal(size=(9, 1)))


def test_the_statistic_is_that_of_least_squares():
    own = np.random.default_rng(1).normal(size=200).cumsum()
    moves = np.diff(own)
    rows = range(3, 199)
    x = np.array([[1, own[t], moves[t - 3], moves[t - 2], moves[t - 1]] for t in rows])
    y = np.array([moves[t] for t in rows])
    found, squares = np.linalg.lstsq(x, y, rcond=None)[:2]
    error = np.sqrt(squares[0] / (len(y) - 5) * np.linalg.inv(x.T @ x)[1, 1])
    assert _statistic(own, 3) == pytest.approx(found[1] / error, rel=1e-6)

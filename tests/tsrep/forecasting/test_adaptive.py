"""Adaptive intervals: the guarantee for any stream, and normal ones of a size that changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tspcrep.common.errors import UserError
from tsrep.forecasting.adaptive import AdaptiveInterval


def outside(adaptive, stream):
    found = []
    for value in stream:
        low, high = adaptive.interval(norm.ppf)
        inside = low <= value <= high
        adaptive.update(inside)
        found.append(not inside)
    return np.array(found)


@settings(deadline=None, max_examples=30)
@given(
    coverage=st.floats(0.05, 0.95),
    rate=st.floats(0.01, 0.5),
    sizes=st.lists(st.floats(0, 100), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_the_share_outside_is_bounded_on_any_stream(coverage, rate, sizes, seed):
    stream = np.random.default_rng(seed).normal(size=200) * np.resize(sizes, 200)
    level = 1 - coverage
    share = outside(AdaptiveInterval(coverage, rate), stream).mean()
    assert abs(share - level) <= (max(level, 1 - level) + rate) / (rate * 200) + 1e-9


def test_the_level_is_the_sum_of_what_was_missed():
    adaptive, stream = AdaptiveInterval(0.8, 0.05), np.random.default_rng(0).normal(size=50)
    missed = outside(adaptive, stream)
    assert adaptive.level == pytest.approx(0.2 + 0.05 * np.sum(0.2 - missed))


def test_it_follows_a_stream_that_doubles_where_a_fixed_interval_does_not():
    stream = np.random.default_rng(0).normal(size=4000) * np.repeat([1.0, 2.0], 2000)
    low, high = norm.ppf([0.05, 0.95])
    fixed = np.mean((stream[2000:] >= low) & (stream[2000:] <= high))
    held = 1 - outside(AdaptiveInterval(0.9, 0.02), stream)[2000:].mean()
    assert fixed < 0.65 and held == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize(("coverage", "rate"), [(0.0, 0.1), (1.0, 0.1), (0.9, 0.0)])
def test_what_cannot_be(coverage, rate):
    with pytest.raises(UserError, match="expected a coverage in"):
        AdaptiveInterval(coverage, rate)

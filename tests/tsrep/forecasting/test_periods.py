"""Periods of made series, and none where there is none."""

import numpy as np
import pytest

from tsrep.forecasting.periods import find_periods


def seasons(rows, *periods, noise=0.5, trend=0.01, seed=0):
    """Random means by phase of each period, a trend and noise, (T, 1)."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    values = trend * t + noise * rng.normal(size=rows)
    for period in periods:
        values = values + np.resize(rng.normal(size=period), rows)
    return values[:, None]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("period", [3, 7, 12, 24, 96])
def test_a_period_is_found(period, seed):
    found = find_periods(seasons(max(400, 30 * period) + 3, period, seed=seed), 10 * period)
    assert found[:1] == (period,)


@pytest.mark.parametrize("periods", [(24, 168), (12, 35), (7, 30)])
def test_two_periods_are_found(periods):
    rng, t = np.random.default_rng(0), np.arange(12 * max(periods))
    values = rng.normal(size=len(t)).cumsum() * 0.05 + 0.3 * rng.normal(size=len(t))
    for period in periods:
        values += np.sin(2 * np.pi * t / period) + 0.5 * np.sin(4 * np.pi * t / period + 1)
    found = find_periods(values[:, None], 2 * max(periods))
    # A week of hours holds the day.
    assert max(periods) in found and (min(periods) in found or max(periods) % min(periods) == 0)


def test_noise_and_random_walks_have_no_period():
    false = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(400, 1))
        mixed = np.zeros((400, 1))
        for i in range(1, 400):
            mixed[i] = 0.8 * mixed[i - 1] + noise[i]
        false += sum(bool(find_periods(v, 130)) for v in (noise, noise.cumsum(axis=0), mixed))
    assert false <= 6  # of 180, at a level of .01


def test_channels_share_their_periods():
    values = np.concatenate([seasons(600, 12, noise=1.5, seed=s) for s in range(6)], axis=1)
    assert 12 in find_periods(values, 200)


@pytest.mark.parametrize(
    "values",
    [np.zeros((100, 2)), np.arange(50.0)[:, None], np.ones((3, 1)), np.full((20, 1), np.nan)],
)
def test_nothing_is_found_where_nothing_moves(values):
    assert find_periods(values, 10) == ()

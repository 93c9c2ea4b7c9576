"""Errors of a forecaster: their size and shape, against a loop and a closed form."""

import numpy as np
import pytest

from tsrep.forecasting.intervals import LEVELS, Spread


def test_the_spread_of_errors_is_that_of_a_loop():
    errors = np.random.default_rng(0).normal(size=(30, 3, 2)) * [[1.0, 9.0]]
    errors[4, 1, 0] = np.nan
    found = Spread.of(errors)
    for channel in range(2):
        ratios = []
        for step in range(3):
            known = [e for e in errors[:, step, channel] if not np.isnan(e)]
            size = np.sqrt(sum(e * e for e in known) / len(known))
            assert found.deviation[step, channel] == pytest.approx(size)
            ratios += [e / size for e in known]
        np.testing.assert_allclose(found.shape[:, channel], np.quantile(ratios, LEVELS))


def test_a_step_without_errors_has_the_size_of_the_others():
    errors = np.random.default_rng(1).normal(size=(20, 2, 1))
    errors[:, 1] = np.nan
    found = Spread.of(errors)
    assert found.deviation[1, 0] == pytest.approx(found.deviation[0, 0])


def test_quantiles_of_normal_errors_grow_with_the_root_of_the_step():
    rng = np.random.default_rng(2)
    found = Spread.of(rng.normal(size=(20000, 4, 1)) * [[[2.0]]])
    quantiles = found.quantiles((0.1, 0.9, 0.5), steps=16)
    assert quantiles.shape == (16, 1, 3)
    # The normal's .9 quantile is 1.2816.
    np.testing.assert_allclose(quantiles[:4, 0], [[-2.563, 2.563, 0]] * 4, atol=0.06)
    np.testing.assert_allclose(quantiles[15], 2 * quantiles[3])
    np.testing.assert_array_equal(found.quantiles((0.1, 0.9, 0.5)), quantiles[:4])

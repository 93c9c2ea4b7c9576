"""Known inputs against least squares, and where their effect enters."""

import numpy as np

from tsrep.forecasting.exogenous import _effect_of, fit_beside


def driven(rows=400, slope=2.0):
    """Two columns that follow an input, on top of levels that drift."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(rows, 1)).cumsum(axis=0)
    drift = 0.1 * rng.normal(size=(rows, 2)).cumsum(axis=0)
    return known, drift + known @ np.array([[slope, 0.0]])


def test_the_effect_is_that_of_least_squares_on_changes():
    known, values = driven()
    expected = np.linalg.lstsq(np.diff(known, axis=0), np.diff(values, axis=0), rcond=None)[0]
    np.testing.assert_allclose(_effect_of(known, values), expected, rtol=0.01, atol=0.01)
    missing = values.copy()
    missing[100:103] = np.nan
    np.testing.assert_allclose(_effect_of(known, missing), expected, atol=0.05)


def test_an_effect_enters_where_it_lowers_the_error():
    known, values = driven()
    train = slice(0, 300)

    def fit(rest, whole):  # the last train value for ever
        return rest[299], float(np.square(rest[300:] - rest[299]).mean())

    def less(one, other):
        return one[1] < other[1]

    (last, _), effect = fit_beside(fit, less, values, known, train)
    np.testing.assert_allclose(effect, [[2, 0]], atol=0.05)
    np.testing.assert_allclose(last, values[299] - known[299] @ effect, rtol=1e-5)
    values[300:] = values[299]  # the input counts no longer
    (last, _), effect = fit_beside(fit, less, values, known, train)
    assert not effect.any()
    np.testing.assert_array_equal(last, values[299])

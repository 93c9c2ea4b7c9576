"""The probe against ridges of scikit-learn that are put together by hand."""

import numpy as np
import pytest

from tests.tsrep.forecasting.readouts import HORIZON, ahead, chosen_ridge, inputs_of, rows_of
from tests.tsrep.made_series import made_series, with_other_test_rows
from tspcrep.common.probes import PENALTIES
from tsrep.forecasting.probe import FAINT, FREE, probe
from tsrep.forecasting.product import product


def test_probe_is_a_ridge_of_scikit_learn():
    series = made_series()
    inputs = inputs_of(series)
    rows = rows_of(inputs)
    vectors = inputs.vectors[0].astype(np.float64)
    z, level = vectors[:, :-1], vectors[:, -1:]
    own = z[inputs.train]
    z = (z - own.mean(0)) / (own.std(0) + 1e-6)
    designs = [
        np.concatenate([z, FREE * level, scale * inputs.calendar], axis=1)
        for scale in (FREE, FAINT)
    ]
    values = inputs.values[:, 0].astype(np.float64)
    expected = chosen_ridge(
        designs,
        lambda at: ahead(values, at),
        rows,
        PENALTIES,
        lambda e: np.sqrt(np.mean(e**2)) + np.mean(np.abs(e)),
    )
    found = probe(inputs, (HORIZON,))[HORIZON](rows[2])
    np.testing.assert_allclose(found[..., 0], expected, atol=2e-4)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoder_channels", ["one", "joint"])
def test_changing_test_rows_changes_no_choice(channels, encoder_channels):
    series = made_series(channels)
    other = with_other_test_rows(series)
    width = 1 if encoder_channels == "one" else channels
    first, second = inputs_of(series, width), inputs_of(other, width)
    # Origins before the test rows: all that a forecast reads there is the same in both.
    starts = np.arange(series.split.valid.start, series.split.valid.stop - 1)
    for fit in (probe, product):
        forecasts = [fit(inputs, (HORIZON, 12)) for inputs in (first, second)]
        for horizon in (HORIZON, 12):
            a, b = (found[horizon](starts) for found in forecasts)
            assert a.shape == (len(starts), horizon, channels)
            np.testing.assert_array_equal(a, b)

"""Windows and their labels against a loop over origins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tspcrep.common.errors import UserError
from tsrep.datasets.series import filled
from tsrep.forecasting.windows import ForecastWindows


@given(
    look_back=st.integers(1, 6),
    horizon=st.integers(1, 6),
    shortest=st.integers(1, 3),
    first=st.integers(0, 9),
    apart=st.booleans(),
    before=st.booleans(),
    stride=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_windows_are_those_of_a_loop(look_back, horizon, shortest, first, apart, before, stride):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 2))
    values[rng.random(values.shape) < 0.1] = np.nan
    known, past = rng.normal(size=(30, 3)), rng.normal(size=(30, 1))
    rows, whole = slice(first, 26), filled(np.concatenate([values, past], 1))
    data = ForecastWindows(
        values,
        rows,
        look_back,
        horizon,
        shortest=shortest,
        before=before,
        apart=apart,
        known=known,
        past=past,
        stride=stride,
    )
    earliest = look_back - 1 if before else first + look_back - 1
    expected = list(range(max(first, earliest), 26 - shortest, stride))
    assert data.starts.tolist() == expected
    assert len(data) == len(expected) * (2 if apart else 1)
    for index in range(len(data)):
        t, channel = expected[index // 2 if apart else index], index % 2
        found = data.__getitems__([index])
        own = [channel] if apart else [0, 1]
        window = slice(t - look_back + 1, t + 1)
        np.testing.assert_allclose(found.past[0], whole[window][:, [*own, 2]], rtol=1e-6)
        for step in range(horizon):
            row = t + 1 + step
            label = values[row, own] if row < 26 else np.full(len(own), np.nan)
            np.testing.assert_allclose(found.future[0, step], label, rtol=1e-6)
            if row < 26:  # behind the rows, known inputs are filled and have no labels
                np.testing.assert_allclose(found.known[0, look_back + step], known[row], rtol=1e-6)
        np.testing.assert_allclose(found.known[0, :look_back], known[window], rtol=1e-6)


def test_rows_that_hold_no_forecast():
    with pytest.raises(UserError, match="hold no forecast of 1 steps from a look-back of 9"):
        ForecastWindows(np.zeros((12, 1)), slice(0, 9), 9, 2)

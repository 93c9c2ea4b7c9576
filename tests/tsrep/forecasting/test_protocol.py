"""Origins and errors against a loop, and against counts of the literature."""

import numpy as np
import pytest

from tsrep.forecasting import protocol
from tsrep.forecasting.protocol import evaluate, origins


def test_origins_are_followed_by_the_horizon_and_counted_as_in_the_literature():
    assert origins(slice(10, 20), 2).tolist() == list(range(10, 18))
    assert len(origins(slice(11520, 14400), 720)) == 2880 - 720  # ETTh1's test rows


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_errors_average_all_origins_whose_horizon_fits_and_skip_missing_values(monkeypatch, block):
    monkeypatch.setattr(protocol, "_BLOCK_BYTES", block)
    values = np.random.default_rng(0).normal(size=(330, 2))
    values[290, 0] = values[300:303, 1] = np.nan
    found = evaluate(lambda starts: np.zeros((len(starts), 7, 2)), values, slice(260, 330), 7)
    errors = np.concatenate([values[t + 1 : t + 8].ravel() for t in range(260, 330 - 7)])
    errors = errors[~np.isnan(errors)]
    assert found.mse == pytest.approx((errors**2).mean())
    assert found.mae == pytest.approx(np.abs(errors).mean())

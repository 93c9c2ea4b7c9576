"""The peers of the forecasting suite see our windows, and are scored as ours are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.tsrep.made_series import made_series
from tsrep.forecasting.protocol import origins

LOOK_BACK = 24


@pytest.fixture
def peers(monkeypatch, suite):
    module = suite("forecasting_peers")
    monkeypatch.setattr(module, "LOOK_BACK", LOOK_BACK)
    return module


class Last(nn.Module):
    """neuralforecast's signature: a share of the last value plus an offset, learned by step."""

    def __init__(self, horizon):
        super().__init__()
        self.share = nn.Parameter(torch.ones(horizon))
        self.offset = nn.Parameter(torch.zeros(horizon))

    def forward(self, windows_batch):
        last = windows_batch["insample_y"][:, -1]  # (B, 1)
        return (self.share * last + self.offset)[..., None]


def test_a_peer_reads_each_channel_by_itself(peers):
    network = Last(4)
    network.offset.data = torch.arange(4.0)
    past = torch.randn(3, LOOK_BACK, 2, generator=torch.Generator().manual_seed(0))
    expected = past[:, -1:] + torch.arange(4.0)[None, :, None]
    torch.testing.assert_close(peers.Peer(network)(past), expected)


def test_a_peer_is_scored_at_every_test_origin(peers):
    series = replace(made_series(2), horizons=(4, 12))
    found = peers.scores(peers.Peer(Last(12)), series)
    values = series.values[0].astype(np.float64)
    for horizon in (4, 12):
        starts = origins(series.split.test, horizon)
        error = np.stack([values[t] - values[t + 1 : t + 1 + horizon] for t in starts])
        assert found["horizons"][str(horizon)]["mse"] == pytest.approx(np.square(error).mean())


def test_training_keeps_the_checkpoint_of_least_validation_error(peers):
    series = replace(made_series(2), horizons=(4, 12))
    built = []

    def build(horizon):
        built.append(peers.Peer(Last(horizon)))
        return built[-1]

    budget = peers.Budget(rate=0.05, steps=200, batch=8)
    model, error = peers.train(build, series, budget, seed=0)
    again, same = peers.train(build, series, budget, seed=0)
    assert model is built[0] and error == same and not model.training
    assert torch.equal(model.network.share, again.network.share)
    start = peers.train(build, series, replace(budget, rate=0.0), seed=0)[1]
    assert error < 0.9 * start
    far = peers.train(build, series, replace(budget, rate=5.0), seed=0)[1]
    assert far < 5, "the last steps of such a rate are far worse than the kept one"


def test_rows_hold_means_and_spreads(peers):
    one = {"horizons": {"4": {"mse": 1.0, "mae": 2.0}}, "average": {"mse": 1.0, "mae": 2.0}}
    two = {"horizons": {"4": {"mse": 3.0, "mae": 2.0}}, "average": {"mse": 3.0, "mae": 2.0}}
    rows = {(r.case, r.metric): r for r in peers.score_rows("made", "last", [one, two])}
    assert rows.keys() == {(f"made/{p}", m) for p in ("4", "average") for m in ("mse", "mae")}
    row = rows["made/average", "mse"]
    assert (row.value, row.std, row.seeds) == (2.0, 1.0, 2)


@pytest.mark.parametrize("name", ["nlinear", "dlinear", "patchtst"])
def test_networks_of_neuralforecast_take_our_windows(peers, name):
    pytest.importorskip("neuralforecast", reason="pip install -e '.[bench]'")
    model = peers.peer(name, 12).eval()
    past = torch.randn(3, LOOK_BACK, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model(past)
        apart = torch.cat([model(one) for one in past.split(1, 2)], 2)
    assert found.shape == (3, 12, 2)
    torch.testing.assert_close(found, apart, atol=1e-5, rtol=1e-5)


def test_series_of_unequal_length_end_where_they_end(peers):
    values = np.arange(24.0).reshape(2, 6, 2)
    values[1, 4:] = np.nan
    first, second = peers._series(values)
    np.testing.assert_array_equal(first, values[0])
    np.testing.assert_array_equal(second, values[1, :4])

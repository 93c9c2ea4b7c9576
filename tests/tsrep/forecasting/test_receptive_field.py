"""The empirical receptive field: exact for linear maps, equal to differences for others."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.tsrep.made_series import made_series
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.encoders import LSTM, Transformer
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.receptive_field import differentiable, measured, periodicity, receptive_field
from tsrep.forecasting.task import Names, inputs_of
from tsrep.forecasting.training import Settings


def windows(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Linear(nn.Module):
    """(N, L, 1) -> (N, H, 1) by a matrix (H, L), oldest lag first."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float64))

    def forward(self, x):
        return (x[..., 0] @ self.weight.T)[..., None]


def shift_map(horizon, length, source):
    """The matrix of a forecast that copies: ``source(j)`` is the position in the window."""
    weight = np.zeros((horizon, length))
    for j in range(1, horizon + 1):
        weight[j - 1, source(j)] = 1
    return weight


def seasonal_naive(horizon, length, period):
    return shift_map(horizon, length, lambda j: length - period + (j - 1) % period)


def persistence(horizon, length):
    return shift_map(horizon, length, lambda j: length - 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_linear_map_gives_its_weights(seed):
    weight = windows(5, 12, seed=seed)
    field = receptive_field(Linear(weight), windows(7, 12, 1))
    np.testing.assert_allclose(field, weight.abs().numpy()[:, ::-1], rtol=1e-12)
    some = receptive_field(Linear(weight), windows(7, 12, 1), steps=(4, 2))
    np.testing.assert_allclose(some, field[[3, 1]], rtol=1e-12)


def test_channels_in_are_summed_and_channels_out_averaged():
    weight = windows(3, 2, 6, 4)  # steps, outputs, lags, inputs
    field = receptive_field(lambda x: torch.einsum("nlc,hklc->nhk", x, weight), windows(5, 6, 4))
    expected = weight.abs().sum(3).mean(1).flip(1)
    np.testing.assert_allclose(field, expected, rtol=1e-12)


class Net(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, 3)

    def forward(self, x):
        return self.head(self.encoder(x)[:, -1])[..., None]


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_equals_central_differences(kind):
    torch.manual_seed(0)
    encoder = Transformer(1, 8, 1, 2) if kind == "transformer" else LSTM(1, 8, 1)
    net = Net(encoder).double()
    x, step = windows(4, 9, 1), 1e-6
    field = receptive_field(net, x)
    assert net.training, "left as it was found"
    net.eval()
    expected = np.zeros((3, 9))
    with torch.no_grad():
        for lag in range(9):
            up, down = x.clone(), x.clone()
            up[:, 8 - lag] += step
            down[:, 8 - lag] -= step
            slope = (net(up) - net(down)) / (2 * step)
            expected[:, lag] = slope.abs().mean(0)[:, 0]
    np.testing.assert_allclose(field, expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(field, receptive_field(net, x))
    assert all(p.grad is None for p in net.parameters())


def test_channels_that_are_read_apart_need_one_pass_for_all():
    torch.manual_seed(0)
    net = Net(LSTM(1, 8, 1)).double()

    def by_channel(x):
        return torch.cat([net(one) for one in x.split(1, 2)], 2)

    x = windows(4, 9, 3)
    together = receptive_field(by_channel, x, apart=True)
    np.testing.assert_allclose(together, receptive_field(by_channel, x), rtol=1e-9)


def test_works_under_no_grad_and_without_a_dependence():
    with torch.no_grad():
        field = receptive_field(Linear(np.ones((2, 3))), windows(2, 3, 1))
    assert field.tolist() == [[1, 1, 1]] * 2
    constant = receptive_field(
        lambda x: torch.stack([x.mean((1, 2)), torch.ones(2).requires_grad_()], 1)[..., None],
        windows(2, 4, 1),
    )
    np.testing.assert_allclose(constant, [[0.25] * 4, [0] * 4])


# --- of a fitted forecaster ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=["linear path", "network alone", "one map a channel"])
def fitted(request, tmp_path_factory):
    """A forecaster of two hourly columns, and its series."""
    series = made_series(2, rows=700)
    settings = Settings(
        ForecasterConfig(look_back=48, dim=8, heads=2, patch=12),
        ContrastConfig(objective="none"),
        training=Training(epochs=1, max_steps=3, batch_size=8, device="cpu"),
    )
    folder = tmp_path_factory.mktemp("fitted")
    linear = request.param != "network alone"
    model = fit_forecaster(inputs_of(series), settings, 0, folder, (6, 12), linear=linear)
    for path in model.paths.values() if linear else ():
        # Three steps of training would earn less.
        path.weight[:, path.look_back - 1 : path.look_back + 7] += 0.1
        if request.param == "one map a channel" and len(path.weight) == 1:
            path.weight = torch.cat([path.weight, 0.5 * path.weight])
            path.bias = torch.cat([path.bias, 0.5 * path.bias])
    return model, series


@pytest.mark.parametrize("horizon", [6, 12])
def test_a_fitted_forecaster_as_a_map_has_the_slopes_of_its_predictions(fitted, horizon):
    model, series = fitted
    length = model.look_back
    values, times = series.values[0, :length].astype(np.float64), series.times[:length]
    past = torch.tensor(values[None], requires_grad=True)
    forecaster = differentiable(copy.deepcopy(model).double(), horizon)
    slopes = torch.autograd.functional.jacobian(forecaster, past)[0, :, :, 0]  # (H, C, L, C)
    std, mean = model.scaler.std, model.scaler.mean
    rng = np.random.default_rng(0)
    for _ in range(3):
        lag, channel = rng.integers(length), rng.integers(2)
        moved = []
        for sign in (1, -1):
            shifted = values.copy()
            shifted[lag, channel] += sign * 0.05
            moved.append((model.predict(shifted * std + mean, times, horizon) - mean) / std)
        expected = (moved[0] - moved[1]) / 0.1  # (H, C); float32 forecasts
        np.testing.assert_allclose(slopes[:, :, lag, channel], expected, atol=2e-3)


def test_the_field_of_a_fitted_forecaster(fitted):
    model, series = fitted
    field = measured(model, series, 12)
    assert field.shape == (12, model.look_back) and np.isfinite(field).all() and field.max() > 0
    assert not np.array_equal(field[:, :48], measured(model, series, 6)[:6, :48])
    rows = receptive_field(
        differentiable(model, 12), torch.from_numpy(series.values[:, : model.look_back]), (5,)
    )
    assert rows.shape == (1, model.look_back)


def test_a_field_needs_a_horizon_that_was_fitted_and_no_exogenous_inputs(fitted):
    model, series = fitted
    with pytest.raises(UserError, match="horizon: found 7"):
        measured(model, series, 7)
    other = copy.deepcopy(model)
    other.names = Names(model.names.columns, past=("wind",))
    with pytest.raises(UserError, match="exogenous"):
        differentiable(other)


# --- periodicity --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    period=st.integers(2, 12), seasons=st.integers(1, 4), horizon=st.integers(1, 40), data=st.data()
)
def test_closed_forms(period, seasons, horizon, data):
    length = period * seasons
    ahead = torch.ones(2, length, 1, dtype=torch.float64)
    naive = receptive_field(Linear(seasonal_naive(horizon, length, period)), ahead)
    assert periodicity(naive, (period,)) == 1
    flat = np.full((horizon, length), data.draw(st.floats(0.1, 10)))
    assert periodicity(flat, (period,)) == pytest.approx(0, abs=1e-12)
    # Persistence reads lag 0, a whole period before every p-th step alone.
    last = receptive_field(Linear(persistence(horizon, length)), ahead)
    share = (horizon // period) / horizon
    expected = (share - 1 / period) / (1 - 1 / period)
    assert periodicity(last, (period,)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(8, 20)),
    periods=st.sampled_from([(2,), (3,), (2, 3), (5, 7)]),
    seed=st.integers(0, 99),
)
def test_periodicity_equals_a_loop_and_knows_no_scale(shape, periods, seed):
    field = windows(*shape, seed=seed).abs().numpy()
    shares, flat = [], []
    for j in range(shape[0]):
        whole = [any((j + 1 + lag) % p == 0 for p in periods) for lag in range(shape[1])]
        energy = [f**2 for f in field[j]]
        shares.append(sum(e for e, w in zip(energy, whole, strict=True) if w) / sum(energy))
        flat.append(sum(whole) / len(whole))
    s, s0 = sum(shares) / len(shares), sum(flat) / len(flat)
    score = periodicity(field, periods)
    assert score == pytest.approx((s - s0) / (1 - s0))
    assert score <= 1
    scaled = field * np.linspace(1, 9, shape[0])[:, None]  # every output step counts alike
    assert periodicity(scaled, periods) == pytest.approx(score)


def test_steps_of_the_rows_count():
    field = receptive_field(Linear(seasonal_naive(30, 24, 6)), torch.ones(1, 24, 1).double())
    assert periodicity(field[9::10], (6,), steps=(10, 20, 30)) == 1
    assert periodicity(field[9::10], (6,)) < 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: receptive_field(Linear(np.ones((2, 3))), windows(1, 3, 1), (3,)), "from 1 to 2"),
        (lambda: receptive_field(Linear(np.ones((2, 3))), windows(1, 3, 1), (0,)), "from 1 to 2"),
        (lambda: receptive_field(Linear(np.ones((2, 3))), windows(1, 3, 1), ()), "steps: found"),
        (lambda: periodicity(np.ones((2, 5)), ()), "periods: found"),
        (lambda: periodicity(np.ones((2, 5)), (1,)), "at least 2"),
        (lambda: periodicity(np.ones((2, 5)), (24,)), "no multiple lies within 5"),
        (lambda: periodicity(np.zeros((2, 5)), (2,)), "depends on none"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(UserError, match=words):
        call()

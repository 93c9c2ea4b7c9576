"""Losses and the network against loops and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tsrep.made_series import made_series
from tspcrep.common.errors import UserError
from tsrep.evaluation.forecasts import score
from tsrep.forecasting.network import (
    ForecasterConfig,
    as_forecast,
    forecast_loss,
    predictions,
    validation_error,
)
from tsrep.forecasting.protocol import origins
from tsrep.forecasting.windows import evaluation_windows

SMALL = {"look_back": 24, "dim": 8, "heads": 2, "patch": 8, "dropout": 0.0}
BACKBONES = ("transformer", "tcn", "lstm", "dilated")


def network(count=2, horizon=6, known=0, past=0, seed=0, **settings):
    torch.manual_seed(seed)
    config = ForecasterConfig(**{**SMALL, **settings})
    return config.build(count, horizon, known=known, past=past).eval()


def batch(count=5, channels=2, seed=1):
    return torch.randn(count, SMALL["look_back"], channels, generator=generator(seed))


def generator(seed):
    return torch.Generator().manual_seed(seed)


# --- losses -------------------------------------------------------------------------------------


def test_losses_are_those_of_loops():
    rng = np.random.default_rng(0)
    ahead, future = rng.normal(size=(2, 4, 5, 3))
    future[0, 3:] = np.nan  # behind the train rows
    future[1, 0, 2] = np.nan  # missing
    quantiles = (0.1, 0.5, 0.8)
    spread = ahead[..., None] + np.array([-1.0, 0.0, 0.7])
    squared, pinball = [], []
    for h in (2, 5):
        error = (future - ahead)[:, :h]
        squared.append(np.nanmean(error**2))
        losses = []
        for k, q in enumerate(quantiles):
            error = (future - spread[..., k])[:, :h]
            losses.append(np.nanmean(np.where(error >= 0, q * error, (q - 1) * error)))
        pinball.append(np.mean(losses))
    tensors = torch.tensor(ahead), torch.tensor(future)
    np.testing.assert_allclose(forecast_loss(*tensors, (2, 5)), np.mean(squared))
    found = forecast_loss(torch.tensor(spread), tensors[1], (2, 5), quantiles)
    np.testing.assert_allclose(found, np.mean(pinball))


def test_missing_labels_send_no_gradient():
    ahead = torch.zeros(2, 3, 1, requires_grad=True)
    future = torch.tensor([1.0, torch.nan, 2.0]).view(1, 3, 1).repeat(2, 1, 1)
    forecast_loss(ahead, future, (3,)).backward()
    assert ahead.grad[:, 1].abs().sum() == 0 and ahead.grad.isfinite().all()


# --- network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_last_value_normalisation_moves_with_the_level(backbone, channels):
    model, x = network(backbone=backbone, channels=channels), batch()
    ahead = model(x)
    assert ahead.shape == (5, 6, 2)
    torch.testing.assert_close(model(x + 3), ahead + 3, rtol=1e-4, atol=1e-4)


def test_revin_moves_with_level_and_scale():
    model, x = network(normalise="revin"), batch()
    torch.testing.assert_close(model(10 * x + 3), 10 * model(x) + 3, rtol=1e-3, atol=1e-3)
    plain = network(normalise="none")
    assert not torch.allclose(plain(x + 3), plain(x) + 3, atol=0.1)


def test_channels_are_read_apart_or_together():
    x = batch()
    other = x.clone()
    other[..., 1] += torch.randn(5, 24, generator=generator(5))
    alone, joint = network(), network(channels="joint")
    torch.testing.assert_close(alone(x)[..., 0], alone(other)[..., 0])
    torch.testing.assert_close(alone(x.flip(2)), alone(x).flip(2))
    assert not torch.allclose(joint(x)[..., 0], joint(other)[..., 0], atol=1e-4)
    assert alone(x[..., :1]).shape == (5, 6, 1)  # any number of channels


def test_vectors_end_with_the_window_whatever_the_backbone():
    """The last of them is that of the last step, one every patch before it."""
    x = batch(channels=1)
    for backbone in BACKBONES:
        model = network(1, backbone=backbone)
        seen = model.seen(x)[0]
        rows = model.encoder(seen)[:, [7, 15, 23]]
        torch.testing.assert_close(model.vectors(seen), rows.flatten(1))
        torch.testing.assert_close(model.summary(seen), rows.mean(1))


@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_known_inputs_act_linearly_at_their_time(channels):
    model = network(known=3, channels=channels)
    x, known = batch(), torch.randn(5, 30, 3, generator=generator(2))
    moved = known.clone()
    moved[:, 24 + 4] += torch.tensor([1.0, -2.0, 0.5])  # the fifth step of the forecast
    change = model(x, moved) - model(x, known)
    effect = model.ahead.weight.detach() @ torch.tensor([1.0, -2.0, 0.5])
    expected = torch.zeros(5, 6, 2)
    expected[:, 4] = effect
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)


def test_past_inputs_are_read_and_not_forecast():
    model = network(past=2)
    x = batch(channels=4)
    other = x.clone()
    other[..., 2:] = torch.randn(5, 24, 2, generator=generator(9))
    assert model(x).shape == (5, 6, 2)
    assert not torch.allclose(model(x), model(other), atol=1e-5)


@given(seed=st.integers(0, 1000), channels=st.sampled_from(["independent", "joint"]))
@settings(max_examples=15, deadline=None)
def test_quantiles_do_not_cross(seed, channels):
    model = network(quantiles=(0.1, 0.5, 0.9), seed=seed, channels=channels)
    ahead = model(5 * batch(seed=seed))
    assert ahead.shape == (5, 6, 2, 3)
    assert bool((ahead.diff(dim=-1) > 0).all())


def test_every_origin_is_forecast_whatever_the_batch():
    series = made_series(2)
    values, rows = series.values[0], series.split.test
    model = network(horizon=12)
    data = evaluation_windows(values, rows, 24, (4, 12))
    assert data.starts.tolist() == origins(rows, 4).tolist()
    ahead = predictions(model, data, batch_size=14)  # 7 origins at a time do not divide 136
    assert len(ahead) == len(data.starts) and len(ahead) % 7
    torch.testing.assert_close(torch.from_numpy(predictions(model, data)), torch.from_numpy(ahead))
    found = {h: as_forecast(ahead, data, h) for h in (4, 12)}
    scores = score(found, series)
    starts = origins(rows, 12)
    with torch.no_grad():
        past = np.stack([values[t - 23 : t + 1] for t in starts])
        expected = model(torch.from_numpy(past)).numpy()
    truth = np.stack([values[t + 1 : t + 13] for t in starts])
    np.testing.assert_allclose(
        scores["horizons"]["12"]["mse"], np.mean((expected - truth) ** 2), rtol=1e-5
    )


def test_the_validation_error_is_the_loss_of_a_loop_over_origins():
    series = made_series(2)
    values, rows = series.values[0], series.split.valid
    model = network(horizon=12)
    data = evaluation_windows(values, rows, 24, (4, 12))
    errors = {4: [], 12: []}
    for t in range(rows.start, rows.stop - 4):
        with torch.no_grad():
            ahead = model(torch.from_numpy(values[None, t - 23 : t + 1]))[0].double().numpy()
        for horizon, found in errors.items():
            truth = values[t + 1 : min(t + 1 + horizon, rows.stop)].astype(np.float64)
            found.append(np.square(ahead[: len(truth)] - truth).ravel())
    expected = np.mean([np.concatenate(found).mean() for found in errors.values()])
    assert validation_error(model, data, (4, 12)) == pytest.approx(expected, rel=1e-5)


def test_evaluation_is_deterministic_and_leaves_the_mode():
    series = made_series()
    model = network(1, dropout=0.5).train()
    data = evaluation_windows(series.values[0], series.split.valid, 24, (6,))
    np.testing.assert_array_equal(predictions(model, data), predictions(model, data))
    assert model.training


@pytest.mark.parametrize(
    ("shape", "known", "message"),
    [
        ((5, 24, 3), None, "3 channels, expected 2"),
        ((5, 23, 2), None, "23 steps, expected the look-back of 24"),
        ((5, 24, 2), (5, 30, 1), r"known inputs have shape \(30, 1\), expected None"),
    ],
)
def test_inputs_of_another_shape(shape, known, message):
    model = network()
    joint = network(channels="joint") if shape[2] == 3 else model
    with pytest.raises(UserError, match=message):
        joint(torch.zeros(shape), None if known is None else torch.zeros(known))


def test_known_inputs_that_are_missing():
    with pytest.raises(UserError, match=r"shape None, expected \(30, 3\)"):
        network(known=3)(batch())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 48}, "patch: found 48, expected at most the look-back of 24"),
        ({"depth": 0}, "depth: found 0"),
        ({"quantiles": (0.9, 0.1)}, "quantiles: found"),
        ({"quantiles": (0.0,)}, "quantiles: found"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(UserError, match=message):
        ForecasterConfig(**{**SMALL, **settings})

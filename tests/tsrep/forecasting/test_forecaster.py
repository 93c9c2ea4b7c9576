"""The fitted forecaster: saved and loaded, on histories, with quantiles and exogenous inputs."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from tests.tsrep.made_series import made_series, with_other_test_rows
from tspcrep.common.errors import DataWarning, UserError
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets.series import Scaler, Series
from tsrep.evaluation import forecasts
from tsrep.forecasting import fitting, forecaster
from tsrep.forecasting.files import load_forecaster, save_forecaster
from tsrep.forecasting.fitting import fit_forecaster, interval_scores, linear_path
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.protocol import origins
from tsrep.forecasting.task import inputs_of, window_vectors
from tsrep.forecasting.training import LearningConfig, Settings

SETTINGS = Settings(
    ForecasterConfig(look_back=24, dim=8, heads=2, patch=8),
    ContrastConfig("moco2", width=6, queue=32, windows=8),
    LearningConfig(snapshots=1),
    Training(epochs=2, max_steps=8, batch_size=16, device="cpu"),
)


def driven_series(rows=700, seed=0):
    """Two hourly columns; the first follows the price of the same hour, the second leads it."""
    rng = np.random.default_rng(seed)
    price = rng.normal(size=rows)
    values = np.stack([0.3 * rng.normal(size=rows) - 2 * price, np.roll(price, -1), price], 1)
    made = made_series(2, rows)
    scaler = Scaler.fit(values[made.split.train])
    names = ("load", "hint", "price")
    changes = {"values": scaler.transform(values)[None], "columns": names, "scaler": scaler}
    return replace(made, **changes)


@pytest.fixture(scope="module", params=["product", "alone", "joint"])
def fitted(request):
    data = inputs_of(made_series(2))
    settings = SETTINGS
    if request.param == "joint":
        settings = replace(settings, model=replace(settings.model, channels="joint"))
    linear = request.param != "alone"
    return fit_forecaster(data, settings, 0, None, (4, 12), linear=linear), data


def raw(series: Series, stop: int):
    return series.scaler.inverse(series.values[0, :stop]), series.times[:stop]


def test_a_prediction_is_the_forecast_of_the_last_row(fitted):
    model, data = fitted
    series = data.series
    found = model.forecasts(data)
    for horizon in (4, 12):
        for start in origins(series.split.test, 12)[[0, 50, -1]]:
            history, times = raw(series, start + 1)
            ahead = series.scaler.transform(model.predict(history, times, horizon))
            expected = found[horizon](np.array([start]))[0]
            np.testing.assert_allclose(ahead, expected, atol=1e-4)
    short = model.predict(history, times, 7)  # served by the path of 12 steps
    np.testing.assert_allclose(short, model.predict(history, times)[:7])


def test_absent_rows_of_a_history_are_empty_ones(fitted):
    model, data = fitted
    history, times = raw(data.series, 500)
    holes = [470, 471, 472, 480, 481, 490, 498]
    empty = history.copy()
    empty[holes] = np.nan
    kept = np.setdiff1d(np.arange(500), holes)
    expected = model.predict(empty, times)
    with pytest.warns(DataWarning, match="7 of 500 hours have no row"):
        np.testing.assert_allclose(model.predict(history[kept], times[kept]), expected)
    frame = pd.DataFrame(empty, index=times, columns=["a", "b"]).assign(other=1.0)
    np.testing.assert_allclose(model.predict(frame[["other", "b", "a"]]), expected)


def test_nothing_but_the_look_back_is_read(fitted):
    model, data = fitted
    history, times = raw(data.series, 500)
    part = slice(500 - model.look_back, 500)
    np.testing.assert_allclose(
        model.predict(history[part], times[part]), model.predict(history, times), atol=1e-4
    )


def test_saved_and_loaded_it_predicts_the_same(fitted, tmp_path):
    model, data = fitted
    save_forecaster(tmp_path / "forecaster.safetensors", model)
    again = load_forecaster(tmp_path)
    history, times = raw(data.series, 500)
    np.testing.assert_array_equal(again.predict(history, times), model.predict(history, times))
    quantiles = [f.predict_quantiles(history, (0.2, 0.7), times) for f in (model, again)]
    np.testing.assert_array_equal(*quantiles)
    assert again.names == model.names and again.horizons == model.horizons


def test_quantiles_are_those_of_the_errors_and_rise(fitted):
    model, data = fitted
    series = data.series
    history, times = raw(series, 500)
    asked = (0.05, 0.3, 0.31, 0.5, 0.95)
    found = model.predict_quantiles(history, asked, times, 4)
    assert found.shape == (4, 2, 5) and (np.diff(found) >= 0).all()
    off = series.scaler.transform(found.transpose(2, 0, 1)) - series.scaler.transform(
        model.predict(history, times, 4)
    )
    expected = model.path(4).spread.quantiles(asked).transpose(2, 0, 1)
    np.testing.assert_allclose(off, expected, atol=1e-3)
    scores = interval_scores(model, data, model.forecasts(data), series.split.test)
    shares = scores["coverage"]
    assert all(0.7 < share < 0.9 for share in shares.values()), shares  # of .8, on new rows
    wide = interval_scores(model, data, model.forecasts(data), series.split.test, 0.05, 0.95)
    assert all(wide["coverage"][h] > shares[h] for h in shares)
    assert all(wide["width"][h] > scores["width"][h] for h in shares)
    assert wide["crps"] == scores["crps"]


def test_interval_scores_are_those_of_the_quantiles_that_are_predicted(fitted):
    model, data = fitted
    series = data.series
    starts = list(range(series.split.test.start, series.split.test.stop - 4))
    inside, width, losses = [], [], []
    for start in starts:
        history, times = raw(series, start)
        found = model.predict_quantiles(history, np.arange(1, 10) / 10, times, 4)
        found = series.scaler.transform(found.transpose(2, 0, 1))  # (level, step, channel)
        truth = series.values[0, start : start + 4]
        inside.append((truth >= found[0]) & (truth <= found[-1]))
        width.append(found[-1] - found[0])
        for level, quantile in zip(np.arange(1, 10) / 10, found, strict=True):
            losses.append(2 * np.where(truth > quantile, level, 1 - level) * abs(truth - quantile))
    rows = series.split.test
    scores = interval_scores(model, data, model.forecasts(data), rows)
    assert scores["coverage"]["4"] == pytest.approx(np.mean(inside), abs=0.02)
    assert scores["width"]["4"] == pytest.approx(np.mean(width), rel=0.01)
    assert scores["crps"]["4"] == pytest.approx(np.mean(losses), rel=0.01)


def test_vectors_are_taken_where_they_help_throughout(monkeypatch):
    """Vectors that hold the future are; those that hold it for some of the rows alone are not."""
    data = inputs_of(made_series())
    values, valid = data.series.values[0], data.series.split.valid
    ahead = np.stack([np.roll(values[:, 0], -h) for h in range(1, 9)], 1)[None]
    part = ahead.copy()
    part[:, valid.stop - 35 :] *= -3  # more wrong in the last quarter than right before
    shares = {}
    for name, vectors in (("all", ahead), ("part", part)):
        monkeypatch.setattr(fitting, "window_vectors", lambda *_, v=vectors: v.astype(np.float32))
        monkeypatch.setattr(forecaster, "window_vectors", fitting.window_vectors)
        choice = fit_forecaster(data, SETTINGS, 0, None, (4,)).choices["4"]
        shares[name] = sum(s for n, s in choice["shares"].items() if "vectors" in n)
        assert sum(choice["shares"].values()) == pytest.approx(1)
        if name == "all":
            linear = choice["errors"]["linear path, validation rows"]
            assert choice["error"] < 0.2 * linear
    assert shares == {"all": pytest.approx(1), "part": 0}


def test_vectors_are_those_of_each_window(fitted):
    model, data = fitted
    task = data.task()
    found = window_vectors(model.network, task, slice(10, 60))
    assert not found[:, :10].any() and not found[:, 60:].any()
    values = task.values
    for t in (10, 23, 59):
        window = values[np.maximum(np.arange(t - 23, t + 1), 0)]  # the first before the first
        with torch.inference_mode():
            seen = model.network.seen(torch.from_numpy(window[None]))[0]
            expected = model.network.summary(seen).numpy()
        np.testing.assert_allclose(found[:, t], expected, atol=1e-5)


def test_test_rows_are_never_seen():
    series = made_series()
    models = [
        fit_forecaster(inputs_of(one), SETTINGS, 0, None, (4,))
        for one in (series, with_other_test_rows(series))
    ]
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_known_input_is_followed_and_a_useless_one_is_not():
    data = inputs_of(driven_series(), known=("price",))
    model = fit_forecaster(data, SETTINGS, 0, None, (4,))
    series = data.series
    assert series.columns == ("load", "hint") and data.known.shape == (700, 1)
    assert abs(float(model.effect[0, 0])) > 0.9, model.effect
    without = fit_forecaster(inputs_of(made_series(2)), SETTINGS, 0, None, (4,))
    assert without.effect.shape == (0, 2)
    score = forecasts.score(model.forecasts(data), series)["average"]["mse"]
    blind = forecasts.score(linear_path(inputs_of(series), (4,)), series)["average"]["mse"]
    assert score < 0.7 * blind

    history, times = raw(series, 600)
    table = driven_series()
    price = table.scaler.inverse(table.values[0])[:, 2:]
    found = model.predict(history, times, 4, known=price[:604])
    expected = model.forecasts(data)[4](np.array([599]))[0]
    np.testing.assert_allclose(series.scaler.transform(found), expected, atol=1e-4)
    other = price[:604].copy()
    other[602] += 1
    change = model.predict(history, times, 4, known=other) - found
    assert abs(change[2, 0] + 2) < 0.4 and abs(change[[0, 1, 3], 0]).max() < 0.2, change

    rng = np.random.default_rng(1)
    noise = replace(data, known=rng.normal(size=data.known.shape))
    assert not fit_forecaster(noise, SETTINGS, 0, None, (4,)).effect.any()


def test_the_linear_path_follows_a_known_input():
    """Two columns: without its price the first is noise of deviation 2 around 0."""
    data = inputs_of(driven_series(), known=("price",))
    blind = linear_path(inputs_of(data.series), (4,))[4]
    found = linear_path(data, (4,))[4]
    errors = [forecasts.score({4: f}, data.series)["average"]["mse"] for f in (blind, found)]
    assert errors[1] < 0.7 * errors[0]
    starts = np.array([600, 650])
    known = data.known.copy()
    known[602] += 1  # the second step from 600
    change = linear_path(replace(data, known=known), (4,))[4](starts) - found(starts)
    slope = change[0, 1, 0]
    assert slope < -0.9 and np.abs(np.delete(change[0, :, 0], 1)).max() < 0.1 * abs(slope)
    assert np.abs(change[1]).max() < 0.1 * abs(slope)
    rng = np.random.default_rng(1)
    noise = replace(data, known=rng.normal(size=data.known.shape).astype(np.float32))
    np.testing.assert_array_equal(linear_path(noise, (4,))[4](starts), blind(starts))


def test_a_past_input_is_read():
    data = inputs_of(driven_series(), past=("hint",))
    model = fit_forecaster(data, SETTINGS, 0, None, (4,), linear=False)
    history, times = raw(data.series, 600)
    table = driven_series()
    hint = table.scaler.inverse(table.values[0])[:600, 1:2]
    found = model.predict(history, times, past=hint)
    assert not np.allclose(found, model.predict(history, times, past=hint[::-1]))
    with pytest.raises(UserError, match=r"past inputs .* expected \(600, 1\): the columns hint"):
        model.predict(history, times)


def test_a_pinball_network_under_the_product_predicts(tmp_path):
    settings = replace(SETTINGS, model=replace(SETTINGS.model, quantiles=(0.1, 0.5, 0.9)))
    data = inputs_of(made_series())
    for linear in (True, False):
        model = fit_forecaster(data, settings, 0, None, (4,), linear=linear)
        history, times = raw(data.series, 500)
        assert model.predict(history, times).shape == (4, 1)
        save_forecaster(tmp_path / "f.safetensors", model)
        again = load_forecaster(tmp_path / "f.safetensors")
        np.testing.assert_array_equal(again.predict(history, times), model.predict(history, times))


def test_intervals_are_wide_where_a_pinball_network_expects_to_err():
    """A past input tells the size of the noise."""
    size = np.where(np.arange(1500) // 50 % 2, 2.0, 0.3)
    table = np.stack([np.random.default_rng(0).normal(size=1500) * size, size], axis=1)
    made, scaler = made_series(2, 1500), Scaler.fit(table)
    changes = {"values": scaler.transform(table)[None], "scaler": scaler}
    data = inputs_of(replace(made, columns=("noise", "size"), **changes), past=("size",))
    network = replace(SETTINGS.model, quantiles=(0.1, 0.5, 0.9), normalise="none")
    training = replace(SETTINGS.training, epochs=20, max_steps=200)
    learning = LearningConfig(learning_rate=1e-2)
    training = replace(SETTINGS.training, epochs=20, max_steps=200)
    settings = Settings(network, ContrastConfig("none"), learning, training)
    series, test = data.series, data.series.split.test
    for linear in (False, True):
        fitted = fit_forecaster(data, settings, 0, None, (1,), linear=linear)
        starts = origins(test, 1)
        unit = fitted.widths(data, test)[1](starts)[:, 0, 0]
        wild = size[starts] > 1
        assert unit[wild].mean() > 2 * unit[~wild].mean(), linear
        assert (
            0.7 < interval_scores(fitted, data, fitted.forecasts(data), test)["coverage"]["1"] < 0.9
        )
        history, times = raw(series, starts[5] + 1)
        past = size[: starts[5] + 1, None]
        low, high = fitted.predict_quantiles(history, (0.25, 0.75), times, past=past)[0, 0]
        expected = np.diff(fitted.path(1).spread.quantiles((0.25, 0.75))[0, 0])[0]
        assert high - low == pytest.approx(unit[5] * expected * series.scaler.std[0], rel=1e-3)


def hours(count, freq="h"):
    return pd.date_range("2024-01-01", periods=count, freq=freq)


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ((500, 3), {"times": hours(500)}, r"history has shape \(500, 3\), expected \(steps, 2\)"),
        ((10, 2), {"times": hours(10)}, "history has 10 steps, expected at least"),
        ((500, 2), {"times": hours(500), "horizon": 13}, "horizon: found 13, expected 1 to 12"),
        ((500, 2), {}, "times: found 0, expected one for each of the 500 steps"),
        ((500, 2), {"times": hours(500, "MS")}, "frequency cannot be inferred, or is not that"),
    ],
)
def test_what_cannot_be_predicted(history, options, message):
    model = fit_forecaster(inputs_of(made_series(2)), SETTINGS, 0, None, (4, 12))
    with pytest.raises(UserError, match=message):
        model.predict(np.zeros(history), **options)


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1])
def test_quantiles_that_cannot_be(fitted, quantile):
    history, times = raw(fitted[1].series, 500)
    with pytest.raises(UserError, match="quantiles: found"):
        fitted[0].predict_quantiles(history, (0.5, quantile), times)


def test_columns_that_are_not_there():
    series = made_series(2)
    with pytest.raises(UserError, match="no column 'wind'"):
        inputs_of(series, known=("wind",))
    with pytest.raises(UserError, match="expected at least one other to forecast"):
        inputs_of(series, known=("a",), past=("b",))


def test_files_that_hold_no_forecaster(tmp_path):
    path = tmp_path / "forecaster.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_forecaster(path)
    save_file({"x": torch.zeros(1)}, str(path), {"kind": "tsrep.DilatedConv", "config": "{}"})
    with pytest.raises(UserError, match=r"expected a 'tsrep\.SeriesForecaster'"):
        load_forecaster(path)
    save_file({"x": torch.zeros(1)}, str(path), {"kind": "tsrep.SeriesForecaster", "config": "{}"})
    with pytest.raises(UserError, match="a header of another version"):
        load_forecaster(path)

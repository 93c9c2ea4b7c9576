"""One forecaster of many series against ridges on stacked windows, and on unseen series."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Split
from tsrep.forecasting import rolling
from tsrep.forecasting.candidates import LagRidge
from tsrep.forecasting.choice import Choice
from tsrep.forecasting.global_model import (
    _candidates,
    _fitted,
    _groups,
    _shape,
    fit_global,
)
from tsrep.forecasting.global_windows import GlobalWindows
from tsrep.forecasting.probe import Inputs


def weekly(count=12, rows=(100, 160), seed=0, noise=0.05):
    """Days of sales of shops of unlike size, which share a week and end on unlike days."""
    rng, found = np.random.default_rng(seed), []
    week = np.array([1.0, 0.9, 1.0, 1.1, 1.5, 2.0, 0.3])
    for i in range(count):
        end = pd.Timestamp("2024-12-31") - pd.Timedelta(days=i % 3)
        days = pd.date_range(end=end, periods=int(rng.integers(*rows)), freq="D")
        values = 10.0 ** (i % 4) * week[days.dayofweek] * (1 + noise * rng.normal(size=len(days)))
        found.append(pd.Series(values, days, name=f"s{i}"))
    return found


def stacked(series, lags, horizon):
    """Windows of all series cut one by one: [lags], [next values], standardised by themselves."""
    x, y = [], []
    for one in series:
        values = ((one - one.mean()) / one.std(ddof=0)).to_numpy()
        for t in range(lags - 1, len(values) - horizon):
            x.append(values[t - lags + 1 : t + 1])
            y.append(values[t + 1 : t + 1 + horizon])
    return np.array(x), np.array(y)


def test_the_fit_is_one_ridge_on_the_windows_of_all_series():
    series, lags, horizon, candidate = weekly(), 14, 5, LagRidge(14, False)
    windows = GlobalWindows(_groups(series, 1.0), lags, horizon)
    choice = Choice({candidate.name: 1.0}, {candidate.name: 2}, {}, {}, *[np.zeros(0)] * 3)
    found = _fitted(windows, windows.moments(None, None), lags, [candidate], choice)
    x, y = stacked(series, lags, horizon)
    centred = x - x.mean(axis=0)
    penalty = 10.0 * np.eye(lags)  # the third setting
    weight = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(found.weight[windows.calendar :], weight, atol=1e-8)
    np.testing.assert_allclose(found.bias, y.mean(axis=0) - x.mean(axis=0) @ weight, atol=1e-8)
    assert not found.weight[: windows.calendar].any()


def test_a_panel_of_one_series_is_fitted_as_a_single_one():
    (one,) = weekly(1, (300, 301))
    model = fit_global([one], 7)
    periods, lags, level = _shape([one])
    (group,) = _groups([one], 1.0)
    rows = slice(0, len(one))
    inputs = Inputs(
        group.values.astype(np.float64),
        np.zeros((1, len(one), 0), np.float32),
        group.calendar,
        Split(rows, slice(len(one), len(one)), slice(len(one), len(one))),
        drop=lags - 1,
    )
    top = model.rungs[-1]
    by_name = {c.name: c for c in _candidates(periods, lags, level, True)}
    parts = [
        (by_name[name], top.choice.settings[name], share)
        for name, share in top.choice.shares.items()
    ]
    (expected,) = rolling.fit(rolling.Windows(inputs, lags), parts, 7)
    np.testing.assert_allclose(top.map.weight, expected.weight, atol=1e-8)
    np.testing.assert_allclose(top.map.bias, expected.bias, atol=1e-8)


def test_each_series_is_scaled_by_itself():
    series = weekly()
    changed = [series[0] * 1000 - 5, *series[1:]]
    before, after = fit_global(series, 7), fit_global(changed, 7)
    ahead = [before.forecast(one) for one in series[:2]]
    np.testing.assert_allclose(after.forecast(changed[0]), ahead[0] * 1000 - 5, rtol=1e-6)
    np.testing.assert_allclose(after.forecast(series[1]), ahead[1], rtol=1e-6)


def errors(model, histories, futures):
    scale = [one.std() for one in futures]
    found = [
        np.abs(model.forecast(h) - f.to_numpy()).mean() / s
        for h, f, s in zip(histories, futures, scale, strict=True)
    ]
    return float(np.mean(found))


@pytest.mark.parametrize(("rows", "share"), [(3, 0.7), (10, 0.4), (40, 0.3)])
def test_a_new_series_of_a_few_steps_is_forecast_by_what_others_do(rows, share):
    """Against the last value again and again."""
    model = fit_global(weekly(), 7)
    new = weekly(9, seed=1)
    histories, futures = [s.iloc[-7 - rows : -7] for s in new], [s.iloc[-7:] for s in new]
    naive = np.mean(
        [np.abs(h.iloc[-1] - f).mean() / f.std() for h, f in zip(histories, futures, strict=True)]
    )
    assert errors(model, histories, futures) < share * naive


def test_many_short_series_teach_what_one_cannot():
    series = weekly(40, (30, 40), noise=0.3)
    known, futures = [s.iloc[:-7] for s in series], [s.iloc[-7:] for s in series]
    together = errors(fit_global(known, 7), known, futures)
    apart = np.mean(
        [errors(fit_global([k], 7), [k], [f]) for k, f in zip(known, futures, strict=True)]
    )
    assert together < 0.9 * apart


def test_random_walks_are_forecast_by_their_last_value():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=200, freq="D")
    walks = [pd.Series(rng.normal(size=200).cumsum(), days, name=f"s{i}") for i in range(20)]
    model = fit_global(walks, 5)
    for one in walks:
        assert np.abs(model.forecast(one) - one.iloc[-1]).max() < 0.5
    later = [one.iloc[-1] + rng.normal(size=(50, 5)).cumsum(axis=1) for one in walks]
    inside = []
    for one, ways in zip(walks, later, strict=True):
        low, high = model.quantiles(one, (0.1, 0.9)).T
        inside.append((ways > low) & (ways < high))
    assert 0.74 < np.mean(inside) < 0.86


def test_missing_values_are_no_truth_and_ends_without_any_are_cut():
    series = weekly()
    holes = [one.copy() for one in series]
    for one in holes:
        one.iloc[20:24] = np.nan
    model = fit_global(holes, 7)
    assert errors(model, [h.iloc[:-7] for h in holes], [s.iloc[-7:] for s in series]) < 0.5
    longer = series[0].reindex(series[0].index.union(pd.date_range("2025-01-01", "2025-01-09")))
    np.testing.assert_array_equal(model.forecast(longer), model.forecast(series[0]))


def test_too_short_to_choose():
    days = pd.date_range("2024-01-01", periods=4, freq="D")
    series = [pd.Series([1.0, 2, 4, 3], days, name="a"), pd.Series([5.0], days[:1], name="b")]
    model = fit_global(series, 10)
    np.testing.assert_array_equal(model.forecast(series[0]), np.full(10, 3.0))
    np.testing.assert_array_equal(model.forecast(series[1]), np.full(10, 5.0))
    low, high = model.quantiles(series[0], (0.1, 0.9)).T
    assert (low < 3).all() and (high > 3).all() and (np.diff(high - low) > 0).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 11, 12, 13, 16, 20, 29])
@pytest.mark.parametrize("late", [False, True])
def test_any_length_is_forecast(rows, late):
    """Alone, and beside a series that begins where it ends."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    values = 5 + np.random.default_rng(0).normal(size=60)
    series = [pd.Series(values[:rows], days[:rows], name="a")]
    if late:
        series.append(pd.Series(values[rows:], days[rows:], name="b"))
    model = fit_global(series, 3)
    for one in series:
        low, high = model.quantiles(one, (0.1, 0.9)).T
        assert np.isfinite(model.forecast(one)).all() and (low <= high).all()


def test_a_constant_series_stays_so_and_does_no_harm():
    series = weekly()
    flat = pd.Series(7.0, series[0].index, name="flat")
    model, without = fit_global([*series, flat], 7), fit_global(series, 7)
    np.testing.assert_array_equal(model.quantiles(flat, (0.1, 0.9)), np.full((7, 2), 7.0))
    np.testing.assert_allclose(model.forecast(series[0]), without.forecast(series[0]))
    only = fit_global([flat], 3)
    np.testing.assert_array_equal(only.forecast(flat), np.full(3, 7.0))


def test_steps_without_dates():
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(120) * 2 * np.pi / 6)
    series = [pd.Series(wave + 0.05 * rng.normal(size=120), name=f"s{i}") for i in range(4)]
    model = fit_global([s.iloc[:-6] for s in series], 6)
    assert errors(model, [s.iloc[:-6] for s in series], [s.iloc[-6:] for s in series]) < 0.15


@pytest.mark.parametrize(
    ("series", "horizon", "message"),
    [
        ([pd.Series([np.nan, np.nan], name="a")], 2, "no series holds a number"),
        ([pd.Series([1.0, np.inf, 2.0], name="a")], 2, "series 'a' is infinite at 1"),
        ([pd.Series([1.0, 2.0], name="a")], 0, "horizon: found 0"),
        ([], 1, "no series holds a number"),
    ],
)
def test_bad_input_is_one_line(series, horizon, message):
    with pytest.raises(UserError, match=message) as caught:
        fit_global(series, horizon)
    assert "\n" not in str(caught.value)


def test_bad_histories_and_quantiles():
    model = fit_global(weekly(), 7)
    with pytest.raises(UserError, match="series 'x' holds no number"):
        model.forecast(pd.Series([np.nan], pd.date_range("2024-01-01", periods=1), name="x"))
    with pytest.raises(UserError, match="quantiles"):
        model.quantiles(weekly()[0], (0.5, 1.5))

"""The GIFT-Eval suite: scores by hand, and the published seasonal naive to its digits."""

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tsrep.evaluation.quantiles import LEVELS, pinball, scaled_errors, weighted_quantile_loss


@pytest.fixture
def gift(suite):
    return suite("gift")


@pytest.fixture
def gift_peers(suite):
    return suite("gift_peers")


def test_scores_are_loops():
    rng = np.random.default_rng(0)
    truth, found, history = rng.normal(size=8), rng.normal(size=(8, 9)), rng.normal(size=40)
    total = 0.0
    for k, q in enumerate(LEVELS):
        losses = [
            max(q * (y - f), (q - 1) * (y - f)) for y, f in zip(truth, found[:, k], strict=True)
        ]
        total += 2 * sum(losses) / sum(abs(y) for y in truth) / 9
        np.testing.assert_allclose(pinball(truth, found)[:, k], 2 * np.array(losses))
    assert weighted_quantile_loss(truth, found) == pytest.approx(total)
    some = truth.copy()
    some[3] = np.nan
    rest = np.arange(8) != 3
    expected = weighted_quantile_loss(truth[rest], found[rest])
    assert weighted_quantile_loss(some, found) == pytest.approx(expected)
    scale = sum(abs(history[t] - history[t - 7]) for t in range(7, 40)) / 33
    expected = np.abs(truth - found[:, 4]) / scale
    np.testing.assert_allclose(scaled_errors(truth, found[:, 4], history, 7), expected)
    short = scaled_errors(truth, found[:, 4], history[:5], 7)
    np.testing.assert_allclose(short * np.abs(np.diff(history[:5])).mean(), expected * scale)


@pytest.mark.data
@pytest.mark.skipif("TSPCREP_DATA" not in os.environ, reason="TSPCREP_DATA is not set")
@pytest.mark.parametrize(
    ("task", "mase", "loss"),
    [
        ("ett1/15t/short", 0.93415, 0.24136),
        ("ett1/15t/medium", 1.18831, 0.32155),
        ("ett1/15t/long", 1.19089, 0.34018),
        ("ett1/h/short", 0.97732, 0.24037),
        ("ett1/h/medium", 1.56780, 0.43491),
        ("ett1/h/long", 1.47870, 0.47106),
        ("ett1/d/short", 1.77837, 0.40843),
        ("m4_hourly/h/short", 1.19321, 0.03757),
        ("m4_weekly/w/short", 2.77730, 0.06087),
    ],
)
def test_the_seasonal_naive_forecast_scores_as_published(gift, task, mase, loss):
    case = next(case for case in gift.CASES if case.name == task)
    found = gift.score(case, list(gift._series(case)), gift.seasonal_naive)
    assert found[:2] == pytest.approx((mase, loss), abs=6e-6)
    if task == "m4_weekly/w/short":  # without a season it is the benchmark of M4
        assert found.smape == pytest.approx(gift.NAIVE2[task][0], abs=6e-4)
        assert gift.overall_weighted_average(case, found) == pytest.approx(1, abs=2e-4)
    if task == "m4_hourly/h/short":  # M4's table of methods: sNaive
        assert found.smape == pytest.approx(13.912, abs=6e-4)


def test_means_are_geometric(gift):
    names = [case.name for case in gift.CASES]
    values = {
        (n, "seasonal_naive", m): 2.0 for n in names for m in ("mase", "weighted_quantile_loss")
    }
    values |= {(n, "product", "mase"): 2.0 * 0.5 ** (k % 3) for k, n in enumerate(names)}
    rows = {(row.system, row.metric): row.value for row in gift.means(values)}
    assert rows["product", "mase_over_naive"] == pytest.approx(0.5)
    assert ("product", "weighted_quantile_loss_over_naive") not in rows  # not on all tasks


def test_intervals_of_a_peer_are_quantiles(gift_peers, monkeypatch):
    """The interval of 80 % lies between the quantiles .1 and .9, that of 20 % between .4 and .6."""

    class Model:
        def __init__(self, season_length):
            assert season_length == 24

        def forecast(self, y, h, level):
            found = {"mean": np.full(h, 0.5)}
            for one in level:
                found |= {
                    f"lo-{one}": np.full(h, 0.5 - one / 200),
                    f"hi-{one}": np.full(h, 0.5 + one / 200),
                }
            return found

    module = types.ModuleType("statsforecast")
    module.models = types.SimpleNamespace(AutoETS=Model)
    monkeypatch.setitem(sys.modules, "statsforecast", module)
    found = gift_peers.statistical("AutoETS")(np.arange(50.0), 3, 24, "h")
    np.testing.assert_allclose(found, np.tile(LEVELS, (3, 1)))


def test_a_peer_forecasts_each_channel_of_each_window(gift, gift_peers):
    def last(history, steps, season, frequency):
        assert (steps, season, frequency) == (48, 24, "h")
        return np.tile(history[-1] + np.array(LEVELS), (steps, 1))

    case = next(case for case in gift.CASES if case.name == "ett1/h/short")
    rng = np.random.default_rng(0)
    windows = [gift.Window(rng.normal(size=(60 + n, 2)), np.zeros((48, 2))) for n in range(3)]
    found = gift_peers.of_windows(last)(case, windows, None)
    for window, own in zip(windows, found, strict=True):
        assert own.shape == (48, 2, 9)
        np.testing.assert_allclose(own[7, :, 4], window.history[-1] + 0.5)


def test_a_peer_that_fails_costs_its_own_rows_alone(gift, monkeypatch, capsys):
    def fails(history, steps, season, frequency):
        raise RuntimeError("does not compile\nhere")

    case = next(case for case in gift.CASES if case.name == "ett1/d/short")
    random = np.random.default_rng(0)
    windows = [gift.Window(random.normal(size=(90, 1)), np.ones((30, 1)))]
    monkeypatch.setattr(gift, "_series", lambda case: [(windows, None)])
    monkeypatch.setattr(gift, "product", gift.seasonal_naive)
    monkeypatch.setattr(gift, "peers", lambda name: [("peer", fails)])
    monkeypatch.setattr(gift, "data_file", lambda name: Path(os.devnull))
    systems = {row.system for row in gift.rows(case.name)}
    assert systems == {"seasonal_naive", "product"}
    assert "left out peer, RuntimeError: does not compile\n" in capsys.readouterr().err

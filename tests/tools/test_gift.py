"""The GIFT-Eval suite: scores by hand, and the published seasonal naive to its digits."""

import os

import numpy as np
import pytest

from tsrep.evaluation.quantiles import LEVELS, pinball, scaled_errors, weighted_quantile_loss


@pytest.fixture
def gift(suite):
    return suite("gift")


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
    assert found == pytest.approx((mase, loss), abs=6e-6)


def test_means_are_geometric(gift):
    names = [case.name for case in gift.CASES]
    values = {
        (n, "seasonal_naive", m): 2.0 for n in names for m in ("mase", "weighted_quantile_loss")
    }
    values |= {(n, "product", "mase"): 2.0 * 0.5 ** (k % 3) for k, n in enumerate(names)}
    rows = {(row.system, row.metric): row.value for row in gift.means(values)}
    assert rows["product", "mase_over_naive"] == pytest.approx(0.5)
    assert ("product", "weighted_quantile_loss_over_naive") not in rows  # not on all tasks

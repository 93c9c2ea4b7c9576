"""Evaluation: errors by hand, choices that test rows cannot touch, summaries and their table."""

import numpy as np
import pytest
import torch

from tests.tsrep.made_series import made_series, with_other_test_rows
from tspcrep.common.errors import UserError
from tsrep.encoders import DilatedConv, PatchTransformer
from tsrep.evaluation import forecasts
from tsrep.evaluation.classification import CLASSIFICATION
from tsrep.evaluation.forecasts import FORECASTING
from tsrep.forecasting.probe import probe
from tsrep.forecasting.product import product


def encoder_of(channels=1, seed=0):
    torch.manual_seed(seed)
    return DilatedConv(channels, 5, 4, 2).eval()


def test_errors_by_a_loop_over_origins():
    series = made_series(2)
    encoder = encoder_of()
    found = forecasts.forecasting(encoder, encoder_of(seed=1), series, (4,))
    inputs, _ = forecasts.readout_inputs(encoder, series)
    fitted = {
        "product": product(inputs, (4,), series.period),
        "probe": probe(inputs, (4,)),
        "no_representation": forecasts.without_representation(inputs, series, (4,)),
    }
    values = series.values[0].astype(np.float64)

    def mse(forecast, rows):
        errors = [
            forecast(np.array([t]))[0] - values[t + 1 : t + 5]
            for t in range(rows.start, rows.stop - 4)
        ]
        return np.mean(np.square(errors))

    for name in ("product", "probe", "no_representation"):
        expected = mse(fitted[name][4], series.split.test)
        assert found[name]["average"]["mse"] == pytest.approx(expected, rel=1e-4)
    assert found["validation"] == found["choices"]["4"]["error"]


def test_validation_does_not_see_test_rows():
    series = made_series()
    encoders = encoder_of(), encoder_of(seed=1)
    first, second = (
        forecasts.forecasting(*encoders, data, (4, 12))
        for data in (series, with_other_test_rows(series))
    )
    assert first["validation"] == second["validation"]
    assert first["product"]["average"]["mse"] != second["product"]["average"]["mse"]


def test_best_seed_by_validation_alone():
    pretrained = [{"validation": v, "product": p} for v, p in ((0.5, 0.1), (0.3, 0.9), (0.4, 0.2))]
    assert FORECASTING.best_seed((7, 8, 9), pretrained) == 8
    classes = [{"validation": v, "accuracy": {}} for v in (0.5, 0.9, 0.7)]
    assert CLASSIFICATION.best_seed((7, 8, 9), classes) == 8


def scores(mse):
    return {
        "horizons": {"4": {"mse": mse, "mae": mse / 2}},
        "average": {"mse": mse, "mae": mse / 2},
    }


def summary_of(products):
    series = made_series()
    results = [
        {
            "product": scores(p),
            "probe": scores(2 * p),
            "no_representation": scores(0.9),
            "untrained": {"product": scores(3.0), "probe": scores(4.0)},
            "validation": p,
            "timing": {"encode_s": p},
        }
        for p in products
    ]
    seeds = tuple(range(len(products)))
    return forecasts.summary(series, seeds, results, {"persistence": scores(5.0)})


def test_summary_is_mean_and_deviation_over_seeds():
    found = summary_of([0.2, 0.4])
    assert found["average"]["mse"] == pytest.approx(0.3)
    assert found["average"]["mse_std"] == pytest.approx(0.1)
    assert found["horizons"]["4"] == pytest.approx({"mse": 0.3, "mae": 0.15})
    assert found["probe"]["average"]["mse"] == pytest.approx(0.6)
    assert found["controls"]["random_encoder"]["probe"]["average"]["mse"] == 4.0
    assert found["timing"] == {"encode_s": pytest.approx(0.3)}
    assert (found["task"], found["mode"], found["seeds"]) == ("forecasting", "univariate", [0, 1])


def test_table_marks_the_least_error_and_hides_the_other_readout():
    found = summary_of([0.2, 0.4])
    lines = FORECASTING.table(found).splitlines()
    assert lines[1].startswith("product") and lines[1].count("0.3000*") == 2
    assert lines[1].endswith("+- 0.1000")
    assert [line for line in lines[2:] if "*" in line] == []
    shown = FORECASTING.table(found, "probe")
    assert "product" not in shown and "random encoder, probe" in shown and "0.6000*" in shown


@pytest.mark.parametrize("horizons, word", [((0, 4), "at least 1"), ((200,), "horizon 200")])
def test_horizons_that_do_not_fit(horizons, word):
    with pytest.raises(UserError, match=word):
        forecasts.check_horizons(made_series(), horizons)


def test_the_least_series_that_is_admitted_is_evaluated():
    """What check_horizons lets pass must not fail later."""

    def parts(n):
        return int(n * 0.6), int(n * 0.8) - int(n * 0.6), n - int(n * 0.8)

    least = forecasts.HISTORY + 4, 5, 5  # a forecast of 4 steps starts from a row
    rows = next(
        n for n in range(10, 600) if all(p >= m for p, m in zip(parts(n), least, strict=True))
    )
    series = made_series(rows=rows)
    assert forecasts.check_horizons(series, (4,)) == (4,)
    forecasts.forecasting(encoder_of(), encoder_of(seed=1), series, (4,))
    forecasts.control_scores(series, (4,))
    with pytest.raises(UserError):
        forecasts.check_horizons(made_series(rows=rows - 2), (4,))


@pytest.mark.parametrize(
    "encoder",
    [DilatedConv(1, 4, 4, 1, causal=False), PatchTransformer(1, 4, 1, 1, 4, 4, 2)],
    ids=lambda e: type(e).__name__,
)
def test_an_encoder_that_looks_ahead_does_not_see_what_is_forecast(encoder):
    series = made_series(rows=120)
    other = with_other_test_rows(series)
    first, second = (
        forecasts.readout_inputs(encoder.eval(), s)[0].vectors for s in (series, other)
    )
    seen = series.split.test.start
    np.testing.assert_allclose(first[:, :seen], second[:, :seen], atol=1e-6)
    assert np.abs(first[:, seen:] - second[:, seen:]).max() > 0.01

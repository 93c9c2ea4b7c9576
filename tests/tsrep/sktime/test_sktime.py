"""The sktime estimators: sktime's own checks, none skipped, and what those do not ask."""

import pickle
import subprocess
import sys
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sktime")

from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from sktime.datasets import load_airline
from sktime.exceptions import NotFittedError
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.model_selection import ForecastingGridSearchCV
from sktime.pipeline import make_pipeline
from sktime.split import ExpandingWindowSplitter, SlidingWindowSplitter
from sktime.transformations.boxcox import LogTransformer
from sktime.transformations.impute import Imputer
from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from tsrep.sklearn import ContrastiveEncoder
from tsrep.sklearn.encoder import build_encoder
from tsrep.sktime import (
    ContrastiveAnomalyDetector,
    ContrastiveChangePoints,
    ContrastiveClassifier,
    ContrastiveClusterer,
    ContrastiveForecaster,
    ContrastiveRegressor,
    ContrastiveTransformer,
)
from tsrep.sktime.rolling import plan

ESTIMATORS = [
    ContrastiveTransformer,
    ContrastiveForecaster,
    ContrastiveClassifier,
    ContrastiveRegressor,
    ContrastiveClusterer,
    ContrastiveAnomalyDetector,
    ContrastiveChangePoints,
]
TINY = {"dim": 4, "depth": 1, "max_steps": 2, "window": 16, "batch_size": 8}

# What sktime itself says: it would like skpro for distributions, joins indices in a way that pandas
# 4 will change, and announces a new default whenever a forecaster of its own is made. Nothing else
# may warn.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Forecasters' predict_proba requires skpro:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sorting by default when concatenating"),
    pytest.mark.filterwarnings("ignore:The default of config ``remember_data``:FutureWarning"),
]


@parametrize_with_checks(ESTIMATORS)
def test_sktimes_checks(obj, test_name):
    found = check_estimator(obj, tests_to_run=test_name, raise_exceptions=True, verbose=False)
    assert set(found.values()) <= {"PASSED"}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_check_is_skipped(estimator):
    for tag in ("tests:skip_all", "tests:skip_by_name"):
        assert not estimator.get_class_tag(tag, None)
    assert estimator.get_class_tag("python_dependencies", None) is None  # or all would be passed by


def seasonal(rows=240, channels=1, seed=0, noise=0.2):
    """Daily data with a weekly season and a slow drift."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    values = np.sin(2 * np.pi * t / 7 + np.arange(channels)) + 0.005 * t
    values = values + noise * rng.normal(size=values.shape)
    index = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame(values, index=index, columns=list("abcd"[:channels]))


def panel_frame(n=4, rows=60, channels=1):
    frames = [seasonal(rows, channels, seed) * 10.0**seed for seed in range(n)]
    return pd.concat(frames, keys=range(n), names=["instance", "time"])


def unequal_panel(n=12, channels=2):
    rng = np.random.default_rng(0)
    y = np.array(["slow", "fast"])[np.arange(n) % 2]
    found = []
    for i in range(n):
        t = np.arange(20 + i)[:, None]
        values = np.sin(t * (0.3 if y[i] == "slow" else 1.0)) + 0.1 * rng.normal(
            size=(len(t), channels)
        )
        values[3, 0] = np.nan
        found.append(pd.DataFrame(values, columns=list("ab"[:channels])))
    return found, y


# --- forecaster ----------------------------------------------------------------------------------


def test_it_beats_the_seasonal_naive_and_a_longer_horizon_is_rolled():
    y = seasonal(280)
    train, test = y[:220], y[220:]
    forecaster = ContrastiveForecaster(**TINY).fit(train, fh=np.arange(1, 61))
    ahead = forecaster.predict().to_numpy()
    block = len(forecaster.blocks_.spread.deviation)
    assert block == 220 // 4  # shorter than the horizon
    naive = np.tile(train.to_numpy()[-7:], (9, 1))[:60]
    truth = test.to_numpy()
    assert np.mean((ahead - truth) ** 2) < 0.75 * np.mean((naive - truth) ** 2)


def test_steps_of_a_horizon_are_those_of_all_steps():
    y = seasonal()
    forecaster = ContrastiveForecaster(**TINY).fit(y)
    whole = forecaster.predict(fh=np.arange(1, 41))
    part = forecaster.predict(fh=[2, 40])
    pd.testing.assert_frame_equal(part, whole.iloc[[1, 39]], check_freq=False)


def test_forecasts_move_with_the_units():
    y = seasonal(100)
    first = ContrastiveForecaster(**TINY).fit(y, fh=[1, 5]).predict()
    second = ContrastiveForecaster(**TINY).fit(1000 * y - 7e4, fh=[1, 5]).predict()
    np.testing.assert_allclose(second, 1000 * first - 7e4, rtol=1e-4)


def test_quantiles_cover_what_they_promise():
    y = seasonal(1400, noise=1.0)
    forecaster = ContrastiveForecaster(**TINY).fit(y[:700], fh=np.arange(1, 8))
    inside = []
    for start in range(700, 1393, 7):
        if start > 700:
            forecaster.update(y[start - 7 : start], update_params=False)
        found = forecaster.predict_interval(coverage=0.8)
        truth = y["a"].to_numpy()[start : start + 7]
        inside.append((found.iloc[:, 0] <= truth) & (truth <= found.iloc[:, 1]))
    assert 0.72 < np.mean(inside) < 0.88
    quantiles = forecaster.predict_quantiles(alpha=[0.9, 0.1, 0.5])
    assert list(quantiles.columns) == [("a", 0.9), ("a", 0.1), ("a", 0.5)]
    assert (quantiles["a"][0.1] < quantiles["a"][0.5]).all()
    assert (quantiles["a"][0.5] < quantiles["a"][0.9]).all()


def test_exogenous_series_count_where_they_help():
    y, rng = seasonal(200), np.random.default_rng(1)
    x = pd.DataFrame(rng.normal(size=(200, 2)), index=y.index, columns=["promotion", "noise"])
    y = y + 3 * x[["promotion"]].to_numpy()
    fh = np.arange(1, 21)
    model = ContrastiveForecaster(**TINY).fit(y[:180], X=x[:180], fh=fh)
    ahead = model.predict(X=x[180:])
    effect = model.effect_[:, 0] * model.scaler_.std / x[:180].std(ddof=0)
    np.testing.assert_allclose(effect, [3, 0], atol=0.15)
    without = ContrastiveForecaster(**TINY).fit(y[:180], fh=fh).predict()
    errors = [np.mean((found - y[180:]).to_numpy() ** 2) for found in (ahead, without)]
    assert errors[0] < 0.1 * errors[1]
    useless = ContrastiveForecaster(**TINY).fit(seasonal(200), X=x[["noise"]], fh=fh)
    assert (useless.effect_ == 0).all()


def test_missing_values_and_several_variables():
    y = seasonal(150, 3)
    whole = ContrastiveForecaster(**TINY).fit(y, fh=[1, 2, 3]).predict()
    y.iloc[10:13] = np.nan
    y.iloc[::17, 1] = np.nan
    y.iloc[-1, 2] = np.nan
    found = ContrastiveForecaster(**TINY).fit(y, fh=[1, 2, 3]).predict()
    assert found.shape == (3, 3)
    assert np.isfinite(found.to_numpy()).all()
    np.testing.assert_allclose(found[["a", "b"]], whole[["a", "b"]], atol=0.5)


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 12])
def test_short_series(rows):
    y = pd.Series(np.arange(rows, dtype=float) ** 2)
    forecaster = ContrastiveForecaster(**TINY).fit(y, fh=[1, 2])
    ahead = forecaster.predict()
    assert np.isfinite(ahead).all()
    if rows < 8:
        np.testing.assert_allclose(ahead, [y.iloc[-1]] * 2)  # persistence
    assert np.isfinite(forecaster.predict_quantiles(alpha=[0.1, 0.9]).to_numpy()).all()


def test_a_constant_series_stays_constant():
    forecaster = ContrastiveForecaster(**TINY).fit(pd.Series([0.1] * 40), fh=[1, 9])
    np.testing.assert_allclose(forecaster.predict(), [0.1, 0.1])


def test_a_plan_keeps_its_rows_apart():
    for rows in range(8, 400):
        for horizon in (1, 7, rows):
            found = plan(rows, horizon, None)
            train, valid = found.split.train, found.split.valid
            assert train.start == 0 and train.stop == valid.start and valid.stop == rows
            assert valid.stop - valid.start > found.block  # an origin of validation
            assert train.stop > 0  # and one to learn from


@pytest.mark.parametrize("backbone", ["dilated", "transformer", "tcn", "lstm"])
def test_every_backbone_after_an_update_is_as_if_fitted_so_far(backbone):
    """The tail of a series, all that a forecast reads, gives what the whole series gives."""
    y = seasonal(120)
    model = ContrastiveForecaster(backbone=backbone, **TINY).fit(y[:100], fh=[1, 2])
    model.update(y[100:], update_params=False)
    ahead = model.predict()
    encoder, readout = model.encoder_, model.blocks_
    again = ContrastiveForecaster(backbone=backbone, **TINY).fit(y, fh=[1, 2])
    again.scaler_, again.encoder_, again.blocks_ = model.scaler_, encoder, readout
    pd.testing.assert_frame_equal(again.predict(), ahead)


def test_update_fits_the_readout_and_not_the_encoder():
    y = seasonal(200)
    model = ContrastiveForecaster(**TINY).fit(y[:100], fh=[1, 2])
    encoder, before = model.encoder_, model.blocks_
    model.update(y[100:])
    assert model.encoder_ is encoder
    assert model.blocks_ is not before
    assert model.predict().index[0] == y.index[-1] + y.index.freq


def test_pretraining_on_a_panel_is_kept_by_fit_and_clone():
    model = ContrastiveForecaster(**TINY)
    model.pretrain(panel_frame(channels=2))
    weights = [p.detach().clone() for p in model.pretrained_encoder_.parameters()]
    for fitted in (model, model.clone()):
        fitted.fit(seasonal(100), fh=[1, 2])  # of one variable
        for a, b in zip(weights, fitted.encoder_.parameters(), strict=True):
            np.testing.assert_array_equal(a, b.detach())
    assert model.state == "fitted"
    own = ContrastiveForecaster(**TINY).fit(seasonal(100), fh=[1, 2]).encoder_
    assert any((a != b).any() for a, b in zip(weights, own.parameters(), strict=True))


def test_pretraining_goes_on_where_it_stopped():
    model = ContrastiveForecaster(**TINY).pretrain(panel_frame())
    first = deepcopy(model.pretrained_encoder_)
    model.pretrain(panel_frame(2))
    twice = ContrastiveForecaster(**TINY).pretrain(panel_frame(2)).pretrained_encoder_
    for a, b, c in zip(
        *(m.parameters() for m in (first, model.pretrained_encoder_, twice)), strict=True
    ):
        assert (a != b).any() and (b != c).any()


def test_pretraining_does_not_depend_on_the_units_of_an_instance():
    panel = panel_frame(3)
    first = ContrastiveForecaster(**TINY).pretrain(panel).pretrained_encoder_
    factor = np.repeat([1.0, 1e3, 1e-3], 60)[:, None]
    second = ContrastiveForecaster(**TINY).pretrain(panel * factor).pretrained_encoder_
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), atol=1e-4)


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "save"])
def test_a_fitted_forecaster_travels(how, tmp_path):
    y = seasonal(60)
    model = ContrastiveForecaster(**TINY).fit(y, fh=[1, 2])
    if how == "pickle":
        other = pickle.loads(pickle.dumps(model))
    elif how == "deepcopy":
        other = deepcopy(model)
    else:
        model.save(tmp_path / "model")
        other = ContrastiveForecaster.load_from_path(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(other.predict(), model.predict())


def test_grid_search_over_splits_in_time():
    y = load_airline()
    cv = ExpandingWindowSplitter(initial_window=96, step_length=24, fh=np.arange(1, 13))
    search = ForecastingGridSearchCV(
        ContrastiveForecaster(**TINY), cv=cv, param_grid={"look_back": [2, 24]}, backend=None
    )
    ahead = search.fit(y[:-12], fh=np.arange(1, 13)).predict()
    errors = search.cv_results_["mean_test_MeanAbsolutePercentageError"]
    assert len(errors) == 2 and search.best_score_ == errors.min()
    assert len(ahead) == 12


def test_evaluate_with_a_sliding_window_and_a_pipeline():
    y = load_airline()
    model = LogTransformer() * ContrastiveForecaster(**TINY)
    cv = SlidingWindowSplitter(window_length=108, step_length=12, fh=np.arange(1, 13))
    found = evaluate(model, cv, y)
    assert len(found) == 3
    assert found["test_MeanAbsolutePercentageError"].mean() < 0.08


def test_make_pipeline():
    y = seasonal(120)
    y.iloc[3] = np.nan
    pipeline = make_pipeline(Imputer("drift"), ContrastiveForecaster(**TINY))
    assert pipeline.fit(y, fh=[1, 10]).predict().shape == (2, 1)


def test_a_pipeline_of_exogenous_series():
    y = seasonal(120)
    x = pd.DataFrame({"x": np.arange(120.0)}, index=y.index)
    pipeline = StandardScaler() ** ContrastiveForecaster(**TINY)
    ahead = pipeline.fit(y[:110], X=x[:110], fh=[1, 10]).predict(X=x[110:])
    assert ahead.shape == (2, 1)


def test_hierarchical_series_are_forecast_one_by_one():
    panel = panel_frame(3)
    ahead = ContrastiveForecaster(**TINY).fit(panel, fh=[1, 2]).predict()
    alone = ContrastiveForecaster(**TINY).fit(panel.loc[2], fh=[1, 2]).predict()
    np.testing.assert_allclose(ahead.loc[2], alone)


def irregular(y):
    return y.iloc[[0, 1, 2, 5, 6, 30, 31, 32, 40]]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda f, y, x: f.fit(y, fh=[1, 61]), "fh reaches 61 steps ahead and y has 60 rows"),
        (lambda f, y, x: f.fit(y).predict(fh=[61]), "fh reaches 61 steps ahead"),
        (lambda f, y, x: f.fit(irregular(y), fh=[1]), r"32 of 41 days .* have no row"),
        (lambda f, y, x: f.fit(y, X=x, fh=[1]).predict(), "X is missing"),
        (lambda f, y, x: f.fit(y, X=x, fh=[1]).predict(X=x[["u"]]), r"X lacks columns \['v'\]"),
        (lambda f, y, x: f.fit(y, X=x, fh=[1]).predict(X=x), "X has no row for 2024-03-01"),
        (lambda f, y, x: f.fit(y * np.inf, fh=[1]), "row 1 of column 'a' is infinite"),
        (lambda f, y, x: f.fit(y * np.nan, fh=[1]), "channel 'a' of y has no number"),
        (
            lambda f, y, x: f.set_params(channels="joint").pretrain(panel_frame(channels=2)).fit(y),
            "y has 1 variables, expected 2 as in pretrain",
        ),
        (lambda f, y, x: f.set_params(backbone="rnn").fit(y), "backbone: found 'rnn'"),
        (lambda f, y, x: f.set_params(look_back=0).fit(y), "look_back: found 0, expected at least"),
    ],
    ids=[
        "horizon-in-fit",
        "horizon-in-predict",
        "irregular",
        "no-X",
        "columns",
        "rows",
        "infinite",
        "empty",
        "channels",
        "backbone",
        "look-back",
    ],
)
def test_bad_input(act, message):
    y = seasonal(60)
    x = pd.DataFrame(np.ones((60, 2)), index=y.index, columns=["u", "v"])
    with pytest.raises(ValueError, match=message):
        act(ContrastiveForecaster(**TINY), y, x)


def test_the_ten_lines_of_the_readme(tmp_path, monkeypatch):
    """A forecast, its interval and a picture, on a series that ships with sktime."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    y = load_airline()
    model = ContrastiveForecaster(**TINY).fit(y[:-24], fh=range(1, 25))
    low, high = model.predict_interval(coverage=0.9).to_numpy().T
    axes = y.plot(label="passengers", legend=True)
    model.predict().plot(ax=axes, label="forecast", legend=True)
    axes.fill_between(y.index[-24:], low, high, alpha=0.2)
    axes.figure.savefig(tmp_path / "airline.png")
    assert (tmp_path / "airline.png").stat().st_size > 10_000
    assert np.mean((low <= y[-24:]) & (y[-24:] <= high)) > 0.7


def test_the_airline_is_forecast_with_less_error_than_by_the_simple_models():
    y = load_airline()
    model = ContrastiveForecaster(**TINY).fit(y[:-24], fh=range(1, 25))

    def error(forecast):
        return np.abs(forecast / y[-24:].to_numpy() - 1).mean()

    rise = (y.iloc[-25] - y.iloc[0]) / (len(y) - 25)
    last_season = np.tile(y[-36:-24].to_numpy(), 2)
    drift = y.iloc[-25] + rise * np.arange(1, 25)
    assert error(model.predict().to_numpy()) < 0.7 * min(error(last_season), error(drift))


def test_without_sktime_the_import_says_what_to_install():
    code = "import sys; sys.modules['sktime'] = None; import tsrep.sktime"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'tspcrep[series]'" in done.stderr.splitlines()[-1]


def test_an_unfitted_forecaster_says_so():
    with pytest.raises(NotFittedError):
        ContrastiveForecaster(**TINY).predict(fh=[1])


# --- transformer and classifier ------------------------------------------------------------------


@pytest.mark.parametrize("output", ["vector", "steps"])
def test_instances_of_unequal_length_with_missing_values(output):
    x, _ = unequal_panel()
    found = ContrastiveTransformer(output, **TINY).fit_transform(x)
    if output == "vector":
        assert found.shape == (12, 8)
        assert np.isfinite(found.to_numpy()).all()
    else:
        assert [len(part) for part in found] == [len(part) for part in x]
        assert all(np.isfinite(part.to_numpy()).all() for part in found)


def test_numpy_and_frames_give_the_same_vectors():
    x = np.random.default_rng(0).normal(size=(6, 2, 20))
    frames = [pd.DataFrame(part.T) for part in x]
    first, second = (ContrastiveTransformer(**TINY).fit_transform(p) for p in (x, frames))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_steps_keep_the_index_of_a_series():
    y = seasonal(60, 2)
    found = ContrastiveTransformer("steps", **TINY).fit_transform(y)
    assert found.index.equals(y.index)


def test_vectors_in_a_classification_pipeline():
    x, y = unequal_panel(24)
    pipeline = ContrastiveTransformer(**TINY) * LogisticRegression()
    assert pipeline.fit(x, y).score(x, y) > 0.9


def test_the_classifier_tells_slow_from_fast():
    x, y = unequal_panel(40)
    model = ContrastiveClassifier(encoder=ContrastiveEncoder(**TINY)).fit(x[:24], y[:24])
    assert model.score(x[24:], y[24:]) > 0.9
    likeliest = model.classes_[model.predict_proba(x[24:]).argmax(1)]
    np.testing.assert_array_equal(likeliest, model.predict(x[24:]))


def test_the_regressor_tells_slow_from_fast():
    x, y = unequal_panel(40)
    frequency = np.where(y == "slow", 0.3, 1.0)
    model = ContrastiveRegressor(encoder=ContrastiveEncoder(**TINY)).fit(x[:24], frequency[:24])
    assert model.score(x[24:], frequency[24:]) > 0.6


@pytest.mark.parametrize(
    "model",
    [
        ContrastiveTransformer(**TINY),
        ContrastiveClassifier("random"),
        ContrastiveRegressor("random"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_channels_than_fitted(model):
    x, y = unequal_panel()
    model.fit(x, np.arange(len(x), dtype=float) if isinstance(model, ContrastiveRegressor) else y)
    ask = model.transform if isinstance(model, ContrastiveTransformer) else model.predict
    with pytest.raises(ValueError, match="X has 1 channels"):
        ask([part[["a"]] for part in x])


def test_the_clusterer_tells_slow_from_fast():
    x, y = unequal_panel(24)
    found = ContrastiveClusterer(2, features="random").fit(x)
    assert adjusted_rand_score(y, found.labels_) > 0.9
    np.testing.assert_array_equal(found.predict(x), found.labels_)


def hourly(rows=300, seed=0):
    """A daily wave with noise."""
    index = pd.date_range("2024-01-01", periods=rows, freq="h")
    noise = 0.1 * np.random.default_rng(seed).normal(size=rows)
    return pd.Series(np.sin(2 * np.pi * np.arange(rows) / 24) + noise, index=index)


def test_the_detector_marks_the_odd_hours():
    encoder = build_encoder("dilated", 1, 8, 2, 16, causal=False, level_window=0, seed=0)
    series = hourly(seed=1)
    series.iloc[150:156] = 3.0
    model = ContrastiveAnomalyDetector(24, encoder).fit(hourly())
    scores = model.transform_scores(series)["scores"]
    assert scores.index.equals(series.index)
    assert 130 < scores.to_numpy().argmax() < 176
    places = model.predict(series)["ilocs"].to_numpy()
    assert {150, 155} <= set(places) and np.mean((places > 126) & (places < 180)) > 0.9
    assert len(model.predict_scores(series)) == len(places)


def test_change_points_of_two_regimes():
    encoder = build_encoder("dilated", 1, 8, 2, 16, causal=False, level_window=0, seed=0)
    series = hourly()
    series.iloc[150:] = series.iloc[150:] + 3
    found = ContrastiveChangePoints(24, encoder, changes=1).fit(series).predict(series)
    assert found["ilocs"].tolist() == pytest.approx([150], abs=12)

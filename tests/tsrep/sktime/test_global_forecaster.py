"""The sktime forecaster of panels: sktime's own checks, none skipped, and the fit it stands for."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sktime")

from sktime.utils._testing.hierarchical import _make_hierarchical
from sktime.utils.estimator_checks import check_estimator, parametrize_with_checks

from tsrep.forecasting.global_model import fit_global
from tsrep.sktime import GlobalForecaster

# What sktime itself says, see test_sktime.py.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Forecasters' predict_proba requires skpro:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sorting by default when concatenating"),
    pytest.mark.filterwarnings("ignore:The default of config ``remember_data``:FutureWarning"),
]


@parametrize_with_checks([GlobalForecaster])
def test_sktimes_checks(obj, test_name):
    found = check_estimator(obj, tests_to_run=test_name, raise_exceptions=True, verbose=False)
    assert set(found.values()) <= {"PASSED"}


def hierarchy(rows=60, columns=1):
    return _make_hierarchical(
        hierarchy_levels=(2, 3),
        min_timepoints=rows,
        max_timepoints=rows,
        n_columns=columns,
        random_state=0,
    )


@pytest.mark.parametrize("columns", [1, 2])
def test_a_hierarchy_is_fitted_at_once(columns):
    y = hierarchy(columns=columns)
    forecaster = GlobalForecaster().fit(y, fh=[1, 3])
    ahead, spread = forecaster.predict(), forecaster.predict_quantiles(alpha=[0.1, 0.9])
    keys = list(y.index.droplevel(-1).unique())
    series = [y.loc[key][name] for key in keys for name in y]
    model = fit_global(series, 3)
    assert list(ahead.index.droplevel(-1).unique()) == keys and ahead.index.names == y.index.names
    for key in keys:
        for name in y:
            expected = model.forecast(y.loc[key][name])[[0, 2]]
            np.testing.assert_allclose(ahead.loc[key][name], expected)
            quantiles = model.quantiles(y.loc[key][name], [0.1, 0.9])[[0, 2]]
            found = spread.loc[key].to_numpy().reshape(2, columns, 2)[:, list(y).index(name)]
            np.testing.assert_allclose(found, quantiles)


def test_more_rows_are_appended_and_fitted_again_if_asked():
    y = hierarchy()
    early = y.groupby(level=[0, 1]).head(50)
    late = y.groupby(level=[0, 1]).tail(10)
    expected = GlobalForecaster().fit(y, fh=[1, 2]).predict()
    again = GlobalForecaster().fit(early, fh=[1, 2]).update(late)
    pd.testing.assert_frame_equal(again.predict(), expected)
    kept = GlobalForecaster().fit(early, fh=[1, 2])
    model = kept.model_
    kept.update(late, update_params=False)
    assert kept.model_ is model
    key = y.index.droplevel(-1)[0]
    np.testing.assert_allclose(
        kept.predict().loc[key].iloc[:, 0], model.forecast(y.loc[key].iloc[:, 0])
    )


def test_periods_and_missing_ends():
    y = hierarchy()
    gone = y.copy()
    first = gone.index.droplevel(-1)[0]
    gone.loc[[(*first, t) for t in gone.loc[first].index[-3:]]] = np.nan
    ahead = GlobalForecaster().fit(gone, fh=[1]).predict()
    assert ahead.notna().all(axis=None)
    dated = pd.Series(np.sin(np.arange(48.0)), pd.period_range("2020-01", periods=48, freq="M"))
    found = GlobalForecaster().fit(dated, fh=[1, 2]).predict()
    assert found.index.equals(pd.period_range("2024-01", periods=2, freq="M"))


def test_each_series_is_forecast_from_its_own_end():
    y = hierarchy()
    last = y.index.droplevel(-1).unique()[-1]
    ahead = GlobalForecaster().fit(y.iloc[:-5], fh=[1, 2]).predict()
    for key, rows in ((last, 55), (y.index.droplevel(-1)[0], 60)):
        times = y.loc[key].index
        expected = [times[0] + pd.Timedelta(days=rows + h) for h in (0, 1)]
        assert ahead.loc[key].index.to_list() == expected


def test_infinite_values_are_one_line():
    y = hierarchy()
    bad = y.copy()
    bad.iloc[5] = np.inf
    with pytest.raises(ValueError, match=r"instance h0_0/h1_0 of y: row 6 .* is infinite"):
        GlobalForecaster().fit(bad, fh=[1])

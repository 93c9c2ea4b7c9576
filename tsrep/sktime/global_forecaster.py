"""A sktime forecaster of panels and hierarchies: one closed-form fit over all their series."""

from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from sktime.datatypes import get_cutoff, update_data
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from tsrep.forecasting.global_model import fit_global
from tsrep.sktime.frames import evenly_spaced, times_of, values_of


class GlobalForecaster(BaseForecaster):
    """One forecaster for all series of a panel or a hierarchy, in closed form and in seconds.

    :func:`tsrep.forecasting.global_model.fit_global`: each series is scaled by itself, the moments
    of the windows of all add up, and what is used, from the last value to a blend of ridges, is
    chosen by rolling origins. A series of a few steps is forecast by what the others do. Variables
    of several are series too. Levels of a hierarchy are forecast as they come, not reconciled.

    Attributes
    ----------
    model_ : the fitted :class:`tsrep.forecasting.global_model.GlobalForecaster`.

    Each series is forecast from its own end. Missing values, also there, are replaced by the last
    one before. ``update`` appends rows; with ``update_params`` the forecaster
    is fitted again. Raises ``ValueError`` for timestamps without a usual step, a series without a
    number, and infinite values.

    Examples
    --------
    >>> from sktime.utils._testing.hierarchical import _make_hierarchical
    >>> from tsrep.sktime import GlobalForecaster
    >>> y = _make_hierarchical(min_timepoints=30, max_timepoints=30, random_state=0)
    >>> GlobalForecaster().fit(y, fh=[1, 2, 3]).predict().shape
    (24, 1)
    """

    _tags: ClassVar = {
        "authors": ["tspcrep"],
        "maintainers": ["tspcrep"],
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "requires-fh-in-fit": True,
        "capability:multivariate": True,
        "capability:exogenous": False,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:update": True,
    }
    # The rows that a forecast needs are kept here, so sktime need not keep them too.
    _config: ClassVar = {"remember_data": False}

    def __post_init__(self):
        self._y = self._X = None  # for those who set remember_data after all

    def _fit(self, y, X, fh):
        self._cur_y = y
        self._histories = _histories(y)
        self._set_cutoff_from_y(y)
        self._fit_all(fh)
        return self

    def _update(self, y, X=None, update_params=True):
        self._cur_y = update_data(self._cur_y, y)
        self._histories = _histories(self._cur_y)
        self._set_cutoff_from_y(self._cur_y)
        if update_params:
            self._fit_all(self.fh)
        return self

    def _predict(self, fh, X):
        def ahead(history: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
            return np.stack([self.model_.forecast(own)[steps] for _, own in history.items()], 1)

        return self._frame(fh, ahead, self._cur_y.columns)

    def _predict_quantiles(self, fh, X, alpha):
        def ahead(history: pd.DataFrame, steps: np.ndarray) -> np.ndarray:
            found = [self.model_.quantiles(own, alpha)[steps] for _, own in history.items()]
            return np.concatenate(found, axis=1)

        return self._frame(fh, ahead, pd.MultiIndex.from_product([self._get_varnames(), alpha]))

    def _fit_all(self, fh: ForecastingHorizon) -> None:
        series = [own for one in self._histories.values() for _, own in one.values.items()]
        horizon = max(int(_steps(fh, one.cutoff).max()) for one in self._histories.values()) + 1
        self.model_ = fit_global(series, horizon)

    def _frame(self, fh: ForecastingHorizon, ahead, columns: pd.Index) -> pd.DataFrame:
        """What ``ahead`` says of each history, (H, columns), one below the other."""
        parts = {
            key: pd.DataFrame(
                ahead(one.values, _steps(fh, one.cutoff)),
                index=fh.to_absolute_index(one.cutoff),
                columns=columns,
            )
            for key, one in self._histories.items()
        }
        if self._cur_y.index.nlevels == 1:
            return parts[()]
        names = self._cur_y.index.names
        return pd.concat(parts, names=names[:-1]).rename_axis(names)

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """There is nothing to set."""
        return {}


class _History(NamedTuple):
    """values: of one instance, on even times, without missing ones behind others. cutoff: its end.

    A column is called as instance and variable, for messages.
    """

    values: pd.DataFrame
    cutoff: pd.Index


def _histories(y: pd.DataFrame) -> dict[tuple, _History]:
    """The instances of y by their keys; of a single series, by ()."""
    levels = list(range(y.index.nlevels - 1))
    groups = list(y.groupby(level=levels, sort=False)) if levels else [((), y)]
    found = {}
    for key, frame in groups:
        key = key if isinstance(key, tuple) else (key,)
        even, _ = evenly_spaced(frame.droplevel(levels) if levels else frame)
        name = "/".join(map(str, key))
        values_of(even, f"instance {name} of y" if levels else "y")
        dated = isinstance(even.index, pd.DatetimeIndex | pd.PeriodIndex)
        index = times_of(even.index) if dated else even.index
        columns = [f"{name}/{c}" if levels else c for c in even.columns]
        values = even.set_axis(index).set_axis(columns, axis=1).ffill()
        found[key] = _History(values, get_cutoff(even, return_index=True))
    return found


def _steps(fh: ForecastingHorizon, cutoff: pd.Index) -> np.ndarray:
    """Positions of ``fh`` behind the cutoff, 0 for the first step."""
    return np.asarray(fh.to_indexer(cutoff))

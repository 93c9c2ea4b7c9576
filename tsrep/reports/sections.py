"""Sections that the reports on series share: verdict, tables of results, and drawn forecasts."""

from typing import Any

import numpy as np
import pandas as pd

from tspcrep.common import pages
from tspcrep.common.markup import Html, tag
from tspcrep.common.verdicts import Measure, System, systems_table, verdict
from tsrep.datasets.series import Series
from tsrep.evaluation import TASKS
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.protocol import Forecast, origins
from tsrep.reports import plots

_LONGEST = 192
"""Longest forecast that is drawn, in steps, if any horizon is as short."""
_DECIDES = {"forecasting": "average", "classification": "svm"}
"""The column of a task's table that its verdict is about."""
_MEASURES = {"forecasting": Measure("MSE", min), "classification": Measure("accuracy", max)}
_TOLD = {
    "product": "the representation on top of a linear path from the lags",
    "probe": "a ridge on the representation alone, as the papers read it",
    "forecaster": "the trained forecaster, which is what is saved",
    "autotcl": "a classifier on the frozen vectors of the trained encoder",
    "random encoder, product": "the same with the network before training",
    "random encoder, probe": "a ridge on the network before training",
    "random_encoder": "the same network before training",
    "raw": "the values themselves, without an encoder",
    "no_representation": "the linear path from the lags, without a representation",
    "linear_path": "the forecaster's choice without its network",
    "persistence": "the last value, again and again",
    "seasonal_naive": "the value of one season before",
    "lag_ridge": "a ridge on the last values",
    "lag_ridge_calendar": "a ridge on the last values and the calendar",
    "nridge": "a ridge on the last values, less the last one",
}
_VARIANTS = {"probe"}
"""Another way to read what the verdict is about, which is no control of it."""


def results(result: dict[str, Any], told: str = "") -> list[Html]:
    """The verdict of a run, and its tables. told: more about the systems."""
    task, seeds = TASKS[result["task"]], len(result["seeds"])
    columns, spreads = task.columns(result, None), task.spreads(result)
    decides, measure = _DECIDES[task.name], _MEASURES[task.name]
    beside = [name for name in columns if not name.isdecimal() and name != decides]
    systems = [
        System(
            name,
            _TOLD.get(name, ""),
            columns[decides][name],
            spreads.get(name) if seeds > 1 else None,
            {column: measure.text(columns[column][name]) for column in beside},
        )
        for name in columns[decides]
    ]
    ours, *others = systems
    controls = [system for system in others if system.name not in _VARIANTS]
    timing = ", ".join(f"{n.removesuffix('_s')} {s:.1f} s" for n, s in result["timing"].items())
    horizons = [name for name in columns if name.isdecimal()]
    read = f"{decides} over the horizons" if horizons else f"by the probe {decides}"
    said = f"{task.numbers}, {read}; {'less' if task.best is min else 'more'} is better. "
    marked = "Marked is what leads all others by more than the spreads over seeds. "
    return [
        tag("section", *verdict(measure, ours, controls, seeds)),
        pages.section(
            "Results",
            systems_table(measure, "system", systems, seeds),
            tag("p", said, marked if seeds > 1 else "", told),
            *_by_horizon(columns, horizons, measure.name),
            tag("p", f"Time per seed: {timing}."),
        ),
    ]


def _by_horizon(columns: dict[str, dict[str, float]], horizons: list[str], name: str) -> list[Html]:
    if len(horizons) < 2:
        return []
    rows = [
        [system, *(f"{columns[horizon][system]:.3f}" for horizon in horizons)]
        for system in columns[horizons[0]]
    ]
    return [tag("h3", f"{name} by horizon, in steps"), pages.table(["system", *horizons], rows)]


def drawn_horizon(result: dict[str, Any]) -> int:
    """The longest horizon of a summary up to ``_LONGEST``, or the shortest of all."""
    horizons = [int(h) for h in result["horizons"]]
    return max([h for h in horizons if h <= _LONGEST] or [min(horizons)])


def drawn_forecasts(
    fitted: dict[str, Forecast],
    series: Series,
    horizon: int,
    model: SeriesForecaster | None = None,
) -> Html:
    """Forecasts of the first channel, by name, from three origins of the test rows.

    model: whose .1 and .9 quantiles are drawn around the first of ``fitted``.
    """
    rows = origins(series.split.test, horizon)
    starts = rows[[len(rows) // 8, len(rows) // 2, len(rows) * 7 // 8]]
    mean, std = series.scaler.mean[0], series.scaler.std[0]
    ahead = {name: f(starts)[..., 0] * std + mean for name, f in fitted.items()}  # (3, H)
    values = series.values[0, :, 0].astype(np.float64) * std + mean
    errors = None  # (H, 2), of the first channel
    if model is not None:
        errors = model.path(horizon).spread.quantiles((0.1, 0.9), horizon)[:, 0] * std
    first = next(iter(ahead.values()))
    drawn = []
    for i, t in enumerate(starts):
        begin, end = max(0, t - 2 * horizon), t + 1 + horizon
        drawn.append(
            plots.ForecastExample(
                f"from {series.times[t]}",
                _plain(series.times[begin:end]),
                values[begin : t + 1],
                values[t + 1 : end],
                {name: found[i] for name, found in ahead.items()},
                None if errors is None else first[i][:, None] + errors,
            )
        )
    column = series.columns[0]
    told = f"{horizon} steps of {column} from three origins of the test rows, in the data's units"
    return pages.section("Forecasts", pages.figure(plots.forecast_examples(drawn, column), told))


def _plain(times: pd.Index) -> np.ndarray:
    """Times as matplotlib takes them: those of the clock on the wall, or numbers of steps."""
    if isinstance(times, pd.DatetimeIndex):
        return times.tz_localize(None).to_numpy()
    return np.asarray(times)

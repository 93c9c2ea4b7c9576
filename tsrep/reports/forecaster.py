"""``report.html`` of a trained forecaster: one file that needs no network and no script."""

from pathlib import Path
from typing import Any

from tspcrep.common import pages
from tspcrep.common.figures import themed
from tspcrep.common.markup import Html, tag
from tspcrep.common.runs import write_text
from tsrep.datasets.series import Series
from tsrep.evaluation.forecasts import measured_intervals
from tsrep.forecasting.fitting import linear_path
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.receptive_field import measured, period_within, periodicity
from tsrep.forecasting.task import ForecastData
from tsrep.reports import plots, sections

_SYSTEMS = (
    "forecaster, linear_path and random_encoder read inputs known ahead, the other controls the "
    "series alone."
)


def write(
    folder: Path, result: dict[str, Any], data: ForecastData, model: SeriesForecaster
) -> Path:
    """Write ``report.html`` into the run ``folder`` and return its path.

    result: of :func:`tsrep.reports.results.read_result`. data: the series that ``model`` was fitted
    to. What the folder lacks besides the result, the page says.
    """
    horizon = sections.drawn_horizon(result)
    fitted = {
        "forecaster": model.forecasts(data)[horizon],
        "linear path": linear_path(data, (horizon,))[horizon],
    }
    where = f"{result['data']}, {result['mode']}"
    parts = [
        *sections.results(result, _SYSTEMS),
        sections.drawn_forecasts(fitted, data.series, horizon, model),
        *_intervals(result),
        *_choices(result.get("choices", {})),
        *_receptive_field(model, data.series, horizon),
    ]
    if (folder / f"seed-{result['seeds'][0]}" / "metrics.jsonl").exists():  # a ridge has no steps
        parts += pages.losses(folder, result["seeds"])
    parts += pages.details(folder)
    path = folder / "report.html"
    write_text(path, pages.page(f"Forecaster on {where}", parts))
    return path


def _intervals(result: dict[str, Any]) -> list[Html]:
    """Coverage, width and CRPS by horizon, as far as the run has measured them."""
    measured = measured_intervals(result)
    if not measured:
        return []
    horizons = list(result[measured[0]])
    rows = [[name, *(f"{result[name][h]:.3f}" for h in horizons)] for name in measured]
    told = (
        "Between the .1 and .9 quantiles: coverage is the share of test values, .8 if they are "
        "right, and width how far they lie apart. The CRPS, of nine quantiles, is the better the "
        "smaller it is."
    )
    head = ["intervals", *(f"{h} steps" for h in horizons)]
    return [tag("p", told), pages.table(head, rows)]


def _choices(choices: dict[str, Any]) -> list[Html]:
    """What was chosen at each horizon, and the errors it was chosen by."""
    if not choices:
        return []
    parts = [{**choice["errors"], **choice["shares"]} for choice in choices.values()]
    names = list(dict.fromkeys(name for part in parts for name in part))
    cells = [[_choice(choice, name) for choice in choices.values()] for name in names]
    rows = [[name, *own] for name, own in zip(names, cells, strict=True)]
    head = ["MSE out of block", *(f"{horizon} steps" for horizon in choices)]
    told = (
        "Mean squared errors, in standardised units, on blocks of train and validation rows that "
        "the candidates were not fitted on; no test row was used. Those chosen are marked, with "
        "their shares."
    )
    marked = pages.table(head, rows, lambda row, column: "(" in cells[row][column])
    return [pages.section("Choice", marked, tag("p", told))]


def _choice(choice: dict[str, Any], name: str) -> str:
    """The error of a candidate, and in brackets its share where it has any."""
    error, share = choice["errors"].get(name), choice["shares"].get(name)
    number = "–" if error is None else f"{error:.4f}"
    return f"{number} ({share:.2f})" if share else number


def _receptive_field(model: SeriesForecaster, series: Series, horizon: int) -> list[Html]:
    """The heat map and its periodicity; nothing with exogenous inputs, which rule it out."""
    if model.names.known or model.names.past:
        return []
    field = measured(model, series, horizon)
    told = (
        "Sensitivity of each forecast step to each past value, mean |dy / dx| over validation "
        "windows"
    )
    period = period_within(field, series)
    if period:
        score = periodicity(field, (period,))
        told += f"; periodicity {score:.3f}, 1 all at whole seasons of {period} steps, 0 flat"
    drawn = themed(plots.receptive_field(field, period))
    return [pages.section("Receptive field", pages.figure(drawn, told))]

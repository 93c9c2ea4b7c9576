"""``report.html`` of a trained forecaster: one file that needs no network and no script."""

import html
from pathlib import Path
from typing import Any

from tspcrep.common import pages
from tspcrep.common.figures import themed
from tspcrep.common.runs import write_text
from tsrep.datasets.series import Series
from tsrep.forecasting.fitting import linear_path
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.receptive_field import measured, period_within, periodicity
from tsrep.forecasting.task import ForecastData
from tsrep.reports import plots, sections

_SYSTEMS = (
    "<em>linear_path</em> is the choice without the network, <em>random_encoder</em> a ridge on "
    "the vectors of the network before training; both read inputs known ahead, the other controls "
    "the series alone."
)


def write(
    folder: Path, result: dict[str, Any], data: ForecastData, model: SeriesForecaster
) -> Path:
    """Write ``report.html`` into the run ``folder`` and return its path.

    result: of ``result.json``. data: the series that ``model`` was fitted to.
    """
    horizon = sections.drawn_horizon(result)
    fitted = {
        "forecaster": model.forecasts(data)[horizon],
        "linear path": linear_path(data, (horizon,))[horizon],
    }
    where = f"{result['data']}, {result['mode']}"
    shares = ", ".join(f"{h} steps {share:.3f}" for h, share in result["coverage"].items())
    parts = [
        f"<h1>Forecaster on {html.escape(where)}</h1>",
        *sections.results(result, _SYSTEMS),
        *_choices(result.get("choices", {})),
        f"<p>Share of test values between the .1 and .9 quantiles: {shares}.</p>",
        *sections.drawn_forecasts(fitted, data.series, horizon),
        *_receptive_field(model, data.series, horizon),
    ]
    if (folder / f"seed-{result['seeds'][0]}" / "metrics.jsonl").exists():  # a ridge has no steps
        parts += pages.losses(folder, result["seeds"])
    parts += pages.details(folder)
    path = folder / "report.html"
    write_text(path, pages.page(where, parts))
    return path


def _choices(choices: dict[str, Any]) -> list[str]:
    """What was chosen at each horizon, and the errors it was chosen by."""
    if not choices:
        return []
    parts = [{**choice["errors"], **choice["shares"]} for choice in choices.values()]
    names = list(dict.fromkeys(name for part in parts for name in part))
    lines = []
    for name in names:
        cells = ""
        for choice in choices.values():
            error, share = choice["errors"].get(name), choice["shares"].get(name, 0.0)
            number = "" if error is None else f"{error:.4f}"
            cells += (
                f'<td class="best">{number} ({share:.2f})</td>' if share else f"<td>{number}</td>"
            )
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    header = "".join(f"<th>{horizon} steps</th>" for horizon in choices)
    return [
        "<h2>Choice</h2>",
        f'<div class="wide"><table><tr><th>MSE out of block</th>{header}</tr>',
        *lines,
        "</table></div><p>Mean squared errors, in standardised units, on blocks of train and "
        "validation rows that the candidates were not fitted on; no test row was used. Those "
        "chosen are marked, with their shares.</p>",
    ]


def _receptive_field(model: SeriesForecaster, series: Series, horizon: int) -> list[str]:
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
    return ["<h2>Receptive field</h2>", pages.figure(drawn, told)]

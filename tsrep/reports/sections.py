"""Sections that the reports on series share: the table of results, and drawn forecasts."""

import html
from typing import Any

import numpy as np

from tspcrep.common import pages
from tsrep.datasets.series import Series
from tsrep.evaluation import TASKS
from tsrep.forecasting.protocol import Forecast, origins
from tsrep.reports import plots

_LONGEST = 192
"""Longest forecast that is drawn, in steps, if any horizon is as short."""


def results(result: dict[str, Any], systems: str) -> list[str]:
    """The table of a summary; ``systems`` explains its rows, in HTML."""
    task = TASKS[result["task"]]
    columns, spreads = task.columns(result, None), task.spreads(result)
    lines = []
    for name in next(iter(columns.values())):
        cells = "".join(
            f'<td class="best">{c[name]:.4f}</td>'
            if c[name] == task.best(c.values())
            else f"<td>{c[name]:.4f}</td>"
            for c in columns.values()
        )
        spread = f"± {spreads[name]:.4f}" if spreads.get(name) else ""
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}<td>{spread}</td></tr>")
    header = "".join(f"<th>{c}</th>" for c in (*columns, "over seeds"))
    marked = "least" if task.best is min else "greatest"
    timing = ", ".join(f"{n.removesuffix('_s')} {s:.1f} s" for n, s in result["timing"].items())
    return [
        "<h2>Results</h2>",
        f'<div class="wide"><table><tr><th>{task.heading}</th>{header}</tr>',
        *lines,
        f"</table></div><p>{task.numbers}, means over seeds; the {marked} of each column is "
        f"marked. {systems}</p><p>Time per seed: {timing}.</p>",
    ]


def drawn_horizon(result: dict[str, Any]) -> int:
    """The longest horizon of a summary up to ``_LONGEST``, or the shortest of all."""
    horizons = [int(h) for h in result["horizons"]]
    return max([h for h in horizons if h <= _LONGEST] or [min(horizons)])


def drawn_forecasts(fitted: dict[str, Forecast], series: Series, horizon: int) -> list[str]:
    """Forecasts of the first channel, by name, from three origins of the test rows."""
    rows = origins(series.split.test, horizon)
    starts = rows[[len(rows) // 8, len(rows) // 2, len(rows) * 7 // 8]]
    mean, std = series.scaler.mean[0], series.scaler.std[0]
    ahead = {name: f(starts)[..., 0] * std + mean for name, f in fitted.items()}  # (3, H)
    values = series.values[0, :, 0].astype(np.float64) * std + mean
    drawn = [
        plots.ForecastExample(
            f"from {series.times[t]}",
            values[max(0, t - 2 * horizon) : t + 1],
            values[t + 1 : t + 1 + horizon],
            {name: found[i] for name, found in ahead.items()},
        )
        for i, t in enumerate(starts)
    ]
    column = series.columns[0]
    told = f"{horizon} steps of {column} from three origins of the test rows, in the data's units"
    return ["<h2>Forecasts</h2>", pages.figure(plots.forecast_examples(drawn, column), told)]

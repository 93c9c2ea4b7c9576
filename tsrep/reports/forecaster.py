"""``report.html`` of a trained forecaster: one file that needs no network and no script."""

import html
from pathlib import Path
from typing import Any

from tspcrep.common import pages
from tspcrep.common.figures import themed
from tspcrep.common.runs import write_text
from tsrep.datasets.series import Series
from tsrep.forecasting import receptive_field as receptive
from tsrep.forecasting.fitting import linear_path
from tsrep.forecasting.forecaster import SeriesForecaster, load_forecaster
from tsrep.forecasting.task import ForecastData
from tsrep.reports import autotcl as report
from tsrep.reports import plots


def write(folder: Path, data: ForecastData, config: Any) -> Path:
    """Write ``report.html`` into the finished run ``folder`` and return its path.

    data: what the run learned from. config: of ``tools/train_forecaster.py``. Raises UserError
    where the folder holds no finished run.
    """
    folder = Path(folder)
    result = pages.read_json(folder / "result.json")
    model = load_forecaster(folder)
    horizons = [int(h) for h in result["horizons"]]
    horizon = max([h for h in horizons if h <= report.LONGEST] or [min(horizons)])
    fitted = {
        "forecaster": model.forecasts(data)[horizon],
        "linear path": linear_path(data, (horizon,))[horizon],
    }
    where = f"{result['data']}, {result['mode']}"
    shares = ", ".join(f"{h} steps {share:.3f}" for h, share in result["coverage"].items())
    parts = [
        f"<h1>Forecaster on {html.escape(where)}</h1>",
        *report.results(result),
        f"<p>Share of test values between the .1 and .9 quantiles: {shares}.</p>",
        *report.examples(fitted, data.series, horizon),
        *_receptive_field(model, data.series, horizon),
    ]
    if (folder / f"seed-{result['seeds'][0]}" / "metrics.jsonl").exists():  # a ridge has no steps
        parts += pages.losses(folder, result["seeds"])
    parts += pages.details(folder, config)
    path = folder / "report.html"
    write_text(path, pages.page(where, parts))
    return path


def _receptive_field(model: SeriesForecaster, series: Series, horizon: int) -> list[str]:
    """The heat map and its periodicity; nothing where exogenous inputs forbid to measure it."""
    if model.names.known or model.names.past:
        return []
    field = receptive.measured(model, series, horizon)
    told = "How much each forecast step changes with each past value, mean over validation windows"
    period = receptive.period_within(field, series)
    if period:
        score = receptive.periodicity(field, (period,))
        told += f"; periodicity {score:.3f}, 1 all at whole seasons of {period} steps, 0 flat"
    drawn = themed(plots.receptive_field(field, period))
    return ["<h2>Receptive field</h2>", pages.figure(drawn, told)]

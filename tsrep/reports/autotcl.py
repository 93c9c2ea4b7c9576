"""``report.html`` of a run on series: one file that needs no network and no script."""

import html
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tspcrep.common import pages
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_text
from tspcrep.common.weights import FILE
from tsrep.contrast.pretraining import training_windows
from tsrep.contrast.view_network import Augmentation, View
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Panel, Series
from tsrep.encoders.files import load_encoder
from tsrep.evaluation import forecasts as evaluation
from tsrep.evaluation import tables
from tsrep.forecasting import baselines
from tsrep.forecasting import probe as readout
from tsrep.forecasting import ridge as closed_form
from tsrep.forecasting.protocol import Forecast, origins
from tsrep.reports import plots

LONGEST = 192
"""Steps of the forecast that is drawn; of the horizons, the longest up to this."""


def write(folder: Path, data: Series | Panel, config: Any) -> Path:
    """Write ``report.html`` into the finished run ``folder`` and return its path.

    data: what the run learned from. config: of ``tools/pretrain_autotcl.py``. Raises UserError
    where the folder holds no finished run.
    """
    folder = Path(folder)
    result = pages.read_json(folder / "result.json")
    encoder = load_encoder(folder / FILE)
    where = f"{result['data']}, {result.get('mode', 'classification')}"
    parts = [f"<h1>AutoTCL on {html.escape(where)}</h1>", *results(result)]
    if isinstance(data, Series):
        parts += _forecasts(result, encoder, data)
    parts += pages.losses(folder, result["seeds"])
    parts += _augmentation(folder, result["seeds"], encoder, data, config)
    parts += pages.details(folder, config)
    path = folder / "report.html"
    write_text(path, pages.page(where, parts))
    return path


TOLD = {
    "autotcl": "<em>probe</em> reads the representation alone, <em>product</em> sets it on top of "
    "a linear path from the lags, which is <em>no_representation</em> by itself. The random "
    "encoder is the same network before training.",
    "forecaster": "<em>linear_path</em> is the forecaster without its network, "
    "<em>random_encoder</em> a ridge on the vectors of the network before training.",
}


def results(result: dict[str, Any]) -> list[str]:
    """The table of a summary."""
    columns = tables.table_columns(result)
    spreads = tables.spreads(result)
    forecasts = result["task"] == "forecasting"
    lines = []
    for name in next(iter(columns.values())):
        cells = "".join(
            f'<td class="best">{c[name]:.4f}</td>'
            if c[name] == tables.best(result, c)
            else f"<td>{c[name]:.4f}</td>"
            for c in columns.values()
        )
        spread = f"± {spreads[name]:.4f}" if spreads.get(name) else ""
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}<td>{spread}</td></tr>")
    header = "".join(f"<th>{c}</th>" for c in (*columns, "over seeds"))
    first = "MSE by horizon" if forecasts else "Accuracy by probe"
    told = (
        "Test errors in standardised units, means over seeds; the least of each column is marked. "
        + TOLD["autotcl" if "probe" in result else "forecaster"]
        if forecasts
        else "Test accuracy, means over seeds; the greatest of each column is marked. The random "
        "encoder is the same network before training, raw the values themselves."
    )
    timing = ", ".join(f"{n.removesuffix('_s')} {s:.1f} s" for n, s in result["timing"].items())
    return [
        "<h2>Results</h2>",
        f'<div class="wide"><table><tr><th>{first}</th>{header}</tr>',
        *lines,
        f"</table></div><p>{told}</p><p>Time of a seed: {timing}.</p>",
    ]


def _forecasts(result: dict[str, Any], encoder: torch.nn.Module, series: Series) -> list[str]:
    """The product's forecast and the best control's at three origins of the test rows."""
    horizons = [int(h) for h in result["horizons"]]
    horizon = max([h for h in horizons if h <= LONGEST] or [min(horizons)])
    errors = {
        name: control["horizons"][str(horizon)]["mse"]
        for name, control in result["controls"].items()
        if name != "random_encoder"
    }
    control = min(errors, key=errors.__getitem__)
    inputs, _ = evaluation.readout_inputs(encoder, series)
    look_back = closed_form.linear_look_back(series)
    fitted = {
        "product": closed_form.product(inputs, (horizon,), look_back)[horizon],
        control: _control(control, series, inputs, horizon),
    }
    return examples(fitted, series, horizon)


def examples(fitted: dict[str, Forecast], series: Series, horizon: int) -> list[str]:
    """Forecasts of the first channel at three origins of the test rows."""
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
    told = f"{horizon} steps of {column} at three moments of the test rows, in the data's units"
    return ["<h2>Forecasts</h2>", pages.figure(plots.forecasts(drawn, column), told)]


def _control(name: str, series: Series, inputs: readout.Inputs, horizon: int) -> Forecast:
    """The forecast of one control, at least of the first channel, the one that is drawn."""
    values, split = series.values[0, : series.split.test.stop], series.split
    if name == "no_representation":
        return evaluation.linear_path(inputs, series, (horizon,))[horizon]
    if name == "persistence":
        return baselines.persistence(values, horizon)
    if name == "seasonal_naive":
        return baselines.seasonal_naive(values, horizon, series.period)
    calendar = np.zeros((len(values), 0))
    if name == "lag_ridge_calendar":
        values = values[:, :1]
        calendar = second_harmonics(series.calendar[: len(values)])
    ridge = baselines.fit_lag_ridge(
        values, split, horizon, normalise=name == "nridge", calendar=calendar
    )
    return ridge.forecast(values, calendar)


def _augmentation(
    folder: Path, seeds: list[int], encoder: torch.nn.Module, data: Series | Panel, config: Any
) -> list[str]:
    dataset = training_windows(data.train, encoder, config.window)
    x = dataset.__getitems__([len(dataset) // 2]).values  # (1, L, C)
    view = learned_view(folder / f"seed-{seeds[0]}" / "checkpoint.pt", x, config.method)
    if view is None:
        return []
    drawn = (x, view.keep, view.gain, view.values)
    told = "A training window as the augmentation network sees it, and the view that it makes"
    figure = plots.augmentation(*(part[0, :, 0].numpy() for part in drawn))
    return ["<h2>Learned augmentation</h2>", pages.figure(figure, told)]


def learned_view(checkpoint: Path, x: torch.Tensor, method: Any) -> View | None:
    """The view of ``x (1, L, C)`` by the trained augmentation; None where none was learned."""
    if method.augmentation not in ("parametric", "adversarial"):
        return None
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["method"]
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise UserError(f"{checkpoint}: truncated, or not a checkpoint") from error
    prefix = "augmentation."
    own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    network = Augmentation(x.shape[2], factorise=method.factorise, transform=method.transform)
    network.load_state_dict(own)
    uniform = torch.rand(1, x.shape[1], 1, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network(x, uniform.clamp(1e-6, 1 - 1e-6))

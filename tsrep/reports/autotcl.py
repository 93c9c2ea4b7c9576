"""``report.html`` of a pretrained encoder: one file that needs no network and no script."""

import html
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tspcrep.common import pages
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_text
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.contrast.view_network import View, ViewNetwork
from tsrep.datasets.series import Panel, Series
from tsrep.evaluation.forecasts import readout_inputs, series_controls, without_representation
from tsrep.forecasting.product import product
from tsrep.forecasting.protocol import Forecast
from tsrep.reports import plots, sections

_SYSTEMS = {
    "forecasting": "<em>probe</em> reads the representation alone, <em>product</em> sets it on top "
    "of a linear path from the lags, which is <em>no_representation</em> by itself. The random "
    "encoder is the same network before training.",
    "classification": "The random encoder is the same network before training, <em>raw</em> the "
    "values themselves.",
}


def write(
    folder: Path,
    result: dict[str, Any],
    data: Series | Panel,
    encoder: torch.nn.Module,
    learned: tuple[Tensor, View] | None,
) -> Path:
    """Write ``report.html`` into the run ``folder`` and return its path.

    result: of ``result.json``. data: the series or panel that the encoder was trained on. learned:
    a training window (1, L, C) and its view, see :func:`learned_view`.
    """
    where = f"{result['data']}, {result.get('mode', 'classification')}"
    parts = [f"<h1>AutoTCL on {html.escape(where)}</h1>"]
    parts += sections.results(result, _SYSTEMS[result["task"]])
    if isinstance(data, Series):
        parts += _forecasts(result, encoder, data)
    parts += pages.losses(folder, result["seeds"])
    if learned is not None:
        parts += _augmentation(*learned)
    parts += pages.details(folder)
    path = folder / "report.html"
    write_text(path, pages.page(where, parts))
    return path


def _forecasts(result: dict[str, Any], encoder: torch.nn.Module, series: Series) -> list[str]:
    """The forecasts of the product and of the best control."""
    horizon = sections.drawn_horizon(result)
    inputs, _ = readout_inputs(encoder, series)

    def linear(horizon: int) -> Forecast:
        return without_representation(inputs, series, (horizon,))[horizon]

    controls = {**series_controls(series), "no_representation": linear}
    errors = {
        name: scores["horizons"][str(horizon)]["mse"]
        for name, scores in result["controls"].items()
        if name in controls
    }
    best = min(errors, key=errors.__getitem__)
    fitted = {
        "product": product(inputs, (horizon,), series.period)[horizon],
        best: controls[best](horizon),
    }
    return sections.drawn_forecasts(fitted, series, horizon)


def _augmentation(window: Tensor, view: View) -> list[str]:
    drawn = (window, view.keep, view.gain, view.values)
    told = "A training window, the mask and gain of the augmentation network, and their product"
    figure = plots.augmentation(*(part[0, :, 0].numpy() for part in drawn))
    return ["<h2>Learned augmentation</h2>", pages.figure(figure, told)]


def learned_view(checkpoint: Path, window: Tensor, method: AutoTCLConfig) -> View | None:
    """The view of a window (1, L, C) by the trained augmentation network of a checkpoint.

    None where ``method`` learns none. Raises UserError for a damaged file.
    """
    if method.augmentation not in ("parametric", "adversarial"):
        return None
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["method"]
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise UserError(f"{checkpoint}: truncated, or not a checkpoint") from error
    prefix = "augmentation."
    own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    network = ViewNetwork(window.shape[2], factorise=method.factorise, transform=method.transform)
    network.load_state_dict(own)
    uniform = torch.rand(1, window.shape[1], 1, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network(window, uniform.clamp(1e-6, 1 - 1e-6))

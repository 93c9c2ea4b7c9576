"""``report.html`` of a pretrained encoder: one file that needs no network and no script."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tspcrep.common import pages
from tspcrep.common.errors import UserError
from tspcrep.common.markup import Html
from tspcrep.common.runs import write_text
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.contrast.view_network import View, ViewNetwork
from tsrep.datasets.series import Panel, Series
from tsrep.encoders.base import Encoder
from tsrep.evaluation.forecasts import readout_inputs, series_controls, without_representation
from tsrep.forecasting.product import product
from tsrep.forecasting.protocol import Forecast
from tsrep.reports import plots, sections
from tsrep.reports.embedding import embedding_map


def write(
    folder: Path,
    result: dict[str, Any],
    data: Series | Panel,
    encoder: Encoder,
    window: Tensor,
    method: AutoTCLConfig,
) -> Path:
    """Write ``report.html`` into the run ``folder`` and return its path.

    result: of :func:`tsrep.reports.results.read_result`. data: the series or panel that the encoder
    was trained on. window: a training window (1, L, C), whose learned view is drawn. method: how
    the encoder was trained. What the folder lacks besides the result, the page says.
    """
    where = f"{result['data']}, {result.get('mode', 'classification')}"
    parts = sections.results(result)
    if isinstance(data, Series):
        parts.append(_forecasts(result, encoder, data))
    else:
        parts.append(embedding_map(encoder, data, result["seeds"][0]))
    checkpoint = folder / f"seed-{result['seeds'][0]}" / "checkpoint.pt"
    parts += _augmentation(checkpoint, window, method)
    parts += pages.losses(folder, result["seeds"])
    parts += pages.details(folder)
    path = folder / "report.html"
    write_text(path, pages.page(f"AutoTCL on {where}", parts))
    return path


def _forecasts(result: dict[str, Any], encoder: Encoder, series: Series) -> Html:
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
    scored = product(inputs, (horizon,), series.period, series.scaler.zero)
    fitted = {"product": scored[horizon]}
    if errors:
        best = min(errors, key=errors.__getitem__)
        fitted[best] = controls[best](horizon)
    return sections.drawn_forecasts(fitted, series, horizon)


def _augmentation(checkpoint: Path, window: Tensor, method: AutoTCLConfig) -> list[Html]:
    try:
        view = learned_view(checkpoint, window, method)
    except UserError as error:
        return [pages.section("Learned augmentation", pages.missing(f"{error}."))]
    if view is None:
        return []
    drawn = (window, view.keep, view.gain, view.values)
    told = "A training window, the mask and gain of the augmentation network, and their product"
    figure = plots.augmentation(*(part[0, :, 0].numpy() for part in drawn))
    return [pages.section("Learned augmentation", pages.figure(figure, told))]


def learned_view(checkpoint: Path, window: Tensor, method: AutoTCLConfig) -> View | None:
    """The view of a window (1, L, C) by the trained augmentation network of a checkpoint.

    None where ``method`` learns none. Raises UserError for a file that is missing, damaged or of
    another network.
    """
    if method.augmentation not in ("parametric", "adversarial"):
        return None
    prefix = "augmentation."
    network = ViewNetwork(window.shape[2], factorise=method.factorise, transform=method.transform)
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["method"]
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        network.load_state_dict(own)
    except OSError as error:
        raise UserError(f"{checkpoint}: {error.strerror}; expected a checkpoint") from error
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise UserError(f"{checkpoint}: truncated, or not a checkpoint") from error
    uniform = torch.rand(1, window.shape[1], 1, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network(window, uniform.clamp(1e-6, 1 - 1e-6))

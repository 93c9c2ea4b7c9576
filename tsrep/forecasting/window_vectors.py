"""The vectors that a trained network gives to the windows of a series."""

import numpy as np
import torch

from tsrep.forecasting.network import Forecaster
from tsrep.forecasting.task import Task
from tsrep.forecasting.windows import ForecastWindows


def window_vectors(network: Forecaster, task: Task, rows: slice) -> np.ndarray:
    """The network's vector of the window that ends at each of ``rows``: (C or 1, T, D).

    Rows elsewhere are zero. Before the first value of the series, windows hold the first.
    """
    data = windows_ending_at(network, task, rows, 1)
    groups = data.channels if network.independent else 1
    found = np.zeros((groups, len(task.values), network.config.dim), dtype=np.float32)
    size = max(1, 256 // groups)
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        for first in range(0, len(data), size):
            batch = data.__getitems__(range(first, min(first + size, len(data)))).to(device)
            vectors = network.summary(network.seen(batch.past, batch.known)[0]).cpu()
            at = slice(rows.start + first, rows.start + first + len(batch.past))
            found[:, at] = vectors.view(-1, groups, vectors.shape[1]).transpose(0, 1).numpy()
    return found


def windows_ending_at(
    network: Forecaster, task: Task, rows: slice, horizon: int
) -> ForecastWindows:
    """Windows that end at ``rows``; before the first value of the series stands the first."""
    look_back = network.config.look_back
    before = look_back - 1

    def led(table: np.ndarray | None) -> np.ndarray | None:
        return None if table is None else np.concatenate([table[:1].repeat(before, 0), table])

    return ForecastWindows(
        led(task.values),
        slice(before + rows.start, before + rows.stop + 1),
        look_back,
        network.horizon if task.known is not None else horizon,
        before=True,
        known=led(task.known),
        past=led(task.past),
    )

"""From a series to a trained encoder: the parts that tools, tests and benchmarks share."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tspcrep.common.errors import UserError
from tsrep.datasets.series import Panel, Series
from tsrep.datasets.windows import WindowDataset
from tsrep.encoders import Centred


@dataclass(frozen=True)
class WindowConfig:
    """The windows that the encoder trains on."""

    length: int = 192
    """Steps of a window."""
    stride: int = 16
    """Steps between the starts of windows."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise UserError(
                f"length {self.length}, stride {self.stride}: expected windows of at least 1 step"
            )


def inner(encoder: nn.Module) -> nn.Module:
    """The network that training updates: without the trailing mean, which has no weights."""
    return encoder.encoder if isinstance(encoder, Centred) else encoder


def training_windows(series: Series, encoder: nn.Module, config: WindowConfig) -> WindowDataset:
    """Windows of the train rows as ``inner(encoder)`` sees them: channels apart, level removed."""
    values = _as_seen(encoder, series.values[:, : series.split.train.stop])
    return WindowDataset(values, config.length, config.stride, rows=series.split.train)


def panel_windows(panel: Panel, encoder: nn.Module, config: WindowConfig) -> WindowDataset:
    """As :func:`training_windows`, of the train instances of a panel.

    Instances shorter than a window are one window each, missing values behind their end.
    """
    return instance_windows(panel.train, encoder, config)


def instance_windows(values: np.ndarray, encoder: nn.Module, config: WindowConfig) -> WindowDataset:
    """As :func:`panel_windows`, of any series ``values (N, T, C)``, NaN behind shorter ones."""
    length = min(config.length, values.shape[1])
    return WindowDataset(_as_seen(encoder, values), length, config.stride)


def _as_seen(encoder: nn.Module, values: np.ndarray) -> np.ndarray:
    """``values (N, T, C)`` as ``inner(encoder)`` sees them."""
    if encoder.in_channels == 1:
        values = np.concatenate([values[..., c : c + 1] for c in range(values.shape[2])])
    if isinstance(encoder, Centred):
        x = torch.from_numpy(values)
        values = (x - encoder.level(x)).numpy()
    return values

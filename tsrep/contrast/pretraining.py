"""Training windows of a series, and the training of an encoder on them by AutoTCL."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
from tsrep.datasets.windows import WindowDataset
from tsrep.encoders import Encoder


@dataclass(frozen=True)
class WindowConfig:
    """Windows to train the encoder on."""

    length: int = 192
    """Length of a window in steps."""
    stride: int = 16
    """Steps between the starts of successive windows."""

    def __post_init__(self) -> None:
        if self.length < 1 or self.stride < 1:
            raise UserError(
                f"length {self.length}, stride {self.stride}: expected windows of at least 1 step"
            )


def training_windows(values: np.ndarray, encoder: Encoder, config: WindowConfig) -> WindowDataset:
    """Windows of training series ``values (N, T, C)`` as ``encoder.network`` sees them.

    An encoder of one channel has windows of each channel by itself. Series shorter than a window
    are one window each, missing values (NaN) behind their end.
    """
    x = torch.from_numpy(np.concatenate(encoder.apart(values)))
    length = min(config.length, values.shape[1])
    return WindowDataset(encoder.network_input(x).numpy(), length, config.stride)


def train_encoder(
    encoder: Encoder,
    windows: WindowDataset,
    method: AutoTCLConfig,
    training: Training,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
) -> Encoder:
    """Train ``encoder.network`` by AutoTCL and return the encoder with averaged weights.

    folder, resume: see :func:`tspcrep.common.training.fit`. The result is on the device of the
    training.
    """
    autotcl = AutoTCL(encoder.network, method)
    fit(autotcl, windows, training, seed, folder, resume)
    averaged = autotcl.averaged.module
    assert isinstance(averaged, Encoder)  # a copy of what is trained
    return encoder.rewrap(averaged)

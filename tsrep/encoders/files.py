"""Save and load encoders of series."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tspcrep.common import weights
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.encoders.base import Encoder
from tsrep.encoders.config import BACKBONES
from tsrep.encoders.level import centred

_KINDS = {f"tsrep.{network.__name__}": network for network in BACKBONES.values()}


def save_encoder(
    path: str | Path,
    encoder: Encoder,
    scaler: Scaler | None = None,
    columns: Sequence[str] = (),
) -> None:
    """Write an encoder of this package as safetensors, its configuration in the header.

    scaler, columns: those of the training series, to scale new data in the same way.
    """
    network = encoder.network
    kind = next((name for name, cls in _KINDS.items() if type(network) is cls), None)
    if kind is None:
        raise TypeError(f"encoder is a {type(network).__name__}, expected one of {list(_KINDS)}")
    config = {"window": encoder.window, "encoder": network.config, "columns": list(columns)}
    if scaler is not None:
        config |= {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
    weights.save_encoder(path, network, kind, config)


def load_encoder(path: str | Path) -> Encoder:
    """The encoder in a file, or in a run folder, ready for :func:`tsrep.encode`.

    Imports no training code and unpickles nothing. ``encoder.columns`` and ``encoder.scaler`` are
    those of the training series, () and None if it was saved without them.

    Raises
    ------
    UserError
        No such file, a truncated one, or the weights of another model.
    """
    kind, config, tensors = weights.read_encoder(path)
    if kind not in _KINDS:
        raise UserError(f"{path}: holds a {kind!r}, expected one of {list(_KINDS)}")
    try:
        network = _KINDS[kind](**config["encoder"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a header of another version ({error})") from error
    weights.load_into(network, tensors, path)
    encoder = centred(network, config.get("window"))
    encoder.columns = tuple(config.get("columns", ()))
    encoder.scaler = None
    if "mean" in config:
        encoder.scaler = Scaler(np.array(config["mean"]), np.array(config["std"]))
    return encoder.eval()


def untrained(encoder: Encoder, seed: int = 0) -> Encoder:
    """The same encoder without training: its weights are initialised anew with ``seed``."""
    network = encoder.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(network)(**network.config)
    return encoder.rewrap(fresh).eval()

"""Encoders of series as files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tspcrep.common import weights
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.encoders.dilated_conv import DilatedConv
from tsrep.encoders.level import Centred
from tsrep.encoders.lstm import LSTM
from tsrep.encoders.tcn import TCN
from tsrep.encoders.transformer import Transformer

_KINDS = {f"tsrep.{kind.__name__}": kind for kind in (DilatedConv, LSTM, TCN, Transformer)}


def save_encoder(
    path: str | Path,
    encoder: nn.Module,
    scaler: Scaler | None = None,
    columns: Sequence[str] = (),
) -> None:
    """Write an encoder of this package as safetensors, its configuration in the header.

    scaler, columns: of the series that it was trained on, to scale new data alike.
    """
    window = encoder.window if isinstance(encoder, Centred) else None
    inner = encoder.encoder if isinstance(encoder, Centred) else encoder
    kind = next((name for name, cls in _KINDS.items() if type(inner) is cls), None)
    if kind is None:
        raise TypeError(f"encoder is a {type(inner).__name__}, expected one of {list(_KINDS)}")
    config = {"window": window, "encoder": inner.config, "columns": list(columns)}
    if scaler is not None:
        config |= {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
    weights.save_encoder(path, inner, kind, config)


def load_encoder(path: str | Path) -> nn.Module:
    """The encoder in a file, or in a run folder, ready for :func:`tsrep.encode`.

    Needs no trainer and unpickles nothing. ``encoder.columns`` and ``encoder.scaler`` are those of
    the series that it was trained on, () and None where it was saved without.

    Raises
    ------
    UserError
        No such file, a truncated one, or the weights of another model.
    """
    kind, config, tensors = weights.read_encoder(path)
    if kind not in _KINDS:
        raise UserError(f"{path}: holds a {kind!r}, expected one of {list(_KINDS)}")
    try:
        inner = _KINDS[kind](**config["encoder"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a header of another version ({error})") from error
    weights.load_into(inner, tensors, path)
    encoder = inner if config.get("window") is None else Centred(inner, config["window"])
    encoder.columns = tuple(config.get("columns", ()))
    encoder.scaler = None
    if "mean" in config:
        encoder.scaler = Scaler(np.array(config["mean"]), np.array(config["std"]))
    return encoder.eval()


def untrained(encoder: nn.Module, seed: int = 0) -> nn.Module:
    """An encoder of this package as it was before training: drawn anew with ``seed``."""
    inner = encoder.encoder if isinstance(encoder, Centred) else encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(inner)(**inner.config)
    return (Centred(fresh, encoder.window) if isinstance(encoder, Centred) else fresh).eval()

"""Encoders of series: (B, T, C) -> (B, T, D), with in_channels, dim, causal, receptive_field."""

from pathlib import Path

from torch import nn

from common import weights
from common.errors import UserError
from tsrep.encoders.centred import Centred
from tsrep.encoders.dilated_conv import DilatedConv

__all__ = ["Centred", "DilatedConv", "load_encoder", "save_encoder"]

_KINDS = {"tsrep.DilatedConv": DilatedConv}


def save_encoder(path: str | Path, encoder: nn.Module) -> None:
    """Write an encoder of this package as safetensors, its configuration in the header."""
    window = encoder.window if isinstance(encoder, Centred) else None
    inner = encoder.encoder if isinstance(encoder, Centred) else encoder
    kind = next((name for name, cls in _KINDS.items() if type(inner) is cls), None)
    if kind is None:
        raise TypeError(f"encoder is a {type(inner).__name__}, expected one of {list(_KINDS)}")
    config = {"window": window, "encoder": inner.config}
    weights.save_encoder(path, inner, kind, config)


def load_encoder(path: str | Path) -> nn.Module:
    """The encoder in a file, or in a run folder, ready for :func:`tsrep.encode`.

    Needs no trainer and unpickles nothing.

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
    return encoder.eval()

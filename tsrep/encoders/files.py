"""Save and load encoders of series."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

import numpy as np
import torch

from tspcrep.common import hub, weights
from tspcrep.common.errors import UserError
from tspcrep.common.typed_json import check
from tsrep.datasets.series import Scaler
from tsrep.encoders.base import Encoder
from tsrep.encoders.config import BACKBONES
from tsrep.encoders.level import MOST, centred

SHIPPED = Path(__file__).parents[1] / "weights"
"""Pretrained encoders in the package, each beside its model card."""

_KINDS = {f"tsrep.{network.__name__}": network for network in BACKBONES.values()}


def save_encoder(
    path: str | Path,
    encoder: Encoder,
    scaler: Scaler | None = None,
    columns: Sequence[str] = (),
    half: bool = False,
) -> None:
    """Write an encoder of this package as safetensors, its configuration in the header.

    scaler, columns: those of the training series, to scale new data in the same way. half: keep the
    weights in 16 bits, half the size; they are read as 32 bits again.
    """
    network = encoder.network
    kind = next((name for name, cls in _KINDS.items() if type(network) is cls), None)
    if kind is None:
        raise TypeError(f"encoder is a {type(network).__name__}, expected one of {list(_KINDS)}")
    config = {"window": encoder.window, "encoder": network.config, "columns": list(columns)}
    if scaler is not None:
        config |= {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
    weights.save_encoder(path, network, kind, config, half)


def list_encoders() -> tuple[str, ...]:
    """Names of the pretrained encoders that the package brings along, for :func:`load_encoder`."""
    return weights.shipped_names(SHIPPED)


def load_encoder(path: str | Path) -> Encoder:
    """An encoder that is shipped, by its name, or that in a file or a folder.

    The folder is that of a run, or one that :func:`save_pretrained` wrote.
    ``load_encoder("series-small")`` needs no download; see :func:`list_encoders`, and the model
    card beside the file for data, command, licence and numbers. The encoder is ready for
    :func:`tsrep.encode`.

    Imports no training code and unpickles nothing. ``encoder.columns`` and ``encoder.scaler`` are
    those of the training series, () and None if it was saved without them.

    Raises
    ------
    UserError
        No such name or file, a truncated file, or the weights of another model.
    """
    path = weights.encoder_path(path, SHIPPED)
    kind, config, tensors = weights.read_encoder(path)
    if kind not in _KINDS:
        raise UserError(f"{path}: holds a {kind!r}, expected one of {list(_KINDS)}")
    settings, window = config.get("encoder"), config.get("window")
    columns = weights.check_names(config.get("columns", []), "columns", path)
    depth = settings.get("depth", 0) if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(depth, int) or depth > len(tensors):
        raise UserError(f"{path}: a header of another version: encoder {settings!r}")
    for name, form in get_type_hints(_KINDS[kind].__init__).items():
        if name in settings:
            check(settings[name], form, f"{path}: {name}")
    if not (window is None or (type(window) is int and 0 <= window <= MOST)):
        raise UserError(f"{path}: window: found {window!r}, expected at most {MOST:,} steps")
    network = weights.build(lambda: _KINDS[kind](**settings), tensors, path)
    encoder = centred(network, window)
    encoder.columns, encoder.scaler = columns, _scaler(config, path)
    return encoder.eval()


def save_pretrained(encoder: Encoder, folder: str | Path, license: str = "unknown") -> None:
    """Write an encoder as a folder in the form of the Hugging Face hub.

    ``model.safetensors`` is what :func:`save_encoder` writes, with the scaler and columns that
    the encoder was loaded with; ``config.json`` shows its configuration and ``README.md`` is a
    model card to be filled in, which is kept where there is one. To upload:
    ``hf upload owner/name folder``.

    license: of the weights, by the hub's identifier, such as ``apache-2.0``.
    """
    scaler, columns = getattr(encoder, "scaler", None), getattr(encoder, "columns", ())
    save_encoder(Path(folder) / weights.MODEL, encoder, scaler, columns)
    hub.describe(folder, "tsrep", "time series", license, ("time-series", "contrastive-learning"))


def from_pretrained(name: str | Path, revision: str | None = None) -> Encoder:
    """The encoder in a folder, or of the model ``owner/name`` on the Hugging Face hub.

    A folder, and a model in the hub's cache, need no network. Nothing is unpickled, and no code is
    downloaded. The extra ``hub`` brings what a download needs.

    revision: branch, tag or commit on the hub.

    Raises
    ------
    UserError
        As :func:`load_encoder`, and as :func:`tspcrep.common.hub.local_folder`.
    """
    return load_encoder(hub.local_folder(name, revision))


def _scaler(config: dict, path: Path) -> Scaler | None:
    if "mean" not in config:
        return None
    try:
        mean, std = (np.array(config[name], np.float64) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        mean = std = np.empty(0)
    if (
        mean.ndim != 1
        or mean.shape != std.shape
        or not len(mean)
        or not (np.isfinite([mean, std]).all() and (std > 0).all())
    ):
        raise UserError(f"{path}: mean and std: expected numbers for each channel, std above 0")
    return Scaler(mean, std)


def untrained(encoder: Encoder, seed: int = 0) -> Encoder:
    """The same encoder without training: its weights are initialised anew with ``seed``."""
    network = encoder.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(network)(**network.config)
    return encoder.rewrap(fresh).eval()

"""Encoder files: safetensors with the configuration in the header. Nothing is unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically

FILE = "encoder.safetensors"


def save_encoder(path: str | Path, encoder: nn.Module, kind: str, config: dict[str, Any]) -> None:
    """Write the weights of ``encoder`` and the configuration to rebuild it, atomically.

    Parameters
    ----------
    path : file to write.
    kind : name of the encoder class in the package.
    config : keyword arguments of the class, serialisable as JSON.
    """
    save_tensors(path, encoder.state_dict(), kind, config)


def save_tensors(
    path: str | Path, tensors: Mapping[str, torch.Tensor], kind: str, config: dict[str, Any]
) -> None:
    """:func:`save_encoder` of weights that have other names in the file than in the module."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"kind": kind, "config": json.dumps(config)}
    write_atomically(Path(path), lambda file: file.write(save(tensors, header)))


def read_encoder(path: str | Path) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    """Read ``(kind, config, tensors)`` from an encoder file or from a run folder with one.

    Raises
    ------
    UserError
        The file is missing, truncated, or not an encoder of this project.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected an encoder file or a finished run folder")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path}: truncated, or not a safetensors file ({error})") from error
    try:
        return header["kind"], dict(json.loads(header["config"])), tensors
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: a safetensors file without this project's header; not an encoder"
        ) from error


def load_into(module: nn.Module, tensors: dict[str, torch.Tensor], where: str | Path) -> None:
    """Load ``tensors`` into ``module``; UserError names the first tensor that does not fit."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise UserError(
                f"{where}: weights of another model: {name} is {found}, expected {expected}"
            )
    module.load_state_dict(tensors)

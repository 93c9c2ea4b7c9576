"""Encoder files: safetensors with the configuration in the header. Nothing is unpickled."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically
from tspcrep.common.typed_json import read_json

FILE = "encoder.safetensors"
MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"  # of a folder for a hub
Module = TypeVar("Module", bound=nn.Module)


def save_encoder(
    path: str | Path, encoder: nn.Module, kind: str, config: dict[str, Any], half: bool = False
) -> None:
    """Write the weights of ``encoder`` and the configuration to rebuild it, atomically.

    Parameters
    ----------
    path : file to write.
    kind : name of the encoder class in the package.
    config : keyword arguments of the class, serialisable as JSON.
    half : keep the weights in 16 bits, half the size; modules read them as 32 bits again.
    """
    save_tensors(path, encoder.state_dict(), kind, config, half)


def save_tensors(
    path: str | Path,
    tensors: Mapping[str, torch.Tensor],
    kind: str,
    config: dict[str, Any],
    half: bool = False,
) -> None:
    """:func:`save_encoder` of weights that have other names in the file than in the module."""
    if half:
        tensors = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"kind": kind, "config": json.dumps(config)}
    header["digest"] = _digest(header, tensors)
    write_atomically(Path(path), lambda file: file.write(save(tensors, header)))


def read_encoder(path: str | Path) -> tuple[str, dict[str, Any], dict[str, torch.Tensor]]:
    """Read ``(kind, config, tensors)`` from an encoder file, or from a folder with one.

    That is a run folder or one in the form of the Hugging Face hub (:mod:`tspcrep.common.hub`).

    Raises
    ------
    UserError
        The file is missing, truncated, damaged, or not an encoder of this project; the
        ``config.json`` beside a hub's file says otherwise than the file. Files of versions before
        0.3 hold no digest by which a damage is found.
    """
    path = encoder_file(path)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; expected an encoder file or a finished run folder")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # of shapes that cannot be torch raises almost anything
        raise UserError(f"{path}: truncated, or not a safetensors file ({error})") from error
    if "digest" in header and header["digest"] != _digest(header, tensors):
        raise UserError(f"{path}: damaged, its content is not what was written; get it anew")
    try:
        kind, config = header["kind"], dict(json.loads(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: a safetensors file without this project's header; not an encoder"
        ) from error
    beside = path.with_name(CONFIG)
    if path.name == MODEL and os.path.isfile(beside):
        _check_agreement(beside, public_config(kind, config))
    return kind, config, tensors


def encoder_file(path: str | Path) -> Path:
    """``path``, or the file of the encoder in it where it is a folder; it need not be there."""
    path = Path(path)
    if not os.path.isdir(path):  # of pathlib's methods some raise for a path that cannot be
        return path
    of_run = os.path.isfile(path / FILE) or not os.path.isfile(path / MODEL)
    return path / (FILE if of_run else MODEL)


def public_config(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``config.json`` holds beside an encoder: the header, to be read by people."""
    return {"model_type": kind, **config}


def _check_agreement(path: Path, of_header: dict[str, Any]) -> None:
    found = read_json(path, dict[str, Any])
    for name in sorted(of_header.keys() | found.keys()):
        here, there = (c.get(name, "nothing") for c in (found, of_header))
        if here != there:
            raise UserError(
                f"{path}: {name} is {here!r:.80}, and {there!r:.80} in the header of {MODEL}, "
                f"which alone is read; remove {CONFIG}, or get both anew"
            )


def _digest(header: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of kind, configuration, and names, types, shapes and bytes of the tensors."""
    digest = hashlib.sha256(f"{header.get('kind')} {header.get('config')}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def shipped_names(*folders: Path) -> tuple[str, ...]:
    """Names of the encoders that packages bring along in ``folders``."""
    return tuple(sorted(file.stem for folder in folders for file in folder.glob("*.safetensors")))


def encoder_path(path: str | Path, *folders: Path) -> Path:
    """The file of an encoder in ``folders`` if ``path`` is its name, else ``path``.

    What exists goes first. Raises UserError, with the list of names, for a single word that is
    neither.
    """
    name, path = str(path), Path(path)
    if os.path.exists(path) or path.suffix or len(path.parts) > 1 or not shipped_names(*folders):
        return path
    for folder in folders:
        if name in shipped_names(folder):
            return folder / f"{name}.safetensors"
    raise UserError(
        f"{name}: no such encoder; expected one of {', '.join(shipped_names(*folders))}, an "
        "encoder file or a finished run folder"
    )


def build(
    make: Callable[[], Module], tensors: dict[str, torch.Tensor], where: str | Path
) -> Module:
    """The module that ``make`` makes, with ``tensors``; what does not fit is one line.

    It is made without memory first, so that a header cannot ask for more than its file holds.
    """
    try:
        with torch.device("meta"):
            check_fit(make(), tensors, where)
        module = make()
    except UserError as error:
        if str(error).startswith(str(where)):
            raise
        raise UserError(f"{where}: {error}") from error
    except Exception as error:  # a header of anybody may hold anything
        raise UserError(f"{where}: a header of another version or damaged ({error!r})") from error
    module.load_state_dict(tensors)
    return module


def check_fit(module: nn.Module, tensors: dict[str, torch.Tensor], where: str | Path) -> None:
    """Raise a UserError that names the first of ``tensors`` that does not fit into ``module``."""
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        expected = tuple(own[name].shape) if name in own else "nothing"
        if found != expected:
            raise UserError(
                f"{where}: weights of another model: {name} is {found}, expected {expected}"
            )


def check_names(found: object, field: str, where: str | Path) -> tuple[str, ...]:
    """The names in a field of a header; UserError for anything but a list of them."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{where}: {field}: found {found!r}, expected a list of names")
    return tuple(found)

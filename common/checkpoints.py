"""``checkpoint.pt``: everything from which ``fit`` continues a run, and for which run it is."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from tspcrep.common.errors import UserError

_PARTS = ("method", "optimizers", "precision", "step", "metrics_size", "epoch_values")

_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What AdamW keeps of a parameter."""


def fingerprint(*parts: np.ndarray | str | int | None) -> str:
    """A short hash of a data set's content, for ``Batches.fingerprint``."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def read_checkpoint(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of the run that ``run`` describes.

    Raises
    ------
    UserError
        The file is truncated, no checkpoint, or of another run: it was trained with other data,
        another seed or another batch of all processes, by which a step means something else.
        A checkpoint from before this was stated is taken as it is.
    """
    try:  # weights_only: a checkpoint from elsewhere runs no code
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {name: state[name] for name in _PARTS} | {"run": _stated(state.get("run", {}))}
        _check(state)
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise UserError(
            f"{path}: truncated, or not a checkpoint; delete it to train this seed again "
            f"({type(error).__name__})"
        ) from error
    run = _stated(run)
    for name, before in state["run"].items():
        now = run.get(name)
        if before not in (None, now):
            raise UserError(
                f"{path}: of a run with {name} = {before}, found {now}; resume with the same, or "
                "delete the file to train this seed again"
            )
    return state


def _stated(run: dict[str, Any]) -> dict[str, Any]:
    """What is said of a run, its batch that of all processes, however they share it out."""
    rest = dict(run)
    size, processes = rest.pop("batch_size", None), rest.pop("processes", None)
    if size is None or processes is None:
        return rest
    return rest | {"batch_size x processes": int(size) * int(processes)}


def load_optimizer(optimizer: Optimizer, state: dict[str, Any], path: Path) -> None:
    """Load what :func:`read_checkpoint` read, if it is of an optimiser of these parameters.

    Raises UserError where it is not: torch would take moments of any shape, and fail in a step.
    """
    settings = [{**group} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)
        for before, group in zip(settings, optimizer.param_groups, strict=True):
            for name in before.keys() - {"params"}:
                _require(_alike(group[name], before[name]), f"{name} is {group[name]!r}")
        for parameter, moments in optimizer.state.items():
            _require(moments.keys() == _MOMENTS, f"it holds {', '.join(map(str, moments))}")
            for name, moment in moments.items():
                counts = name == "step"
                shape = torch.Size() if counts else parameter.shape
                _require(moment.shape == shape, f"{name} has another shape")
                _require(not counts or moment >= 1, f"{name} is {moment}")
    except Exception as error:  # anything may be in a damaged file
        raise UserError(
            f"{path}: of another optimiser, or damaged ({error}); delete it to train this seed "
            "again"
        ) from error


def _alike(found: Any, own: Any) -> bool:
    if isinstance(own, (tuple, list)):
        same = isinstance(found, (tuple, list)) and len(found) == len(own)
        return same and all(map(_alike, found, own))
    if isinstance(own, float) or (isinstance(own, int) and not isinstance(own, bool)):
        return isinstance(found, (int, float)) and math.isfinite(found) and abs(found) < 2**62
    return type(found) is type(own) and found == own  # what torch computes with, such as capturable


def _check(state: dict[str, Any]) -> None:
    """Raise ValueError for a part that a checkpoint cannot hold."""
    for name in ("step", "metrics_size"):
        value = state[name]
        _require(type(value) is int and 0 <= value < 2**62, f"{name} is {value!r}")
    for name in ("method", "optimizers", "precision", "epoch_values"):
        _require(isinstance(state[name], dict), f"{name} is {state[name]!r}")
    for name, tensor in state["method"].items():
        _require(isinstance(tensor, torch.Tensor), f"{name} is {tensor!r}")
    for name, values in state["epoch_values"].items():
        _require(np.asarray(values, dtype=float).ndim > 0, f"{name} is {values!r}")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)

"""``checkpoint.pt``: everything from which ``fit`` continues a run, and for which run it is."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tspcrep.common.errors import UserError

_PARTS = ("method", "optimizers", "precision", "step", "metrics_size", "epoch_values")


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
        The file is truncated, no checkpoint, or of another run: it was trained with another number
        of processes, other data, another batch size or seed, by which a step means something else.
        A checkpoint from before this was stated is taken as it is.
    """
    try:  # weights_only: a checkpoint from elsewhere runs no code
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {name: state[name] for name in _PARTS} | {"run": dict(state.get("run", {}))}
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise UserError(
            f"{path}: truncated, or not a checkpoint; delete it to train this seed again "
            f"({type(error).__name__})"
        ) from error
    for name, before in state["run"].items():
        now = run.get(name)
        if before not in (None, now):
            raise UserError(
                f"{path}: of a run with {name} = {before}, found {now}; resume with the same, or "
                "delete the file to train this seed again"
            )
    return state

"""Loggers of Lightning Fabric: the scalars of ``metrics.jsonl`` in a form that other tools plot."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tspcrep.common.errors import UserError

if TYPE_CHECKING:  # what a run folder is can be read without the trainer's libraries
    from lightning_fabric.loggers import Logger

Kind = Literal["none", "csv", "tensorboard"]


def check_logger(kind: Kind) -> None:
    """Raise UserError where a logger needs a package that is not installed."""
    if kind == "tensorboard" and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
        raise UserError(
            "--logger tensorboard needs tensorboard or tensorboardX, which writes its files alone: "
            "pip install 'tspcrep[tensorboard]'"
        )


def open_logger(kind: Kind, folder: Path) -> "Logger | None":
    """A logger that writes anew to the folder ``csv`` or ``tensorboard`` in ``folder``.

    What an earlier one wrote there is removed: neither can take rows back, as a run that is resumed
    does, so :class:`~tspcrep.common.metrics_log.MetricsLog` hands on all rows again.

    Raises UserError as :func:`check_logger`.
    """
    check_logger(kind)
    if kind == "none":
        return None
    from lightning_fabric.loggers import CSVLogger, TensorBoardLogger

    shutil.rmtree(folder / kind, ignore_errors=True)
    make = {"csv": CSVLogger, "tensorboard": TensorBoardLogger}[kind]
    return make(folder, name=None, version=kind)

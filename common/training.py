"""The training loop's door: ``fit``, which trains a method on data.

``fit`` moves a batch to the device and never looks inside it; only the method knows what a batch
is. Devices, precision and several processes are left to Lightning Fabric.
"""

import os
from datetime import timedelta
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from tspcrep.common.distributed import launched_processes
from tspcrep.common.errors import UserError
from tspcrep.common.interrupts import held
from tspcrep.common.loop import Loop
from tspcrep.common.methods import Batches, Cached, Method
from tspcrep.common.training_config import Training


def _make_fabric(training: Training) -> Fabric:
    """Fabric for this process; under torchrun or SLURM, one of several."""
    if training.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device: found 'cuda', and torch sees no GPU: take auto or cpu, or install torch for "
            "this GPU"
        )
    world = launched_processes()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))  # on this machine
    fabric = Fabric(
        accelerator="gpu" if training.device == "cuda" else training.device,
        devices=local,
        num_nodes=world // local,
        strategy=_side_by_side() if world > 1 else "auto",
        precision=training.precision,
    )
    fabric.launch()
    return fabric


def _side_by_side() -> DDPStrategy:
    return DDPStrategy(
        # The phases take turns, so in each backward pass some parameters have no gradient.
        find_unused_parameters=True,
        # Others wait here while the first one evaluates; torchrun ends them if it fails.
        timeout=timedelta(days=1),
    )


def fit(
    method: Method,
    data: Batches,
    training: Training,
    seed: int,
    folder: str | Path | None,
    resume: bool = False,
) -> None:
    """Train ``method`` in place and write ``checkpoint.pt`` and ``metrics.jsonl`` to ``folder``.

    With ``folder=None`` no file is written. Parameters that do not require a gradient stay as they
    are.

    A run that is killed at any moment and continued with ``resume`` ends with the same bits as an
    uninterrupted one: the checkpoint contains the method (with its moving averages and queues), the
    optimisers and the position; the random numbers of a step, in the data and in the method, depend
    on ``(seed, step)`` alone, and the order of the samples on ``(seed, epoch)``. On Ctrl-C or
    SIGTERM the step is finished and a checkpoint written; of several processes none waits so.

    Several processes (torchrun) train as one does with all their batches: ``batch_size`` is that of
    each. A run may go on with another number of them where the product of both is the same.

    Raises
    ------
    UserError
        The checkpoint to resume from is truncated, or is of another model or run (batch size times
        processes, seed, data); ``chunks`` is above 1 for a method that is not :class:`Cached`; the
        logger needs a package that is not installed.
    DivergedError
        A loss or a gradient is not finite, which is a UserError and a FloatingPointError; the
        message names step, phase and the last checkpoint.
    """
    cached = _in_chunks(method, training.chunks)
    fabric = _make_fabric(training)
    loop = Loop(method, cached, data, training, seed, folder, fabric)
    if resume and loop.checkpoint and loop.checkpoint.exists():
        loop.load(loop.checkpoint)
    if fabric.world_size > 1:  # a process that stops earlier than others would leave them waiting
        loop.run(lambda: False)
        return
    with held() as stopped:
        loop.run(stopped)


def _in_chunks(method: Method, chunks: int) -> Cached | None:
    """The method, as one that embeds batches in chunks; None where they are whole."""
    if chunks == 1:
        return None
    if not isinstance(method, Cached):
        raise UserError(
            f"chunks: found {chunks}, expected 1: {type(method).__name__} computes the loss of a "
            "whole batch at once; lower batch_size to save memory"
        )
    return method

"""The length and options of a training, and ``fit``, which trains.

``fit`` moves a batch to the device and never looks inside it; only the method knows what a batch
is. Devices, precision and several processes are left to Lightning Fabric.
"""

import math
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from tspcrep.common.distributed import launched_processes
from tspcrep.common.errors import UserError
from tspcrep.common.interrupts import held
from tspcrep.common.loggers import Kind
from tspcrep.common.loop import Loop
from tspcrep.common.methods import Batches, Cached, Method


@dataclass(frozen=True)
class Training:
    """Length of the training, optimisation, and the device it runs on."""

    epochs: int = 20
    """Number of passes over the training data."""
    max_steps: int | None = None
    """Stop after this number of steps, even if epochs are left."""
    batch_size: int = 32
    """Samples per batch, on each process."""
    drop_last: bool = False
    """Leave out the last batch of an epoch if it is not full."""
    accumulate: int = 1
    """Batches per step: their gradients are averaged before the update."""
    chunks: int = 1
    """Parts in which a batch is embedded, to save memory without changing its contrastive loss."""
    workers: int = 0
    """Processes that load batches in advance; with 0 the training process loads them."""
    warmup: int = 0
    """Steps over which the learning rate rises linearly, before the schedule begins."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Schedule of the learning rate: half a cosine down to 0, or constant."""
    clip: float = 1.0
    """Largest allowed norm of the gradient of a phase."""
    checkpoint_every: int = 100
    """Steps between two checkpoints; another one is written at the end."""
    logger: Kind = "none"
    """Write the scalars of metrics.jsonl to the seed's folder csv or tensorboard, too."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Floating-point precision of the forward and backward passes."""
    compile: bool = False
    """Compile the loss with torch.compile."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "chunks", "checkpoint_every", "clip"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        for name in ("workers", "warmup"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 0")
        if self.max_steps is not None and self.max_steps < 1:
            raise UserError(f"max_steps: found {self.max_steps}, expected at least 1")

    def epoch_steps(self, samples: int) -> int:
        """Steps in which the launched processes see all ``samples`` once."""
        together = self.batch_size * launched_processes()
        batches = samples // together if self.drop_last else math.ceil(samples / together)
        return math.ceil(batches / self.accumulate)

    def total_steps(self, samples: int) -> int:
        """Steps of a whole training on ``samples``."""
        steps = self.epochs * self.epoch_steps(samples)
        return steps if self.max_steps is None else min(steps, self.max_steps)


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

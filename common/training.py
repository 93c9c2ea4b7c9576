"""The one training loop.

``fit`` moves a batch to the device and never looks inside it; what a batch means is the method's
business. Devices, precision and several processes are Lightning Fabric's.
"""

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically
from tspcrep.common.samplers import EpochSampler, as_batch
from tspcrep.common.weights import load_into


@dataclass(frozen=True)
class Phase:
    """Parameters that are updated together.

    In every epoch that ``every`` divides, a step minimises ``method.loss(batch, name)["loss"]``
    over ``parameters`` alone. Several phases of an epoch take turns within each step, in the order
    in which the method lists them.
    """

    name: str
    parameters: list[nn.Parameter]
    learning_rate: float
    every: int = 1
    weight_decay: float = 0.0


class Method(Protocol):
    """What ``fit`` trains: an ``nn.Module`` whose state dict is all that it must remember."""

    def phases(self) -> list[Phase]: ...

    def loss(self, batch: Any, phase: str) -> dict[str, Tensor]:
        """``"loss"`` is minimised, every other scalar or vector is logged."""
        ...

    def after_step(self) -> None:
        """Moving averages, queues, prototypes."""
        ...


class Batches(Protocol):
    """A dataset that hands out whole batches."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Any: ...


@dataclass(frozen=True)
class Training:
    """How long and on what to train."""

    epochs: int = 20
    """Passes over the training data."""
    max_steps: int | None = None
    """Stop after so many steps, whatever the epochs say."""
    batch_size: int = 32
    """Samples in a batch, on each process."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate over the steps: a half cosine down to 0, or constant."""
    clip: float = 1.0
    """Largest norm of a phase's gradient."""
    checkpoint_every: int = 100
    """Steps between checkpoints; there is one more at the end."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic of the forward and backward passes."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "checkpoint_every", "clip"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        if self.max_steps is not None and self.max_steps < 1:
            raise UserError(f"max_steps: found {self.max_steps}, expected at least 1")


def _step_seed(seed: int, step: int) -> int:
    """A seed for one step, so that its random numbers depend on nothing but (seed, step).

    A resumed run, or a run whose evaluation drew numbers in between, then sees the same ones.
    """
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)


def _make_fabric(training: Training) -> Fabric:
    """Fabric for this process; under torchrun or SLURM, one of several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))  # on this machine
    fabric = Fabric(
        accelerator="gpu" if training.device == "cuda" else training.device,
        devices=local,
        num_nodes=world // local,
        # The phases take turns, so in each backward pass some parameters have no gradient.
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
        precision=training.precision,
    )
    fabric.launch()
    return fabric


def fit(
    method: Method,
    data: Batches,
    training: Training,
    seed: int,
    folder: str | Path | None,
    resume: bool = False,
) -> None:
    """Train ``method`` in place; leave ``checkpoint.pt`` and ``metrics.jsonl`` in ``folder``.

    With ``folder=None`` nothing is written.

    A run that is killed at any moment and started again with ``resume`` ends with the same bits as
    one that never was: the checkpoint holds the method (moving averages and queues are part of its
    state dict), the optimisers and the position; the random numbers of a step depend on
    ``(seed, step)`` alone, the order of the samples on ``(seed, epoch)``.

    Raises
    ------
    UserError
        The checkpoint to resume from is truncated or belongs to another model.
    FloatingPointError
        A loss or a gradient is not finite; names step and phase.
    """
    fabric = _make_fabric(training)
    loop = _Loop(method, data, training, seed, folder, fabric)
    if resume and loop.checkpoint and loop.checkpoint.exists():
        loop.load()
    loop.run()


class _Loop:
    """The state of one ``fit``: everything that a checkpoint must hold lives here."""

    def __init__(
        self,
        method: Method,
        data: Batches,
        training: Training,
        seed: int,
        folder: str | Path | None,
        fabric: Fabric,
    ):
        self.method, self.training, self.seed, self.fabric = method, training, seed, fabric
        self.phases = method.phases()
        self.module = fabric.setup_module(method)
        self.module.mark_forward_method("loss")
        self.optimizers = {
            phase.name: fabric.setup_optimizers(
                torch.optim.AdamW(
                    phase.parameters, lr=phase.learning_rate, weight_decay=phase.weight_decay
                )
            )
            for phase in self.phases
        }
        self.sampler = EpochSampler(
            len(data), training.batch_size, seed, fabric.global_rank, fabric.world_size
        )
        self.loader = DataLoader(data, batch_sampler=self.sampler, collate_fn=as_batch)
        self.total = training.epochs * len(self.sampler)
        if training.max_steps is not None:
            self.total = min(self.total, training.max_steps)
        self.checkpoint = Path(folder) / "checkpoint.pt" if folder is not None else None
        self.metrics = Path(folder) / "metrics.jsonl" if folder is not None else None
        self.step = 0
        self.metrics_size = 0  # bytes of metrics.jsonl that the checkpoint knows of
        self.epoch_values: dict[str, list] = {}

    def run(self) -> None:
        if self.metrics and self.fabric.is_global_zero:
            self.metrics.parent.mkdir(parents=True, exist_ok=True)
            with self.metrics.open("ab") as file:  # forget the lines written after the checkpoint
                file.truncate(min(self.metrics_size, file.tell()))
        bar = tqdm(
            total=self.total,
            initial=self.step,
            desc=f"train, seed {self.seed}",
            unit="step",
            delay=2,
            disable=not self.fabric.is_global_zero,
        )
        self.method.train()
        with bar:
            while self.step < self.total:
                self._epoch(self.step // len(self.sampler), bar)
        if self.step % self.training.checkpoint_every:
            self.save()
        self.method.requires_grad_(True)
        self.method.eval()

    def _epoch(self, epoch: int, bar: tqdm) -> None:
        phases = [phase for phase in self.phases if epoch % phase.every == 0]
        self.sampler.set_epoch(epoch, start=self.step % len(self.sampler))
        started = time.perf_counter()
        for batch in self.loader:
            torch.manual_seed(_step_seed(self.seed, self.step))
            batch = self.fabric.to_device(batch)
            for phase in phases:
                self._update(batch, phase)
            self.method.after_step()
            self.step += 1
            bar.update()
            if self.step == self.total or self.step % len(self.sampler) == 0:
                self._end_epoch(epoch, time.perf_counter() - started, bar)
            if self.step % self.training.checkpoint_every == 0:
                self.save()
            if self.step == self.total:
                break

    def _update(self, batch: Any, phase: Phase) -> None:
        chosen = {id(parameter) for parameter in phase.parameters}
        for parameter in self.method.parameters():  # form no gradient that is thrown away
            parameter.requires_grad_(id(parameter) in chosen)
        optimizer = self.optimizers[phase.name]
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate * self._schedule()
        with self.fabric.autocast():  # a marked method has it only where the strategy wraps modules
            losses = self.module.loss(batch, phase.name)
        if not torch.isfinite(losses["loss"]):
            raise FloatingPointError(
                f"step {self.step}, phase {phase.name!r}: the loss is {losses['loss'].item()}"
            )
        self.fabric.backward(losses["loss"])
        norm = self.fabric.clip_gradients(
            self.module, optimizer, max_norm=self.training.clip, error_if_nonfinite=False
        )
        # In 16-mixed an overflow is no failure: the loss scale falls and the step is skipped.
        if self.training.precision != "16-mixed" and not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {self.step}, phase {phase.name!r}: the norm of the gradient is {norm.item()}"
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for name, value in losses.items():
            self.epoch_values.setdefault(f"{phase.name}/{name}", []).append(value.detach().tolist())

    def _schedule(self) -> float:
        if self.training.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * self.step / self.total))

    def _end_epoch(self, epoch: int, seconds: float, bar: tqdm) -> None:
        """Write the epoch's means as one line of ``metrics.jsonl``."""
        means = {name: np.mean(v, axis=0).tolist() for name, v in self.epoch_values.items()}
        self.epoch_values.clear()
        shown = {name.removesuffix("/loss"): v for name, v in means.items() if "/loss" in name}
        bar.set_postfix(shown, refresh=False)  # a refresh would not wait for the delay
        if not (self.metrics and self.fabric.is_global_zero):
            return
        line = {"seed": self.seed, "epoch": epoch, "step": self.step, "seconds": seconds, **means}
        with self.metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.metrics_size = self.metrics.stat().st_size

    def save(self) -> None:
        if self.checkpoint is None:
            return
        state = {
            "method": self.method.state_dict(),
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            "precision": self.fabric.strategy.precision.state_dict(),  # the loss scale of 16-mixed
            "step": self.step,
            "metrics_size": self.metrics_size,
            "epoch_values": self.epoch_values,
        }
        if self.fabric.is_global_zero:
            write_atomically(self.checkpoint, lambda file: torch.save(state, file))
        self.fabric.barrier()

    def load(self) -> None:
        try:  # weights_only: a checkpoint that someone hands in runs no code
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            method, optimizers = state["method"], state["optimizers"]
            precision = state["precision"]
            position = state["step"], state["metrics_size"], state["epoch_values"]
        except Exception as error:  # a damaged file makes torch raise almost anything
            raise UserError(
                f"{self.checkpoint}: truncated, or not a checkpoint; delete it to train this seed "
                f"again ({type(error).__name__})"
            ) from error
        if optimizers.keys() != self.optimizers.keys():
            raise UserError(
                f"{self.checkpoint}: of another model: phases {sorted(optimizers)}, expected "
                f"{sorted(self.optimizers)}"
            )
        load_into(self.method, method, self.checkpoint)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(optimizers[name])
        self.fabric.strategy.precision.load_state_dict(precision)
        self.step, self.metrics_size, self.epoch_values = position

"""The steps of a training: what :func:`tspcrep.common.training.fit` repeats, saves and resumes."""

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from tspcrep.common.cached import cached_backward
from tspcrep.common.checkpoints import load_optimizer, read_checkpoint
from tspcrep.common.distributed import total
from tspcrep.common.errors import DivergedError, UserError
from tspcrep.common.loggers import open_logger
from tspcrep.common.methods import Batches, Cached, Method, Phase
from tspcrep.common.metrics_log import MetricsLog
from tspcrep.common.runs import write_atomically
from tspcrep.common.samplers import EpochSampler
from tspcrep.common.seeding import seed_all, seeded_loader
from tspcrep.common.training_config import Training
from tspcrep.common.weights import check_fit


class Loop:
    """The state of one ``fit``; everything that a checkpoint contains is here."""

    def __init__(
        self,
        method: Method,
        cached: Cached | None,
        data: Batches,
        training: Training,
        seed: int,
        folder: str | Path | None,
        fabric: Fabric,
    ):
        self.method, self.training, self.seed, self.fabric = method, training, seed, fabric
        self.cached = cached
        self.phases = method.phases()
        self.trainable = {id(p) for p in method.parameters() if p.requires_grad}
        self.module = fabric.setup_module(method)
        self.module.mark_forward_method("loss")
        self.optimizers = {phase.name: _optimizer(fabric, phase) for phase in self.phases}
        self.sampler = EpochSampler(
            len(data),
            training.batch_size,
            seed,
            fabric.global_rank,
            fabric.world_size,
            drop_last=training.drop_last,
        )
        self.loader = seeded_loader(data, self.sampler, training.chunks, training.workers)
        self.epoch_steps = training.epoch_steps(len(data))
        self.total = training.total_steps(len(data))
        fingerprint = getattr(data, "fingerprint", None) if folder is not None else None
        self.stated = {  # what a step means; a checkpoint that states otherwise is refused
            "processes": self.sampler.world_size,
            "batch_size": training.batch_size,
            "accumulate": training.accumulate,
            "drop_last": training.drop_last,
            "seed": seed,
            "samples": len(data),
            "data": fingerprint() if fingerprint else None,
        }
        self.checkpoint = Path(folder) / "checkpoint.pt" if folder is not None else None
        self.log = MetricsLog(None)
        if folder is not None and fabric.is_global_zero:
            logger = open_logger(training.logger, Path(folder))
            self.log = MetricsLog(Path(folder) / "metrics.jsonl", logger)
        self.step = 0

    def run(self, stopped: Callable[[], bool]) -> None:
        """Train to the end, or until ``stopped`` says so between two steps."""
        self.log.start()
        bar = tqdm(
            total=self.total,
            initial=self.step,
            desc=f"train, seed {self.seed}",
            unit="step",
            delay=2,
            disable=not self.fabric.is_global_zero,
        )
        self.method.train()
        names = ("loss",) if self.cached is None else ("embed", "contrast")
        try:
            with bar, _compiled(self.method, names if self.training.compile else ()):
                while self.step < self.total and not stopped():
                    self._epoch(self.step // self.epoch_steps, bar, stopped)
        finally:
            self._require_gradients(self.trainable)
            self.log.close()
        if self.step % self.training.checkpoint_every:
            self.save()
        self.method.eval()

    def _epoch(self, epoch: int, bar: tqdm, stopped: Callable[[], bool]) -> None:
        phases = [phase for phase in self.phases if epoch % phase.every == 0]
        done = self.step % self.epoch_steps
        self.sampler.set_epoch(epoch, start=done * self.training.accumulate)
        loader = iter(self.loader)
        started = time.perf_counter()
        for _ in range(min(self.epoch_steps - done, self.total - self.step)):
            batches = list(islice(loader, self.training.accumulate))
            if self.cached is None:  # otherwise the device holds one chunk at a time
                batches = self.fabric.to_device(batches)
            seed_all(self.seed, self.step)
            for phase in phases:
                self._update(batches, phase)
            self.method.after_step()
            self.step += 1
            bar.update()
            if self.step == self.total or self.step % self.epoch_steps == 0:
                self._end_epoch(epoch, time.perf_counter() - started, bar)
            if self.step % self.training.checkpoint_every == 0:
                self.save()
            if stopped():
                return

    def _update(self, batches: list[list[Any]], phase: Phase) -> None:
        self._require_gradients({id(parameter) for parameter in phase.parameters})
        optimizer = self.optimizers[phase.name]
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate * self._schedule()
        for left, batch in zip(reversed(range(len(batches))), batches, strict=True):
            with self.fabric.no_backward_sync(
                self.module, enabled=left > 0 or self.cached is not None
            ):
                losses = self._losses(batch, phase.name, 1 / len(batches))
            loss = total(losses["loss"].detach()) / self.fabric.world_size
            if not torch.isfinite(loss):  # of one process, and all stop
                raise self._diverged(phase.name, f"the loss is {loss.item()}")
            self.log.add(phase.name, {**losses, "loss": loss})
        if self.cached is not None and self.fabric.world_size > 1:
            for parameter in phase.parameters:
                if parameter.grad is not None:
                    mean = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
                    assert isinstance(mean, Tensor)  # as what was reduced
                    parameter.grad = mean
        norm = self.fabric.clip_gradients(
            self.module, optimizer, max_norm=self.training.clip, error_if_nonfinite=False
        )
        assert norm is not None  # as there is a largest one
        # In 16-mixed an overflow is no failure: the loss scale falls and the step is skipped.
        if self.training.precision != "16-mixed" and not torch.isfinite(norm):
            raise self._diverged(phase.name, f"the norm of the gradient is {norm.item()}")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _losses(self, batch: list[Any], phase: str, share: float) -> dict[str, Tensor]:
        """The losses of a batch, given as its chunks; adds ``share`` of its gradient."""

        def backward(loss: Tensor) -> None:
            self.fabric.backward(loss * share)

        def on_device(call: Callable, x: Any) -> Any:
            x = self.fabric.to_device(x)
            with self.fabric.autocast():  # a marked method has it only where modules are wrapped
                return call(x, phase)

        if self.cached is None:
            losses = on_device(self.module.loss, batch[0])
            backward(losses["loss"])
            return losses
        return cached_backward(
            self.method,
            batch,
            partial(on_device, self.cached.embed),
            partial(on_device, self.cached.contrast),
            backward,
        )

    def _diverged(self, phase: str, what: str) -> DivergedError:
        kept = ""
        if self.checkpoint and self.checkpoint.exists():
            kept = f"; {self.checkpoint} holds an earlier step"
        return DivergedError(
            f"step {self.step}, phase {phase!r}: {what}{kept}; lower the learning rate, or look "
            "for extreme values in the data"
        )

    def _require_gradients(self, chosen: set[int]) -> None:
        """Form no gradient that is thrown away, and none for what was frozen before."""
        wanted = chosen & self.trainable
        for parameter in self.method.parameters():
            parameter.requires_grad_(id(parameter) in wanted)

    def _schedule(self) -> float:
        warmup = self.training.warmup
        if self.step < warmup:
            return (self.step + 1) / warmup
        if self.training.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (self.step - warmup) / (self.total - warmup)))

    def _end_epoch(self, epoch: int, seconds: float, bar: tqdm) -> None:
        line = {"seed": self.seed, "epoch": epoch, "step": self.step, "seconds": seconds}
        means = self.log.end_epoch(line)
        shown = {name.removesuffix("/loss"): v for name, v in means.items() if "/loss" in name}
        bar.set_postfix(shown, refresh=False)  # a refresh would not wait for the delay

    def save(self) -> None:
        if self.checkpoint is None:
            return
        state = {
            "method": self.method.state_dict(),
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            "precision": self.fabric.strategy.precision.state_dict(),  # the loss scale of 16-mixed
            "step": self.step,
            "metrics_size": self.log.size,
            "epoch_values": self.log.values,
            "run": self.stated,
        }
        if self.fabric.is_global_zero:
            content = io.BytesIO()  # torch does not hand on what a full disk says
            torch.save(state, content)
            write_atomically(self.checkpoint, lambda file: file.write(content.getbuffer()))
        self.fabric.barrier()

    def load(self, checkpoint: Path) -> None:
        state = read_checkpoint(checkpoint, self.stated)
        optimizers = state["optimizers"]
        if optimizers.keys() != self.optimizers.keys():
            raise UserError(
                f"{checkpoint}: of another model: phases {sorted(optimizers)}, expected "
                f"{sorted(self.optimizers)}"
            )
        check_fit(self.method, state["method"], checkpoint)
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, optimizers[name], checkpoint)
        self.method.load_state_dict(state["method"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.step = state["step"]
        self.log.size, self.log.values = state["metrics_size"], state["epoch_values"]


def _optimizer(fabric: Fabric, phase: Phase) -> Optimizer:
    made = torch.optim.AdamW(
        phase.parameters, lr=phase.learning_rate, weight_decay=phase.weight_decay
    )
    # What Fabric wraps one optimiser in takes on its class, which the types there do not say.
    return cast(Optimizer, fabric.setup_optimizers(made))


@contextmanager
def _compiled(method: Method, names: Sequence[str]) -> Iterator[None]:
    """Inside, the methods ``names`` are compiled."""
    for name in names:
        setattr(method, name, torch.compile(getattr(method, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(method, name)

"""The length and options of a training."""

import math
from dataclasses import dataclass
from typing import Literal

from tspcrep.common.distributed import launched_processes
from tspcrep.common.errors import UserError
from tspcrep.common.loggers import Kind


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

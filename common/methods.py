"""Contracts between ``fit``, a method and its data: phases, losses and batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

Embeddings = tuple[Tensor, ...]


@dataclass(frozen=True)
class Phase:
    """Parameters that are updated together.

    In every epoch that ``every`` divides, a step minimises ``method.loss(batch, name)["loss"]``
    over ``parameters`` alone. If an epoch has several phases, each step updates them in the order
    in which the method lists them.
    """

    name: str
    parameters: list[nn.Parameter]
    learning_rate: float
    every: int = 1
    weight_decay: float = 0.0


class Method(nn.Module):
    """A training objective, whose state dict contains all of its state.

    A :class:`Cached` method can also be trained with cached gradients.
    """

    def phases(self) -> list[Phase]:
        """What is updated together, by the losses of that name."""
        raise NotImplementedError

    def loss(self, batch: Any, phase: str) -> dict[str, Tensor]:
        """``"loss"`` is minimised; all other scalars and vectors are logged."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Update moving averages, queues and prototypes, after the updates of all phases.

        With accumulated batches, ``loss`` was called for each of them before.
        """
        raise NotImplementedError


@runtime_checkable
class Cached(Protocol):
    """A method whose ``loss(batch, phase)`` is ``contrast(embed(batch, phase), phase)``."""

    def embed(self, batch: Any, phase: str) -> Embeddings:
        """Tensors with one row for each row of the batch, computed row by row."""
        ...

    def contrast(self, embeddings: Embeddings, phase: str) -> dict[str, Tensor]:
        """The losses, as from ``Method.loss``."""
        ...


class Batches(Protocol):
    """A dataset that returns whole batches.

    If it has a ``fingerprint() -> str`` of its content, a checkpoint of other content is refused.
    """

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Any: ...

"""What a step of contrastive training costs: arithmetic, memory, messages; and how long it takes.

    machine = fit(costs, seconds)      # of a few small steps
    machine.seconds(cost)              # of another size

A step is the forward and backward pass of two views, InfoNCE of all their rows, and the update.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from scipy.optimize import nnls

from tspcrep.common.errors import UserError

_FLOAT = 4
"""Bytes of a number."""


@dataclass(frozen=True)
class Cost:
    """flops : floating-point operations, a product and a sum being two. moved : bytes that layers
    read and write. held : bytes that the backward pass needs, at once."""

    flops: float = 0.0
    moved: float = 0.0
    held: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, count: float) -> "Cost":
        return Cost(*(count * value for value in astuple(self)))


def layer(sites: float, pairs: float, inputs: int, outputs: int) -> Cost:
    """A linear map or a convolution, forward and backward, with what follows it point by point.

    sites : outputs, such as steps or voxels. pairs : pairs of an output and an input under a tap.
    inputs, outputs : channels. The backward pass has two products where the forward pass has one.
    """
    numbers = sites * (inputs + outputs)
    return Cost(6 * pairs * inputs * outputs, 3 * _FLOAT * numbers, _FLOAT * numbers)


def contrast(anchors: float, candidates: float, dim: int) -> Cost:
    """InfoNCE of rows of ``dim`` numbers: three matrix products. It holds no similarity.

    See :func:`tspcrep.common.ops.info_nce`, which takes them in blocks.
    """
    rows = _FLOAT * dim * (anchors + candidates)
    return Cost(6 * anchors * candidates * dim, 3 * rows, rows)


def update(parameters: int) -> Cost:
    """A step of Adam: weights, gradients and two moments are read, three of them written."""
    return Cost(12 * parameters, 7 * _FLOAT * parameters, 4 * _FLOAT * parameters)


@dataclass(frozen=True)
class Messages:
    """Bytes that a process sends in a step. reduced : gradients of the weights. gathered : rows
    for the loss, and their gradients on the way back."""

    reduced: float
    gathered: float

    @property
    def total(self) -> float:
        return self.reduced + self.gathered


def messages(parameters: int, rows: float, dim: int, ranks: int) -> Messages:
    """What each of ``ranks`` processes sends for ``rows`` rows of its own, in rings.

    A ring reduces n numbers by sending 2 (W - 1) / W n, and gathers n of each by sending (W - 1) n
    (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", 2009, sections 3 and 4). The
    gradient of a gather is a reduction of all its rows.
    """
    others = ranks - 1
    numbers = rows * dim
    return Messages(
        _FLOAT * 2 * others / ranks * parameters, _FLOAT * (others + 2 * others) * numbers
    )


@dataclass(frozen=True)
class Machine:
    """Seconds of a step, of an operation, and of a byte that is moved."""

    step: float
    flop: float
    byte: float

    def seconds(self, cost: Cost) -> float:
        return self.step + self.flop * cost.flops + self.byte * cost.moved


def fit(costs: Sequence[Cost], seconds: Sequence[float]) -> Machine:
    """The machine, of coefficients of at least 0, with the smallest squared relative errors.

    Raises UserError for fewer than three steps, or one without a duration.
    """
    times = np.asarray(seconds, np.float64)
    if len(times) < 3 or len(times) != len(costs) or not (times > 0).all():
        raise UserError(
            f"{len(times)} durations of {len(costs)} steps: expected three or more above 0"
        )
    terms = np.array([(1.0, cost.flops, cost.moved) for cost in costs])
    scale = terms.max(0)
    found = nnls(terms / scale / times[:, None], np.ones(len(times)))[0] / scale
    return Machine(*found.tolist())

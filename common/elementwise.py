"""Functions of single numbers that are the same to the bit on any number of threads.

Torch computes softplus and sigmoid with vectors, and the last few numbers of each thread's share
without, which rounds otherwise. Its ``logsigmoid`` and ``exp`` have one rounding for all.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``, without overflow, with exact gradients of any order."""
    return -logsigmoid(-x)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``; far below 0 it keeps its digits."""
    return logsigmoid(x).exp()

"""Modules at evaluation for a while, and then as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``module`` and all its parts in evaluation mode inside the block, whatever happens there.

    After it each part has its own mode again: ``module.train(before)`` would set a part that was
    frozen at evaluation to training. Nothing is touched where nothing trains; setting the mode of a
    small Transformer takes a tenth of the time of a short series.
    """
    training = [part for part in module.modules() if part.training]
    if training:
        module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True

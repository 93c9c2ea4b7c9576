"""The arithmetic of an encoder of dilated convolutions, see :mod:`tspcrep.common.cost`."""

from itertools import pairwise

from tspcrep.common.cost import Cost, layer
from tsrep.encoders import DilatedConv


def encoder_cost(encoder: DilatedConv, batch: int, length: int) -> Cost:
    """Forward and backward pass of ``batch`` series of ``length`` steps; no trend filters.

    The gradient of the input itself, which nobody asks for, is not counted.
    """
    steps = batch * length
    taps = encoder.kernel_size
    first = layer(steps, steps, encoder.in_channels, encoder.hidden)
    total = Cost(first.flops * 2 / 3, first.moved, first.held)
    widths = [encoder.hidden] * (encoder.depth + 1) + [encoder.dim]
    for block, (a, b) in enumerate(pairwise(widths)):
        total += layer(steps, taps * steps, a, b) + layer(steps, taps * steps, b, b)
        if block == encoder.depth:  # the last has a skip
            product = layer(steps, steps, a, b)
            total += Cost(product.flops, product.moved)
    return total

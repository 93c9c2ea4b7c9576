"""Depthwise convolution of the numba engine: sums of rows, each scaled by its tap's row."""

from typing import Any

import numpy as np
from numba import prange
from torch import Tensor

from tspcrep.common.jit import parallel

_RUNS = 16  # partial sums of a weight gradient, whatever the number of threads


class Depthwise:
    """The two products of :mod:`autograd`, by element."""

    @staticmethod
    def product(features: Tensor, weight: Tensor, kernel_map: Any) -> Tensor:
        """``out[o] = sum_k features[i_k(o)] * weight[k]``: (N_in, C), (K, C) -> (N_out, C)."""
        pairs = kernel_map.forward
        out = features.new_zeros(pairs.outputs, features.shape[1])
        arrays = (_numbers(t) for t in (features, pairs.weight(weight)))
        _add_scaled(*arrays, pairs.ins, pairs.outs, pairs.start, out.numpy())
        return out

    @staticmethod
    def outer(features: Tensor, other: Tensor, kernel_map: Any) -> Tensor:
        """``out[k] = sum_o features[i_k(o)] * other[o]``: (N_in, C), (N_out, C) -> (K, C)."""
        pairs = kernel_map.forward
        partial = features.new_zeros(_RUNS, pairs.start.shape[1] - 1, features.shape[1])
        arrays = (_numbers(t) for t in (features, other))
        _add_products(*arrays, pairs.ins, pairs.outs, pairs.start, partial.numpy())
        total = partial[0]
        for run in partial[1:]:
            total = total + run
        return pairs.weight(total)


def _numbers(x: Tensor) -> np.ndarray:
    return x.contiguous().numpy()


@parallel
def _add_scaled(x, weight, ins, outs, start, out):
    for tile in prange(start.shape[0]):
        for k in range(start.shape[1] - 1):
            for p in range(start[tile, k], start[tile, k + 1]):
                for c in range(x.shape[1]):
                    out[outs[p], c] += x[ins[p], c] * weight[k, c]


@parallel
def _add_products(x, g, ins, outs, start, partial):
    tiles, runs = start.shape[0], len(partial)
    for run in prange(runs):
        for tile in range(run * tiles // runs, (run + 1) * tiles // runs):
            for k in range(start.shape[1] - 1):
                for p in range(start[tile, k], start[tile, k + 1]):
                    for c in range(x.shape[1]):
                        partial[run, k, c] += x[ins[p], c] * g[outs[p], c]

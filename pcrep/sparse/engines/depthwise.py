"""Depthwise convolution of the numba engine: sums of rows, each scaled by its tap's row.

The output is bilinear in features and weights, so that its gradients are the same two operations,
scaled sums and products summed by tap, and so are the gradients of those: no order is left out.
"""

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from tspcrep.common.threads import torchs_threads

_RUNS = 16  # partial sums of a weight gradient, whatever the number of threads


def convolve(features: Tensor, weight: Tensor, pairs: Any, reverse: Any) -> Tensor:
    """``out[o] = sum_k features[i_k(o)] * weight[k]``: (N_in, C), (K, C) -> (N_out, C).

    pairs, reverse : rows of input and output by tile and tap, in both directions.
    """
    if features.dtype in (torch.float16, torch.bfloat16):  # sums need more than 16 bits
        return convolve(features.float(), weight.float(), pairs, reverse).to(features.dtype)
    return _ScaledSum.apply(features, weight, pairs, reverse)


class _ScaledSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, pairs: Any, reverse: Any) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.maps = pairs, reverse
        return _sum(features, pairs.weight(weight), pairs)

    @staticmethod
    def backward(ctx, grad: Tensor):
        features, weight = ctx.saved_tensors
        pairs, reverse = ctx.maps
        grad_features = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_features = _ScaledSum.apply(grad, weight, reverse, pairs)
        if ctx.needs_input_grad[1]:
            grad_weight = _TapProduct.apply(features, grad, pairs, reverse)
        return grad_features, grad_weight, None, None


class _TapProduct(torch.autograd.Function):
    """``out[k] = sum_o x[i_k(o)] * g[o]``: (N_in, C), (N_out, C) -> (K, C)."""

    @staticmethod
    def forward(ctx, x: Tensor, g: Tensor, pairs: Any, reverse: Any) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.maps = pairs, reverse
        return pairs.weight(_product(x, g, pairs))

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, g = ctx.saved_tensors
        pairs, reverse = ctx.maps
        grad_x = grad_g = None
        if ctx.needs_input_grad[0]:
            grad_x = _ScaledSum.apply(g, grad, reverse, pairs)
        if ctx.needs_input_grad[1]:
            grad_g = _ScaledSum.apply(x, grad, pairs, reverse)
        return grad_x, grad_g, None, None


@torchs_threads()
def _sum(x: Tensor, weight: Tensor, pairs: Any) -> Tensor:
    out = x.new_zeros(pairs.outputs, x.shape[1])
    arrays = (_numbers(t) for t in (x, weight))
    _add_scaled(*arrays, pairs.ins, pairs.outs, pairs.start, out.numpy())
    return out


@torchs_threads()
def _product(x: Tensor, g: Tensor, pairs: Any) -> Tensor:
    partial = x.new_zeros(_RUNS, pairs.start.shape[1] - 1, x.shape[1])
    arrays = (_numbers(t) for t in (x, g))
    _add_products(*arrays, pairs.ins, pairs.outs, pairs.start, partial.numpy())
    for run in partial[1:]:
        partial[0] += run
    return partial[0].clone()


def _numbers(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


@njit(parallel=True, cache=True)
def _add_scaled(x, weight, ins, outs, start, out):
    for tile in prange(start.shape[0]):
        for k in range(start.shape[1] - 1):
            for p in range(start[tile, k], start[tile, k + 1]):
                for c in range(x.shape[1]):
                    out[outs[p], c] += x[ins[p], c] * weight[k, c]


@njit(parallel=True, cache=True)
def _add_products(x, g, ins, outs, start, partial):
    tiles, runs = start.shape[0], len(partial)
    for run in prange(runs):
        for tile in range(run * tiles // runs, (run + 1) * tiles // runs):
            for k in range(start.shape[1] - 1):
                for p in range(start[tile, k], start[tile, k + 1]):
                    for c in range(x.shape[1]):
                        partial[run, k, c] += x[ins[p], c] * g[outs[p], c]

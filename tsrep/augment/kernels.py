"""Kernels of slices, warps, permutations and crops: resampling, maps of time, and curves.

Each stands here twice. Numba runs on CPU, in parallel over the batch and in one pass over
memory; torch runs wherever the tensors live and is differentiable in x. The public functions pick
by device, and a test holds both sides equal.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from tspcrep.common.jit import jit, parallel

GRAIN = 1 << 16  # values that a further thread is worth, some 50 microseconds of work

_COMPILED = (torch.float32, torch.float64)


def resample(x: Tensor, positions: Tensor) -> Tensor:
    """Read each series at fractional positions, by linear interpolation.

        y[b, t] = x[b, i] + w (x[b, i + 1] - x[b, i]),  with p = positions[b, t] = i + w

    x: float (B, T, C). positions: float64 (B, L), in steps from 0 to T - 1; what lies outside reads
    the nearest end, NaN the first step. Returns (B, L, C) in the dtype and on the device of x. A
    whole-numbered position copies its row bit by bit; between two rows, NaN in either is NaN. Not
    differentiable in positions.
    """
    if compiled(x):
        y = x.new_empty((*positions.shape, x.shape[2]))
        _run(_resample, x.detach().contiguous(), positions.contiguous(), y)
        return y
    return _resample_torch(x, positions)


def remap(x: Tensor, starts: Tensor, sources: Tensor, slopes: Tensor) -> Tensor:
    """Read each series along a piecewise linear map of time: :func:`resample` at positions

        positions[b, t] = sources[b, s] + slopes[b, s] * (t - starts[b, s])

    where s is the last piece with ``starts[b, s] <= t``, the first one if there is none.

    x: float (B, T, C). starts: float64 (B, S), where pieces begin in the result, not falling along
    S. sources: float64 (B, S), the position read there. slopes: float64 (B, S), steps per step.
    Returns (B, T, C). Differentiable in x only.
    """
    if compiled(x):
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        pieces = (part.contiguous() for part in (starts, sources, slopes))
        _run(_remap, x.detach().contiguous(), *pieces, y)
        return y
    return _remap_torch(x, starts, sources, slopes)


def curves(basis: Tensor, weights: Tensor) -> Tensor:
    """Curves around 1: ``1 + sum_k basis[t, k] * weights[b, k, c]``.

    basis: (T, K), weights: (B, K, C), both float64 or both float32. Returns (B, T, C) in that
    dtype. A matrix product, but one that is the same to the bit whatever the batch and the threads,
    which BLAS does not promise, and no slower for the few K of a spline.
    """
    if compiled(weights):
        y = weights.new_empty((len(weights), len(basis), weights.shape[2]))
        _run(_curves, basis.T.contiguous(), weights.contiguous(), y)
        return y
    return _curves_torch(basis, weights)


def compiled(x: Tensor) -> bool:
    """Whether numba takes this tensor: on CPU, float32 or float64, and no gradient to be kept."""
    graph = torch.is_grad_enabled() and x.requires_grad
    return x.device.type == "cpu" and x.dtype in _COMPILED and not graph


def _resample_torch(x: Tensor, positions: Tensor) -> Tensor:
    """:func:`resample` in torch operations."""
    batch, length, channels = x.shape
    last = length - 1
    positions = positions.nan_to_num(nan=0.0).clamp(0, last)  # (B, L)
    left = positions.floor()
    weight = (positions - left).to(x.dtype)[..., None]  # (B, L, 1)
    index = left.long()
    # Whole rows of a flat table: on CPU more than twice as fast as gather or two indices.
    table = x.reshape(batch * length, channels)
    first = torch.arange(0, batch * length, length, device=x.device)[:, None]  # (B, 1)

    def rows(index: Tensor) -> Tensor:
        return table.index_select(0, (index + first).flatten()).view(*index.shape, channels)

    before, after = rows(index), rows((index + 1).clamp(max=last))
    return torch.where(weight == 0, before, before + weight * (after - before))


def _remap_torch(x: Tensor, starts: Tensor, sources: Tensor, slopes: Tensor) -> Tensor:
    """:func:`remap` in torch operations."""
    batch, length, _ = x.shape
    steps = torch.arange(length, dtype=starts.dtype, device=x.device)
    steps = steps.expand(batch, length).contiguous()  # (B, T)
    piece = torch.searchsorted(starts.contiguous(), steps, right=True).sub_(1).clamp_(min=0)
    passed = steps - starts.gather(1, piece)
    return _resample_torch(x, sources.gather(1, piece) + slopes.gather(1, piece) * passed)


def _curves_torch(basis: Tensor, weights: Tensor) -> Tensor:
    """:func:`curves` in torch operations."""
    return torch.einsum("tk,bkc->btc", basis, weights) + 1


@jit(inline="always")
def _read(x, b, p, y, t):
    last = x.shape[1] - 1
    p = min(max(p, 0.0), float(last)) if p == p else 0.0
    i = int(p)
    w = x.dtype.type(p - i)
    if w == 0:
        for c in range(x.shape[2]):
            y[b, t, c] = x[b, i, c]
    else:
        for c in range(x.shape[2]):
            y[b, t, c] = x[b, i, c] + w * (x[b, i + 1, c] - x[b, i, c])


@parallel
def _resample(x, positions, y):
    for b in numba.prange(len(y)):
        for t in range(y.shape[1]):
            _read(x, b, positions[b, t], y, t)


@parallel
def _remap(x, starts, sources, slopes, y):
    batch, length, channels = y.shape
    pieces = starts.shape[1]
    flat, out = x.reshape(batch, length * channels), y.reshape(batch, length * channels)
    for b in numba.prange(batch):
        places = np.empty(length)
        t = 0
        for s in range(pieces):
            stop = length
            if s + 1 < pieces:
                stop = int(min(max(np.ceil(starts[b, s + 1]), t), length))
            start, source, slope = starts[b, s], sources[b, s], slopes[b, s]
            ahead = source - start
            if slope == 1 and ahead == np.floor(ahead) and -t <= ahead <= length - stop:
                first = t + int(ahead)  # whole rows side by side: one block, not row by row
                block = flat[b, first * channels : (first + stop - t) * channels]
                target = out[b, t * channels : stop * channels]
                for k in range(len(target)):
                    target[k] = block[k]
            else:
                for u in range(t, stop):  # first all places, then all reading: faster than in turn
                    places[u] = source + slope * (u - start)
                for u in range(t, stop):
                    _read(x, b, places[u], y, u)
            t = stop


@parallel
def _curves(basis, weights, y):
    batch, length, channels = y.shape
    for b in numba.prange(batch):
        curve = np.empty(length, y.dtype)  # time innermost, where the processor has vectors for it
        for c in range(channels):
            curve[:] = 0
            for k in range(len(basis)):
                weight = weights[b, k, c]
                for t in range(length):
                    curve[t] += weight * basis[k, t]
            for t in range(length):
                y[b, t, c] = 1 + curve[t]


def _run(kernel, *tensors: Tensor) -> None:
    """Call a kernel that fills its last tensor, on as many threads as its size is worth."""
    most = 1 + tensors[-1].numel() // GRAIN
    kernel(*(tensor.numpy() for tensor in tensors), most=most)

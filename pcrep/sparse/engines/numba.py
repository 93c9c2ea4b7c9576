"""The CPU engine: hashed neighbour pairs, and products of rows in place, on all cores."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from pcrep.sparse.engines import depthwise, gemm, hashing
from pcrep.sparse.engines.base import Engine, Geometry, Reduce, Sizes
from pcrep.sparse.engines.torch import key_differences
from tspcrep.common.threads import torchs_threads


@dataclass(frozen=True)
class _RowPairs:
    """Pairs of rows (input, output) that a product runs over, by tile of outputs and tap.

    ins, outs : (P,) int32. start : (tiles, K + 1) int64 bounds. outputs : N_out.
    flipped : tap k here is tap K - 1 - k of the kernel.
    """

    ins: np.ndarray
    outs: np.ndarray
    start: np.ndarray
    outputs: int
    flipped: bool = False

    @classmethod
    def of(cls, table: np.ndarray, outputs: int) -> "_RowPairs":
        """The pairs of a neighbour table (K, N_out or more)."""
        return cls(*hashing.sorted_pairs(table, outputs, gemm.TILE), outputs)

    def weight(self, weight: Tensor) -> Tensor:
        """Weights (K, C, D) in the tap order of these pairs."""
        return weight.flip(0) if self.flipped else weight


@dataclass(frozen=True)
class _PairMap:
    """A kernel map as pairs, and the reverse pairs for the gradient of the input."""

    forward: _RowPairs
    reverse: _RowPairs

    def swapped(self) -> "_PairMap":
        return _PairMap(self.reverse, self.forward)


class Numba(Engine):
    name = "numba"

    def __init__(self) -> None:
        self._tables: dict[Sizes, hashing.Table] = {}  # by tensor stride

    def insert(self, coordinates: Tensor, stride: Sizes) -> tuple[Tensor, Tensor]:
        keys = hashing.pack_rows(coordinates.numpy())
        self._tables[stride], first, number = hashing.insert(keys)
        return torch.from_numpy(first), torch.from_numpy(number)

    def downsample(self, coordinates: Tensor, stride: Sizes, out_stride: Sizes) -> Tensor:
        steps = np.array(out_stride, np.int32)
        cells = torch.from_numpy(hashing.floor_rows(coordinates.numpy(), steps))
        return cells[self.insert(cells, out_stride)[0]]

    @torchs_threads()
    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _PairMap:
        deltas = key_differences(geometry.offsets()).numpy()
        known = self._tables[geometry.inputs]
        if geometry.mirrored and outputs is inputs:
            table = hashing.own_neighbours(*known, deltas, gemm.TILE)
            pairs = _RowPairs.of(table, len(outputs))
            return _PairMap(pairs, replace(pairs, flipped=True))
        out_keys = hashing.pack_rows(outputs.numpy())
        table = hashing.neighbours(*known, out_keys, deltas, gemm.TILE)
        reverse = hashing.reversed_table(table, len(inputs))
        return _PairMap(_RowPairs.of(table, len(outputs)), _RowPairs.of(reverse, len(inputs)))

    @torch.compiler.disable
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        if features.dtype in (torch.float16, torch.bfloat16):  # sums need more than 16 bits
            return self.convolve(features.float(), weight.float(), kernel_map).to(features.dtype)
        return _Convolve.apply(features, weight, kernel_map)

    @torch.compiler.disable
    def convolve_depthwise(self, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        return depthwise.convolve(features, weight, kernel_map.forward, kernel_map.reverse)

    @torch.compiler.disable
    def pool(self, features: Tensor, kernel_map: _PairMap, reduce: Reduce) -> Tensor:
        if reduce == "max":
            return _MaxPool.apply(features, kernel_map)
        if reduce == "sum":
            return _SumPool.apply(features, kernel_map)
        counts = np.bincount(kernel_map.forward.outs, minlength=kernel_map.forward.outputs)
        counts = torch.from_numpy(counts).clamp_(min=1).to(features.dtype)
        return _SumPool.apply(features, kernel_map) / counts[:, None]


@torchs_threads()
def _product(x: Tensor, weight: Tensor, pairs: _RowPairs) -> Tensor:
    """``out[o] = sum_k x[i_k(o)] @ weight[k]``, (N_in, C), (K, C, D) -> (N_out, D)."""
    weight = pairs.weight(weight)
    width, vector = weight.shape[2], gemm.lanes(x.numpy().dtype)
    weight = _fill_vectors(weight, vector)
    packed = gemm.pack(weight.numpy())
    out = x.new_empty(pairs.outputs, weight.shape[2])
    gemm.gather_product(
        x.contiguous().numpy(), packed, pairs.ins, pairs.outs, pairs.start, vector, out.numpy()
    )
    return out[:, :width].contiguous()


def _fill_vectors(x: Tensor, vector: int) -> Tensor:
    """Pad columns with zeros to a multiple of ``vector``."""
    missing = -x.shape[-1] % vector
    return pad(x, (0, missing)) if missing else x


@torchs_threads()
def _outer(x: Tensor, g: Tensor, pairs: _RowPairs) -> Tensor:
    """``sum x[i]^T g[o]`` over the pairs of each tap, (N_in, C), (N_out, D) -> (K, C, D)."""
    width, vector = g.shape[1], gemm.lanes(g.numpy().dtype)
    g = _fill_vectors(g, vector).contiguous()
    taps = pairs.start.shape[1] - 1
    size = taps * x.shape[1] * g.shape[1]
    runs = gemm.runs_of_tiles(len(pairs.start), size, g.element_size())
    sums = x.new_zeros(runs, taps, x.shape[1], g.shape[1])
    gemm.gather_outer(
        x.contiguous().numpy(), g.numpy(), pairs.ins, pairs.outs, pairs.start, vector, sums.numpy()
    )
    return pairs.weight(sums[0, :, :, :width]).clone(memory_format=torch.contiguous_format)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        return _product(features.detach(), weight.detach(), kernel_map.forward)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        features, weight = (t.detach() for t in ctx.saved_tensors)
        grad_features = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_features = _product(grad, weight.transpose(1, 2), ctx.kernel_map.reverse)
        if ctx.needs_input_grad[1]:
            grad_weight = _outer(features, grad, ctx.kernel_map.forward)
        return grad_features, grad_weight, None


class _SumPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: Tensor, kernel_map: _PairMap) -> Tensor:
        ctx.kernel_map = kernel_map
        return _sum(features.detach(), kernel_map.forward)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        return _sum(grad, ctx.kernel_map.reverse), None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    @torchs_threads()
    def forward(ctx, features: Tensor, kernel_map: _PairMap) -> Tensor:
        pairs = kernel_map.forward
        out = features.new_zeros(pairs.outputs, features.shape[1])
        source = np.full(out.shape, -1, np.int32)
        _max_rows(features.detach().contiguous().numpy(), *_walk(pairs), out.numpy(), source)
        ctx.reverse, ctx.source = kernel_map.reverse, source
        return out

    @staticmethod
    @once_differentiable
    @torchs_threads()
    def backward(ctx, grad: Tensor):
        total = grad.new_zeros(ctx.reverse.outputs, grad.shape[1])
        _max_gradient(grad.contiguous().numpy(), ctx.source, *_walk(ctx.reverse), total.numpy())
        return total, None


def _walk(pairs: _RowPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pairs.ins, pairs.outs, pairs.start


@torchs_threads()
def _sum(x: Tensor, pairs: _RowPairs) -> Tensor:
    out = x.new_zeros(pairs.outputs, x.shape[1])
    _add_rows(x.contiguous().numpy(), *_walk(pairs), out.numpy())
    return out


@njit(parallel=True, cache=True)
def _add_rows(x, ins, outs, start, out):
    for tile in prange(start.shape[0]):
        for p in range(start[tile, 0], start[tile, -1]):
            for c in range(x.shape[1]):
                out[outs[p], c] += x[ins[p], c]


@njit(parallel=True, cache=True)
def _max_rows(x, ins, outs, start, out, source):
    for tile in prange(start.shape[0]):
        for p in range(start[tile, 0], start[tile, -1]):
            i, o = ins[p], outs[p]
            for c in range(x.shape[1]):
                if source[o, c] < 0 or x[i, c] > out[o, c]:
                    out[o, c], source[o, c] = x[i, c], i


@njit(parallel=True, cache=True)
def _max_gradient(g, source, ins, outs, start, total):
    """Runs over reverse pairs: ``ins`` are rows of the pooled grid, ``outs`` of the input."""
    for tile in prange(start.shape[0]):
        for p in range(start[tile, 0], start[tile, -1]):
            o, i = ins[p], outs[p]
            for c in range(g.shape[1]):
                if source[o, c] == i:
                    total[i, c] += g[o, c]

"""The CPU engine: hashed neighbour pairs, and products of rows in place, on all cores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor
from torch.nn.functional import pad

from pcrep.sparse.engines import autograd, depthwise, gemm, hashing
from pcrep.sparse.engines.base import Engine, Geometry, Reduce, Sizes
from pcrep.sparse.engines.order import morton_order
from pcrep.sparse.engines.torch import key_differences, take_rows
from pcrep.sparse.engines.vectors import lanes
from tspcrep.common.jit import parallel


@dataclass(frozen=True)
class _RowPairs:
    """Pairs of rows (input, output) that a product runs over, by tile of outputs and tap.

    ins, outs : (P,) int32. start : (tiles, K + 1) int64 bounds. order : (N_out,) int32, the outputs
    tile by tile. flipped : tap k here is tap K - 1 - k of the kernel.
    """

    ins: np.ndarray
    outs: np.ndarray
    start: np.ndarray
    order: np.ndarray
    flipped: bool = False

    @classmethod
    def of(cls, table: np.ndarray, order: np.ndarray) -> "_RowPairs":
        """The pairs of a neighbour table (K, N_out or more), outputs visited in this order."""
        ins, outs, start = hashing.sorted_pairs(table, order, gemm.TILE)
        return cls(ins, outs, start, order)

    @property
    def outputs(self) -> int:
        return len(self.order)

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


def _summed_in_32_bits(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operation on features (N, C) and others, by way of 32 bits where they have 16."""

    @wraps(operation)
    def widened(engine: "Numba", features: Tensor, *others: Any) -> Tensor:
        if features.dtype not in (torch.float16, torch.bfloat16):
            return operation(engine, features, *others)
        wide = [other.float() if isinstance(other, Tensor) else other for other in others]
        return operation(engine, features.float(), *wide).to(features.dtype)

    return widened


class Numba(Engine):
    name = "numba"

    def __init__(self) -> None:
        self._tables: dict[Sizes, hashing.Table] = {}  # by tensor stride
        self._orders: dict[Sizes, tuple[Tensor, np.ndarray]] = {}

    def insert(self, coordinates: Tensor, stride: Sizes) -> tuple[Tensor, Tensor]:
        keys = hashing.pack_rows(coordinates.numpy())
        self._tables[stride], first, number = hashing.insert(keys)
        return torch.from_numpy(first), torch.from_numpy(number)

    def downsample(self, coordinates: Tensor, stride: Sizes, out_stride: Sizes) -> Tensor:
        steps = np.array(out_stride, np.int32)
        cells = torch.from_numpy(hashing.floor_rows(coordinates.numpy(), steps))
        return cells[self.insert(cells, out_stride)[0]]

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _PairMap:
        deltas = key_differences(geometry.offsets()).numpy()
        known = self._tables[geometry.inputs]
        order = self._order(geometry.inputs, inputs)
        if geometry.mirrored and outputs is inputs:
            table = hashing.own_neighbours(*known, deltas, gemm.TILE)
            pairs = _RowPairs.of(table, order)
            return _PairMap(pairs, replace(pairs, flipped=True))
        out_keys = hashing.pack_rows(outputs.numpy())
        table = hashing.neighbours(*known, out_keys, deltas, gemm.TILE)
        reverse = hashing.reversed_table(table, len(inputs))
        out_order = self._order(geometry.outputs, outputs)
        return _PairMap(_RowPairs.of(table, out_order), _RowPairs.of(reverse, order))

    def _order(self, stride: Sizes, coordinates: Tensor) -> np.ndarray:
        """The order in which the voxels of a stride are visited, computed once."""
        kept = self._orders.get(stride)
        if kept is None or kept[0] is not coordinates:  # or voxels of another cloud
            kept = self._orders[stride] = coordinates, morton_order(coordinates.numpy())
        return kept[1]

    @torch.compiler.disable
    @_summed_in_32_bits
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        return autograd.convolve(self, features, weight, kernel_map)

    def product(self, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        return _product(features, weight, kernel_map.forward)

    def outer(self, features: Tensor, other: Tensor, kernel_map: _PairMap) -> Tensor:
        return _outer(features, other, kernel_map.forward)

    @torch.compiler.disable
    @_summed_in_32_bits
    def convolve_depthwise(self, features: Tensor, weight: Tensor, kernel_map: _PairMap) -> Tensor:
        return autograd.convolve(depthwise.Depthwise(), features, weight, kernel_map)

    @torch.compiler.disable
    @_summed_in_32_bits
    def pool(self, features: Tensor, kernel_map: _PairMap, reduce: Reduce) -> Tensor:
        pairs = kernel_map.forward
        if reduce == "max":
            return take_rows(features, _largest(features, pairs))
        out = autograd.add(self, features, kernel_map)
        if reduce == "sum":
            return out
        counts = np.bincount(pairs.outs, minlength=pairs.outputs)
        return out / torch.from_numpy(counts).clamp_(min=1).to(out.dtype)[:, None]

    def sum(self, features: Tensor, kernel_map: _PairMap) -> Tensor:
        return _sum(features, kernel_map.forward)


def _product(x: Tensor, weight: Tensor, pairs: _RowPairs) -> Tensor:
    """``out[o] = sum_k x[i_k(o)] @ weight[k]``, (N_in, C), (K, C, D) -> (N_out, D)."""
    weight = pairs.weight(weight)
    width, vector = weight.shape[2], lanes(x.numpy().dtype)
    weight = _fill_vectors(weight, vector)
    packed = gemm.pack(weight.numpy())
    out = x.new_empty(pairs.outputs, weight.shape[2])
    gemm.gather_product(
        x.contiguous().numpy(), packed, *_walk(pairs), pairs.order, vector, out.numpy()
    )
    return out[:, :width].contiguous()


def _fill_vectors(x: Tensor, vector: int) -> Tensor:
    """Pad columns with zeros to a multiple of ``vector``."""
    missing = -x.shape[-1] % vector
    return pad(x, (0, missing)) if missing else x


def _outer(x: Tensor, g: Tensor, pairs: _RowPairs) -> Tensor:
    """``sum x[i]^T g[o]`` over the pairs of each tap, (N_in, C), (N_out, D) -> (K, C, D)."""
    width, vector = g.shape[1], lanes(g.numpy().dtype)
    g = _fill_vectors(g, vector).contiguous()
    taps = pairs.start.shape[1] - 1
    size = taps * x.shape[1] * g.shape[1]
    runs = gemm.runs_of_tiles(len(pairs.start), size, g.element_size())
    sums = x.new_zeros(runs, taps, x.shape[1], g.shape[1])
    gemm.gather_outer(
        x.contiguous().numpy(),
        g.numpy(),
        *_walk(pairs),
        gemm.channels_per_task(x.shape[1], runs),
        vector,
        sums.numpy(),
    )
    return pairs.weight(sums[0, :, :, :width]).clone(memory_format=torch.contiguous_format)


def _walk(pairs: _RowPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pairs.ins, pairs.outs, pairs.start


def _sum(x: Tensor, pairs: _RowPairs) -> Tensor:
    out = x.new_zeros(pairs.outputs, x.shape[1])
    _add_rows(x.contiguous().numpy(), *_walk(pairs), out.numpy())
    return out


def _largest(x: Tensor, pairs: _RowPairs) -> Tensor:
    """(N_out, C) int64, the input row of the largest value that each output sees, -1 for none."""
    row = torch.full((pairs.outputs, x.shape[1]), -1)
    _largest_rows(x.detach().contiguous().numpy(), *_walk(pairs), row.numpy())
    return row


@parallel
def _add_rows(x, ins, outs, start, out):
    for tile in prange(start.shape[0]):
        for p in range(start[tile, 0], start[tile, -1]):
            for c in range(x.shape[1]):
                out[outs[p], c] += x[ins[p], c]


@parallel
def _largest_rows(x, ins, outs, start, row):
    """The first of equal values, and of NaNs, which count as largest."""
    for tile in prange(start.shape[0]):
        for p in range(start[tile, 0], start[tile, -1]):
            i, o = ins[p], outs[p]
            for c in range(x.shape[1]):
                best, value = row[o, c], x[i, c]
                # Not ``>``, which is false for a NaN.
                if best < 0 or (x[best, c] == x[best, c] and not value <= x[best, c]):
                    row[o, c] = i

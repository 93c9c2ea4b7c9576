"""The reference engine: plain torch operators, on any device."""

from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from pcrep.sparse.engines.base import BITS, Engine, EngineName, Geometry, Reduce, Sizes, limit


def pack(coordinates: Tensor) -> Tensor:
    """(N, 1 + D) rows [batch, x, y, z] -> (N,) int64 keys that sort as the coordinates do."""
    dimension = coordinates.shape[1] - 1
    keys, *axes = coordinates.long().unbind(1)
    for axis in axes:
        keys = (keys << BITS[dimension]) + axis + limit(dimension)
    return keys


def key_differences(offsets: Tensor) -> Tensor:
    """(K, D) offsets -> (K,) differences of keys."""
    differences = torch.zeros_like(offsets[:, 0])
    for axis in offsets.unbind(1):
        differences = (differences << BITS[offsets.shape[1]]) + axis
    return differences


def number_rows(keys: Tensor) -> tuple[Tensor, Tensor]:
    """First rows (M,) of distinct keys and the number (N,) of each row, by first appearance."""
    distinct, number = torch.unique(keys, return_inverse=True)  # in order of the keys
    rows = torch.arange(len(keys), device=keys.device)
    first = torch.full_like(distinct, len(keys)).scatter_reduce_(0, number, rows, "amin")
    first, order = first.sort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=keys.device)
    return first, rank[number]


def find(keys: Tensor, rows: Tensor, wanted: Tensor) -> Tensor:
    """Rows (M,) of the wanted keys (M,) among sorted keys (N,) of ``rows``, -1 where absent."""
    if len(keys) == 0:
        return torch.full_like(wanted, -1)
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, rows[place], -1)


class TableMap:
    """A kernel map as a neighbour table.

    table : (K, N_out) int32, the input row that tap k of each output reads, -1 for none.
    inputs : N_in.
    mirrored : :attr:`Geometry.mirrored`; the reverse table is then the table with taps reversed.
    """

    def __init__(self, table: Tensor, inputs: int, mirrored: bool = False):
        self.table, self.inputs, self.mirrored = table, inputs, mirrored

    @cached_property
    def reverse(self) -> Tensor:
        """(K, N_in) int32, the output row that reads each input at tap k, -1 for none."""
        if self.mirrored:
            return self.table.flip(0)
        reverse = self.table.new_full((len(self.table), self.inputs), -1)
        tap, out = torch.nonzero(self.table >= 0, as_tuple=True)
        reverse[tap, self.table[tap, out].long()] = out.to(torch.int32)
        return reverse

    @cached_property
    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """The input and output rows (P,) of each tap, outputs ascending and none twice.

        They are found once and outside of products, so that ``torch.export`` sees constants.
        """
        outs = [torch.nonzero(tap >= 0).squeeze(1) for tap in self.table]
        return [(tap[out], out) for tap, out in zip(self.table, outs, strict=True)]

    def swapped(self) -> "TableMap":
        return self._swapped

    @cached_property
    def _swapped(self) -> "TableMap":
        swapped = type(self)(self.reverse, self.table.shape[1], self.mirrored)
        swapped.reverse = self.table
        return swapped


class Torch(Engine):
    name: ClassVar[EngineName] = "torch"

    def insert(self, coordinates: Tensor, stride: Sizes) -> tuple[Tensor, Tensor]:
        return number_rows(pack(coordinates))

    def downsample(self, coordinates: Tensor, stride: Sizes, out_stride: Sizes) -> Tensor:
        cells = coordinates.clone()
        steps = coordinates.new_tensor(out_stride)
        cells[:, 1:] = coordinates[:, 1:].div(steps, rounding_mode="floor") * steps
        return cells[number_rows(pack(cells))[0]]

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> TableMap:
        keys, rows = pack(inputs).sort()
        deltas = key_differences(geometry.offsets().to(inputs.device))
        taps = []
        for delta in deltas:
            wanted = pack(outputs) + delta
            taps.append(find(keys, rows, wanted).to(torch.int32))
        table = torch.stack(taps)
        return TableMap(table, len(inputs), geometry.mirrored and outputs is inputs)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: TableMap) -> Tensor:
        out = features.new_zeros(kernel_map.table.shape[1], weight.shape[2])  # (N_out, D)
        for (ins, outs), matrix in zip(kernel_map.pairs, weight, strict=True):
            out = out.index_add(0, outs, features[ins] @ matrix)  # sums run in tap order
        return out

    def convolve_depthwise(self, features: Tensor, weight: Tensor, kernel_map: TableMap) -> Tensor:
        out = features.new_zeros(kernel_map.table.shape[1], features.shape[1])
        for (ins, outs), scale in zip(kernel_map.pairs, weight, strict=True):
            out = out.index_add(0, outs, features[ins] * scale)
        return out

    def pool(self, features: Tensor, kernel_map: TableMap, reduce: Reduce) -> Tensor:
        table, dtype = kernel_map.table, features.dtype
        if reduce == "max":
            return take_rows(features, largest(features.detach(), table))
        features = features.to(torch.promote_types(dtype, torch.float32))  # for the sum
        out = features.new_zeros(table.shape[1], features.shape[1])
        for ins, outs in kernel_map.pairs:
            out = out.index_add(0, outs, features[ins])
        if reduce == "average":
            out = out / (table >= 0).sum(0).clamp(min=1)[:, None]
        return out.to(dtype)


def largest(x: Tensor, table: Tensor) -> Tensor:
    """(N_out, C) int64, the input row of the largest value that each output sees, -1 for none.

    table : (K, N_out). The first of equal values, and of NaNs, which count as largest.
    """
    row = torch.full((table.shape[1], x.shape[1]), -1, device=x.device)
    best = x.new_zeros(row.shape)
    for tap in table:
        value = x[tap.clamp(min=0)]
        better = (row < 0) | (value > best) | (value.isnan() & ~best.isnan())
        better &= tap[:, None] >= 0
        best, row = torch.where(better, value, best), torch.where(better, tap[:, None].long(), row)
    return row


def take_rows(x: Tensor, row: Tensor) -> Tensor:
    """``x[row[o, c], c]``, 0 where the row is -1: (N_in, C), (N_out, C) -> (N_out, C)."""
    if len(x) == 0:
        return x.sum() + x.new_zeros(row.shape)
    return torch.where(row >= 0, x.gather(0, row.clamp(min=0)), 0)

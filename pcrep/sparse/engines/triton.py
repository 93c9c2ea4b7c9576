"""The GPU engine: our neighbour tables with the implicit GEMM kernels of spconv-triton.

spconv-triton (Apache-2.0) installs with pip without a compiler; its kernels take (K, N_out) tables
of input rows, as :class:`TableMap` holds. Each program owns a tile of outputs and loops over taps
without atomics, so two runs in one process are bit-equal. (Autotuning may choose another tile in
another process, which then rounds differently.) Rows are sorted by their set of occupied taps, so
that a tile can skip taps that none of its rows has.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcrep.sparse.engines.base import Geometry
from pcrep.sparse.engines.torch import TableMap, Torch

_MASKED_TAPS = 32
"""Taps that can be skipped, by a 32-bit mask per row; larger kernels visit every tap."""


@dataclass(frozen=True)
class _Visits:
    """A neighbour table and the order in which its rows are visited.

    table : (K, N) int32. masks : (N, 1) int32, bit k set where tap k is occupied, sorted. argsort :
    (N,) int32, the row of each mask. Both are lists of one, or empty for more than 32 taps.
    """

    table: Tensor
    masks: list[Tensor]
    argsort: list[Tensor]

    @classmethod
    def of(cls, table: Tensor) -> "_Visits":
        table = table.contiguous()
        taps = len(table)
        if not 1 < taps <= _MASKED_TAPS:
            return cls(table, [], [])
        words = torch.zeros(table.shape[1], dtype=torch.int64, device=table.device)
        for k in range(taps):
            words |= (table[k] >= 0).long() << k
        words, order = words.sort(stable=True)
        signed = torch.where(words < 2**31, words, words - 2**32).to(torch.int32)
        return cls(table, [signed[:, None]], [order.to(torch.int32)])


class _TritonMap:
    """A kernel map as tables in both directions, each with its visiting order."""

    def __init__(self, tables: TableMap):
        self.tables = tables

    @cached_property
    def forward(self) -> _Visits:
        return _Visits.of(self.tables.table)

    @cached_property
    def reverse(self) -> _Visits:
        return _Visits.of(self.tables.reverse)

    def swapped(self) -> "_TritonMap":
        swapped = _TritonMap(self.tables.swapped())
        swapped.forward, swapped.reverse = self.reverse, self.forward
        return swapped


class Triton(Torch):
    """Maps and pooling by torch operators on the GPU; products by Triton kernels."""

    name = "triton"

    def __init__(self) -> None:
        try:
            self._ops = import_module("spconv_triton.pytorch.ops")
            self._switches = import_module("spconv_triton.constants")
        except ImportError as error:
            raise ValueError(
                "engine 'triton' needs spconv-triton, which is not installed; install it with: "
                f"pip install spconv-triton, or take engine='torch' ({error})"
            ) from error

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _TritonMap:
        return _TritonMap(super().kernel_map(geometry, inputs, outputs))

    def convolve_depthwise(
        self, features: Tensor, weight: Tensor, kernel_map: _TritonMap
    ) -> Tensor:
        return super().convolve_depthwise(features, weight, kernel_map.tables)

    def pool(self, features: Tensor, kernel_map: _TritonMap, reduce) -> Tensor:
        return super().pool(features, kernel_map.tables, reduce)

    @torch.compiler.disable
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: _TritonMap) -> Tensor:
        if features.dtype == torch.float64:  # the kernels support at most 32 bits
            return super().convolve(features, weight, kernel_map.tables)
        # Its TF32 switch is read at each call; here torch's own switch decides.
        self._switches.SPCONV_ALLOW_TF32 = torch.backends.cuda.matmul.allow_tf32
        return _Convolve.apply(features, weight, kernel_map, self._ops)


def _krsc(weight: Tensor) -> Tensor:
    """(K, C, D) -> (D, K, 1, 1, C): spconv's layout, with taps in the order of our tables."""
    return weight.permute(2, 0, 1).contiguous()[:, :, None, None, :]


class _Convolve(torch.autograd.Function):
    """The product and its gradients; 16-bit products are summed in 32 bits."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: _TritonMap, ops) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map, ctx.ops = kernel_map, ops
        visits = kernel_map.forward
        out, _, _ = ops.implicit_gemm(
            features,
            _krsc(weight),
            visits.table,
            visits.masks,
            visits.argsort,
            visits.table.shape[1],
            _every_tap(visits),
            is_train=True,
            is_subm=False,
            fp32_accum=True,
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        features, weight = ctx.saved_tensors
        forward, reverse = ctx.kernel_map.forward, ctx.kernel_map.reverse
        grad_features, grad_weight = ctx.ops.implicit_gemm_backward(
            features,
            _krsc(weight),
            grad,
            forward.table,
            reverse.table,
            forward.masks,
            reverse.masks,
            forward.argsort,
            reverse.argsort,
            mask_output_fwd=torch.Tensor(),
            masks=_every_tap(forward),
            mask_width=-1,
            is_subm=False,
            fp32_accum=True,
        )
        taps, channels, width = weight.shape
        grad_weight = grad_weight.reshape(width, taps, channels).permute(1, 2, 0)
        return grad_features, grad_weight, None, None


def _every_tap(visits: _Visits) -> list[np.ndarray]:
    """Masks of a single pass over all taps, in the form that the operators expect."""
    return [np.array([0xFFFFFFFF], dtype=np.uint32)] if visits.masks else []

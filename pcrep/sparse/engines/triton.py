"""The GPU engine: our neighbour tables with the implicit GEMM kernels of spconv-triton.

spconv-triton (Apache-2.0) installs with pip without a compiler; its kernels take (K, N_out) tables
of input rows, as :class:`TableMap` holds. Each program owns a tile of outputs and loops over taps
without atomics, so two runs in one process are bit-equal. (Autotuning may choose another tile in
another process, which then rounds differently.) Rows are sorted by their set of occupied taps, so
that a tile can skip taps that none of its rows has.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcrep.sparse.engines import autograd
from pcrep.sparse.engines.base import Geometry
from pcrep.sparse.engines.torch import TableMap, Torch

_MASKED_TAPS = 32
"""Taps that can be skipped, by a 32-bit mask per row; larger kernels visit every tap."""

_CANDIDATES = 6
_LOCK = threading.Lock()  # of the package's settings


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


class _TritonMap(TableMap):
    """A neighbour table with the order in which its rows are visited."""

    @cached_property
    def visits(self) -> _Visits:
        return _Visits.of(self.table)


class Triton(Torch):
    """Maps and pooling by torch operators on the GPU; products by Triton kernels."""

    name = "triton"

    def __init__(self) -> None:
        try:
            self._ops = import_module("spconv_triton.pytorch.ops")
            self._gemm = import_module("spconv_triton.pytorch._impl.gemm")
            self._switches: Any = import_module("spconv_triton.constants")
        except ImportError as error:
            raise ValueError(
                "engine 'triton' needs spconv-triton, which is not installed; install it with: "
                f"pip install spconv-triton, or take engine='torch' ({error})"
            ) from error

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _TritonMap:
        found = super().kernel_map(geometry, inputs, outputs)
        return _TritonMap(found.table, found.inputs, found.mirrored)

    @torch.compiler.disable
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: TableMap) -> Tensor:
        if features.dtype == torch.float64:  # the kernels support at most 32 bits
            return super().convolve(features, weight, kernel_map)
        return autograd.convolve(self, features, weight, kernel_map)

    def product(self, features: Tensor, weight: Tensor, kernel_map: _TritonMap) -> Tensor:
        """As :meth:`convolve`, without gradient; 16-bit products are summed in 32 bits."""
        visits = kernel_map.visits
        with self._settings():
            out, _, _ = self._ops.implicit_gemm(
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

    def outer(self, features: Tensor, other: Tensor, kernel_map: _TritonMap) -> Tensor:
        """The weight gradient alone: the package's public call has the input's with it."""
        table = kernel_map.visits.table
        shape = other.shape[1], len(table), features.shape[1]  # (D, K, C)
        with self._settings():
            out = self._gemm.conv_backward_weight(features, other, table, shape, fp32_accum=True)
        return out.permute(1, 2, 0)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """The package's settings for the time of a call: TF32 as torch has it, a short tuning.

        They are global there, so that others who use the package find them as they left them.
        """
        kernels = self._gemm._gather_gemm_kernel, self._gemm._dweight_masked_kernel
        with _LOCK:
            before = self._switches.SPCONV_ALLOW_TF32, [k.early_config_prune for k in kernels]
            self._switches.SPCONV_ALLOW_TF32 = _tf32()
            for kernel in kernels:
                kernel.early_config_prune = fitting
            try:
                yield
            finally:
                self._switches.SPCONV_ALLOW_TF32 = before[0]
                for kernel, prune in zip(kernels, before[1], strict=True):
                    kernel.early_config_prune = prune


def _tf32() -> bool:
    """Whether torch lets matrix products in float32 run in TF32."""
    switch = torch.backends.cuda.matmul
    # From torch 2.9 on; where it was set, reading ``allow_tf32`` raises.
    precision = getattr(switch, "fp32_precision", None)
    return switch.allow_tf32 if precision is None else precision == "tf32"


def fitting(configs: list[Any], named_args: dict[str, Any], **kwargs: Any) -> list[Any]:
    """Of the tuner's candidates, the ``_CANDIDATES`` tiles that waste least of a weight matrix.

    Each is compiled and timed at the first step of each layer, and of the package's 37 and 21 most
    are for other widths. Of equal waste, fewer and larger tiles come first.
    """
    arguments = {**named_args, **kwargs}
    blocks_of = {"N_dim": "BLOCK_N", "R_dim": "BLOCK_R", "K_dim": "BLOCK_K", "C_dim": "BLOCK_C"}
    sides = [(arguments[width], block) for width, block in blocks_of.items() if width in arguments]

    def cost(config: Any) -> tuple[int, int]:
        tiles = math.prod(-(-width // config.kwargs[block]) for width, block in sides)
        return tiles * math.prod(config.kwargs[block] for _, block in sides), tiles

    distinct: dict[
        tuple, Any
    ] = {}  # the first of those that differ in warps, stages or order of visits alone
    for config in configs:
        blocks = {k: v for k, v in config.kwargs.items() if k.startswith("BLOCK")}
        distinct.setdefault(tuple(blocks.items()), config)
    return sorted(distinct.values(), key=cost)[:_CANDIDATES]


def _krsc(weight: Tensor) -> Tensor:
    """(K, C, D) -> (D, K, 1, 1, C): spconv's layout, with taps in the order of our tables."""
    return weight.permute(2, 0, 1).contiguous()[:, :, None, None, :]


def _every_tap(visits: _Visits) -> list[np.ndarray]:
    """Masks of a single pass over all taps, in the form that the operators expect."""
    return [np.array([0xFFFFFFFF], dtype=np.uint32)] if visits.masks else []

"""MinkowskiEngine as an engine: our modules and weights on its kernels.

``make minkowski`` builds it from source, for the CPU only; it supports float32 and float64.
"""

import collections
import collections.abc
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from pcrep.sparse.engines.autograd import once
from pcrep.sparse.engines.base import Engine, Geometry, Reduce


def load() -> Any:
    """Import and return the module ``MinkowskiEngine``.

    Raises
    ------
    ValueError
        It is not installed.
    """
    # Its release of 2021 imports an alias that Python 3.10 removed.
    collections.Sequence = collections.abc.Sequence
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about missing CUDA and its number of threads
            import MinkowskiEngine
    except ImportError as error:
        raise ValueError(
            "engine 'minkowski' needs MinkowskiEngine 0.5.4, which is not installed; "
            f"build it with: make minkowski ({error})"
        ) from error
    finally:
        del collections.Sequence
    return MinkowskiEngine


@dataclass(frozen=True)
class _KeyMap:
    """A kernel map of MinkowskiEngine: the geometry and the coordinate keys of both sides."""

    geometry: Geometry
    inputs: Any
    outputs: Any
    transposed: bool = False

    def swapped(self) -> "_KeyMap":
        return _KeyMap(self.geometry, self.outputs, self.inputs, not self.transposed)


class Minkowski(Engine):
    name = "minkowski"

    def __init__(self) -> None:
        self._me = load()
        self._backend = import_module("MinkowskiEngineBackend._C")
        self._manager = self._me.CoordinateManager(
            D=3, coordinate_map_type=self._me.CoordinateMapType.CPU
        )
        self._keys: dict[int, Any] = {}

    def insert(self, coordinates: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        key, (first, number) = self._manager.insert_and_map(coordinates, stride, "")
        self._keys[stride] = key
        if len(number) == 0:  # which means no duplicates
            number = torch.arange(len(coordinates))
        return first.long(), number.long()

    def downsample(self, coordinates: Tensor, stride: int, out_stride: int) -> Tensor:
        self._keys[out_stride] = self._manager.stride(self._keys[stride], out_stride // stride)
        return self._manager.get_coordinates(self._keys[out_stride])

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _KeyMap:
        return _KeyMap(geometry, self._keys[geometry.inputs], self._keys[geometry.outputs])

    @torch.compiler.disable
    def convolve(self, features: Tensor, weight: Tensor, kernel_map: _KeyMap) -> Tensor:
        me = self._me
        function = (
            me.MinkowskiConvolutionTransposeFunction
            if kernel_map.transposed
            else me.MinkowskiConvolutionFunction
        )
        out = function.apply(
            features,
            weight.contiguous(),
            self._generator(kernel_map.geometry),
            self._backend.ConvolutionMode.DEFAULT,
            kernel_map.inputs,
            kernel_map.outputs,
            self._manager,
        )
        return once(out, "MinkowskiEngine")

    @torch.compiler.disable
    def pool(self, features: Tensor, kernel_map: _KeyMap, reduce: Reduce) -> Tensor:
        me = self._me
        function = (
            me.MinkowskiLocalPoolingTransposeFunction
            if kernel_map.transposed
            else me.MinkowskiLocalPoolingFunction
        )
        mode = {
            "sum": self._backend.PoolingMode.LOCAL_SUM_POOLING,
            "average": self._backend.PoolingMode.LOCAL_AVG_POOLING,
            "max": self._backend.PoolingMode.LOCAL_MAX_POOLING,
        }[reduce]
        if kernel_map.transposed:  # the only mode there: divides by the number of contributions
            mode = self._backend.PoolingMode.LOCAL_AVG_POOLING
        if mode == self._backend.PoolingMode.LOCAL_MAX_POOLING and bool(features.isnan().any()):
            raise ValueError(
                "features hold NaN, which MinkowskiEngine's max pooling hides; find where they "
                "come from, or take engine='numba', which hands them on"
            )
        out = function.apply(
            features,
            mode,
            self._generator(kernel_map.geometry),
            kernel_map.inputs,
            kernel_map.outputs,
            self._manager,
        )
        return once(out, "MinkowskiEngine")

    def _generator(self, geometry: Geometry) -> Any:
        return self._me.KernelGenerator(
            kernel_size=geometry.kernel,
            stride=geometry.outputs // geometry.inputs,
            dilation=geometry.dilation,
            dimension=3,
        )

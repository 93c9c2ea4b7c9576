"""MinkowskiEngine as an engine: our modules and weights on its kernels.

``make minkowski`` builds it from source, for the CPU only; it supports float32 and float64.
"""

import collections
import collections.abc
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from pcrep.sparse.engines.autograd import once
from pcrep.sparse.engines.base import Engine, Geometry, Reduce, Sizes


def load() -> Any:
    """Import and return the module ``MinkowskiEngine``.

    Raises
    ------
    ValueError
        It is not installed.
    """
    # Its release of 2021 imports an alias that Python 3.10 removed.
    setattr(collections, "Sequence", collections.abc.Sequence)  # noqa: B010
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
        delattr(collections, "Sequence")
    return MinkowskiEngine


@dataclass(frozen=True)
class _KeyMap:
    """A kernel map of MinkowskiEngine: the geometry, and the coordinate keys of both sides."""

    manager: Any
    geometry: Geometry
    inputs: Any
    outputs: Any
    transposed: bool = False

    def swapped(self) -> "_KeyMap":
        return replace(
            self, inputs=self.outputs, outputs=self.inputs, transposed=not self.transposed
        )


class Minkowski(Engine):
    name = "minkowski"

    def __init__(self) -> None:
        self._me = load()
        self._backend = import_module("MinkowskiEngineBackend._C")
        self._manager: Any = None  # made when the number of axes is known
        self._keys: dict[Sizes, Any] = {}
        self._foreign = 0

    def insert(self, coordinates: Tensor, stride: Sizes) -> tuple[Tensor, Tensor]:
        if self._manager is None:
            kind = self._me.CoordinateMapType.CPU
            axes = coordinates.shape[1] - 1
            self._manager = self._me.CoordinateManager(D=axes, coordinate_map_type=kind)
        key, (first, number) = self._manager.insert_and_map(coordinates, list(stride), "")
        self._keys[stride] = key
        if len(number) == 0:  # which means no duplicates
            number = torch.arange(len(coordinates))
        return first.long(), number.long()

    def downsample(self, coordinates: Tensor, stride: Sizes, out_stride: Sizes) -> Tensor:
        factor = [b // a for a, b in zip(stride, out_stride, strict=True)]
        self._keys[out_stride] = self._manager.stride(self._keys[stride], factor)
        return self._manager.get_coordinates(self._keys[out_stride])

    def kernel_map(self, geometry: Geometry, inputs: Tensor, outputs: Tensor) -> _KeyMap:
        key = self._keys.get(geometry.outputs)
        if key is None or not torch.equal(self._manager.get_coordinates(key), outputs):
            self._foreign += 1  # voxels of another cloud, under a name of their own
            name = f"cloud {self._foreign}"
            key, _ = self._manager.insert_and_map(outputs, list(geometry.outputs), name)
        return _KeyMap(self._manager, geometry, self._keys[geometry.inputs], key)

    def convolve_depthwise(self, features: Tensor, weight: Tensor, kernel_map: _KeyMap) -> Tensor:
        raise ValueError(
            "engine 'minkowski' has no depthwise convolution on given voxels; take engine='numba'"
        )

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
            kernel_map.manager,
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
            kernel_map.manager,
        )
        return once(out, "MinkowskiEngine")

    def _generator(self, geometry: Geometry) -> Any:
        sizes = zip(geometry.outputs, geometry.inputs, strict=True)
        return self._me.KernelGenerator(
            kernel_size=list(geometry.kernel),
            stride=[b // a for b, a in sizes],
            dilation=list(geometry.dilation),
            dimension=len(geometry.kernel),
        )

"""Modules on sparse tensors: convolutions, pooling, batch normalisation."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from pcrep.sparse.engines.base import Geometry, Reduce
from pcrep.sparse.tensor import SparseTensor, reduce_rows
from tspcrep.common import batch_norm


class _Convolution(nn.Module):
    """Weights of a convolution; subclasses determine the output voxels.

    Parameters
    ----------
    in_channels, out_channels : C and D.
    kernel_size : taps along each axis.
    stride : ratio of the coarser to the finer tensor stride.
    dilation : distance between taps, in units of the finer tensor stride.
    bias : whether to add a vector (D,); off as in MinkowskiEngine, since normalisation follows.

    ``weight`` is (K, C, D) with ``K = kernel_size**3`` taps, x fastest, then y, then z, initialised
    as in MinkowskiEngine: uniform in ``+-1 / sqrt(K C)`` (transposed: ``K D``).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
    ):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        self.weight = nn.Parameter(torch.empty(kernel_size**3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(len(self.weight) * self._fan_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @property
    def _fan_channels(self) -> int:
        return self.in_channels

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, dilation={self.dilation}, bias={self.bias is not None}"
        )

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        weight = state_dict.get(f"{prefix}weight")
        if weight is not None:
            check_weight(weight, self, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply_to(self, x: SparseTensor, kernel_map: Any, stride: int) -> SparseTensor:
        """Convolve with a kernel map, or with the single tap of a 1 x 1 x 1 kernel (``None``)."""
        features, weight = _autocast(x.features, self.weight)
        if features.dtype != weight.dtype:
            raise ValueError(
                f"features are {features.dtype} and weights {weight.dtype}, expected the same; "
                "convert one, or compute under torch.autocast"
            )
        if kernel_map is None:
            out = features @ weight[0]
        else:
            out = x.maps.engine.convolve(features, weight, kernel_map)
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return SparseTensor.on(x.maps, stride, out)

    def _check_input(self, x: SparseTensor) -> None:
        if x.features.shape[1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__} expects {self.in_channels} channels, found "
                f"{x.features.shape[1]} in {x}"
            )
        check_weight(self.weight, self)


class Conv(_Convolution):
    """Sparse convolution, ``out[o] = sum_k x[o + offset_k] @ weight[k] + bias``.

    The sum is over occupied voxels. With ``stride`` 1 the output voxels are the input voxels, else
    the cells that hold input voxels, ``floor(c / s) * s`` with the new tensor stride s. The layout
    of taps is that of :class:`Geometry`.
    (``MinkowskiConvolution``; Choy, Gwak, Savarese, CVPR 2019, eq. 3.)

    Raises
    ------
    ValueError
        The channels do not match, or voxels are too far from the origin for the kernel.
    """

    def forward(self, x: SparseTensor) -> SparseTensor:
        self._check_input(x)
        if self.kernel_size == 1 and self.stride == 1:
            return self._apply_to(x, None, x.stride)
        stride = x.maps.downsample(x.stride, self.stride)
        geometry = Geometry(self.kernel_size, x.stride, stride, self.dilation)
        return self._apply_to(x, x.maps.kernel_map(geometry), stride)


class ConvTranspose(_Convolution):
    """Transposed sparse convolution onto the existing voxels of the finer tensor stride.

    It uses the kernel map of :class:`Conv` with the same kernel, stride and dilation in reverse:
    ``out[o + offset_k] += x[o] @ weight[k]``. (``MinkowskiConvolutionTranspose``.)

    Raises
    ------
    ValueError
        There are no voxels at ``x.stride / stride``, or the channels do not match.
    """

    @property
    def _fan_channels(self) -> int:
        return self.out_channels

    def forward(self, x: SparseTensor) -> SparseTensor:
        self._check_input(x)
        if self.kernel_size == 1 and self.stride == 1:
            return self._apply_to(x, None, x.stride)
        stride = _finer_stride(self, x)
        geometry = Geometry(self.kernel_size, stride, x.stride, self.dilation)
        return self._apply_to(x, x.maps.kernel_map(geometry).swapped(), stride)


class Pool(nn.Module):
    """Reduce the occupied voxels in a window by ``sum``, ``average`` or ``max``.

    With ``stride`` equal to ``kernel_size``, the default, windows are cells; else they are laid out
    as the taps of :class:`Conv`. (``MinkowskiSumPooling``, ``AvgPooling``, ``MaxPooling``.)
    """

    def __init__(self, kernel_size: int, stride: int | None = None, reduce: Reduce = "average"):
        super().__init__()
        self.kernel_size, self.stride, self.reduce = kernel_size, stride or kernel_size, reduce
        _check_window(self.kernel_size, self.stride, reduce)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, reduce={self.reduce!r}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        stride = x.maps.downsample(x.stride, self.stride)
        cell = self.stride == self.kernel_size
        kernel_map = x.maps.kernel_map(Geometry(self.kernel_size, x.stride, stride, cell=cell))
        pooled = x.maps.engine.pool(x.features, kernel_map, self.reduce)
        return SparseTensor.on(x.maps, stride, pooled)


class Unpool(nn.Module):
    """Copy the features of each cell to the voxels of the finer stride in it.

    (``MinkowskiPoolingTranspose`` with a kernel equal to the stride.)
    """

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride
        _check_window(stride, stride, "sum")

    def extra_repr(self) -> str:
        return f"stride={self.stride}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        stride = _finer_stride(self, x)
        kernel_map = x.maps.kernel_map(Geometry(self.stride, stride, x.stride, cell=True)).swapped()
        return SparseTensor.on(x.maps, stride, x.maps.engine.pool(x.features, kernel_map, "sum"))


class GlobalPool(nn.Module):
    """Reduce each batch element to one row by ``sum``, ``average`` or ``max``: (B, C)."""

    def __init__(self, reduce: Reduce = "average"):
        super().__init__()
        self.reduce = reduce
        _check_window(1, 1, reduce)

    def extra_repr(self) -> str:
        return f"reduce={self.reduce!r}"

    def forward(self, x: SparseTensor) -> Tensor:
        return reduce_rows(x.features, x.coordinates[:, 0].long(), x.batch_size, self.reduce)


class BatchNorm(nn.Module):
    """Batch normalisation over the voxels of the batch, in ``bn`` (``MinkowskiBatchNorm``)."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.bn = batch_norm.BatchNorm(channels, eps, momentum)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return x.map(self.bn)


def check_weight(weight: Tensor, conv: _Convolution, where: str = "") -> None:
    """Raise a ValueError unless a weight is (K, C, D), with a guess of its layout."""
    expected = (conv.kernel_size**3, conv.in_channels, conv.out_channels)
    found = tuple(weight.shape)
    if found == expected:
        return
    k, c, d = conv.kernel_size, conv.in_channels, conv.out_channels
    known = {
        (d, k, k, k, c): "spconv's KRSC layout; load it through pcrep.encoders.checkpoints",
        (k, k, k, c, d): "spconv 1's RSCK layout; load it through spconv 2 once",
        (c, d): "MinkowskiEngine's layout of a 1 x 1 x 1 kernel; load it through "
        "pcrep.encoders.checkpoints",
        (d, c, k, k, k): "a dense conv3d's layout; permute(2, 3, 4, 1, 0).reshape(K, C, D)",
    }
    hint = known.get(found, "weights of another module")
    raise ValueError(
        f"{where}weight has shape {found}, expected {expected}, (taps, in, out): {hint}"
    )


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast tensors to the dtype of autocast where it is on, as torch does for matrix products."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t.dtype == torch.float64 else t.to(dtype) for t in tensors)


def _finer_stride(module: nn.Module, x: SparseTensor) -> int:
    finer, rest = divmod(x.stride, module.stride)
    if rest or finer not in x.maps.strides:
        raise ValueError(
            f"{type(module).__name__} has no coordinates to land on: {x} times 1/{module.stride}, "
            f"and the cloud has voxels at strides {x.maps.strides}"
        )
    return finer


def _check_window(kernel_size: int, stride: int, reduce: str) -> None:
    if kernel_size < 1 or stride < 1:
        raise ValueError(f"kernel_size {kernel_size}, stride {stride}: expected at least 1")
    if reduce not in ("sum", "average", "max"):
        raise ValueError(f"reduce is {reduce!r}, expected 'sum', 'average' or 'max'")

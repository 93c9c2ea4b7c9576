"""Sparse convolutions: strided, transposed, generative and depthwise."""

import math

import torch
from torch import Tensor, nn

from pcrep.sparse.engines.base import Sizes
from pcrep.sparse.tensor import SparseTensor
from pcrep.sparse.window import Landing, Sites, Window, check_sites


class _Convolution(Window):
    """Weights of a convolution; subclasses determine the output voxels.

    Parameters
    ----------
    in_channels, out_channels : C and D.
    kernel_size : taps along each axis, one number or one for each axis.
    stride : ratio of the coarser to the finer tensor stride, likewise.
    dilation : distance between taps, in units of the finer tensor stride, likewise.
    bias : whether to add a vector (D,); off as in MinkowskiEngine, since normalisation follows.
    dimension : number of axes, 2, 3 or 4.

    ``weight`` is (K, C, D), K the product of ``kernel_size``, taps x fastest, then y, then z,
    initialised as in MinkowskiEngine: uniform in ``+-1 / sqrt(K C)`` (transposed: ``K D``).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sizes = 3,
        stride: int | Sizes = 1,
        dilation: int | Sizes = 1,
        bias: bool = False,
        dimension: int = 3,
    ):
        super().__init__(kernel_size, stride, dilation, dimension)
        self.in_channels, self.out_channels = in_channels, out_channels
        for name in ("in_channels", "out_channels"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected at least 1")
        self.weight = nn.Parameter(torch.empty(self._weight_shape()))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def _weight_shape(self) -> Sizes:
        return math.prod(self.kernel_size), self.in_channels, self.out_channels

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
            f"{self.in_channels}, {self.out_channels}, {super().extra_repr()}, "
            f"bias={self.bias is not None}"
        )

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        weight = state_dict.get(f"{prefix}weight")
        if weight is not None:
            check_weight(weight, self, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply_to(self, x: SparseTensor, landing: Landing | None) -> SparseTensor:
        """Convolve with a kernel map, or with the single tap of a pointwise kernel (``None``)."""
        features, weight = _autocast(x.features, self.weight)
        if features.dtype != weight.dtype:
            raise ValueError(
                f"features are {features.dtype} and weights {weight.dtype}, expected the same; "
                "convert one, or compute under torch.autocast"
            )
        if features.device != weight.device:
            raise ValueError(
                f"features are on {features.device} and weights on {weight.device}, expected the "
                "same device; move one with .to()"
            )
        maps, stride = x.maps, x.stride
        if landing is None:
            out = self._tap(features, weight)
        else:
            maps, stride = landing.maps, landing.stride
            out = self._convolve(x, features, weight, landing)
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return SparseTensor.on(maps, stride, out)

    def _tap(self, features: Tensor, weight: Tensor) -> Tensor:
        return features @ weight[0]

    def _convolve(
        self, x: SparseTensor, features: Tensor, weight: Tensor, landing: Landing
    ) -> Tensor:
        return x.maps.engine.convolve(features, weight, landing.kernel_map)

    def _check_input(self, x: SparseTensor) -> None:
        self._check_axes(x)
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

    Parameters
    ----------
    sites : output voxels of a strided layer: ``cells``, or every one that a tap ``reached``, as in
        spconv's ``SparseConv3d`` with a padding of half the kernel, where odd (spconv also drops
        those outside its grid).

    ``forward(x, onto=None)``: the output may lie ``onto`` the voxels of another tensor.

    Raises
    ------
    ValueError
        The channels do not match, or voxels are too far from the origin for the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sizes = 3,
        stride: int | Sizes = 1,
        dilation: int | Sizes = 1,
        bias: bool = False,
        dimension: int = 3,
        sites: Sites = "cells",
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, bias, dimension)
        check_sites(sites)
        self.sites = sites

    @torch.compiler.disable
    def forward(self, x: SparseTensor, onto: SparseTensor | None = None) -> SparseTensor:
        self._check_input(x)
        if self.pointwise and onto is None:
            return self._apply_to(x, None)
        return self._apply_to(x, self.down(x, onto, sites=self.sites))


class ConvTranspose(_Convolution):
    """Transposed sparse convolution onto the voxels of the finer tensor stride.

    It uses the kernel map of :class:`Conv` with the same kernel, stride and dilation in reverse:
    ``out[o + offset_k] += x[o] @ weight[k]``. (``MinkowskiConvolutionTranspose``.)

    Parameters
    ----------
    generate : make an output voxel wherever a tap reaches, in place of the voxels that the cloud
        has at the finer stride; the result is a cloud of its own.
        (``MinkowskiGenerativeConvolutionTranspose``; Gwak, Choy, Savarese, ECCV 2020, section 4.)

    ``forward(x, onto=None)``: the output may lie ``onto`` the voxels of another tensor.

    Raises
    ------
    ValueError
        There are no voxels at ``x.stride / stride``, or the channels do not match.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sizes = 3,
        stride: int | Sizes = 1,
        dilation: int | Sizes = 1,
        bias: bool = False,
        dimension: int = 3,
        generate: bool = False,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation, bias, dimension)
        self.generate = generate

    @property
    def _fan_channels(self) -> int:
        return self.out_channels

    @torch.compiler.disable
    def forward(self, x: SparseTensor, onto: SparseTensor | None = None) -> SparseTensor:
        self._check_input(x)
        if self.pointwise and onto is None:
            return self._apply_to(x, None)
        return self._apply_to(x, self.up(x, onto, generate=self.generate))


class DepthwiseConv(_Convolution):
    """Convolution of each channel with taps of its own, ``out[o] = sum_k x[o + offset_k] * w[k]``.

    ``weight`` is (K, C); output voxels as in :class:`Conv`. (``MinkowskiChannelwiseConvolution``.)
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | Sizes = 3,
        stride: int | Sizes = 1,
        dilation: int | Sizes = 1,
        bias: bool = False,
        dimension: int = 3,
    ):
        super().__init__(channels, channels, kernel_size, stride, dilation, bias, dimension)

    def _weight_shape(self) -> Sizes:
        return math.prod(self.kernel_size), self.in_channels

    @property
    def _fan_channels(self) -> int:
        return 1

    def _tap(self, features: Tensor, weight: Tensor) -> Tensor:
        return features * weight[0]

    def _convolve(
        self, x: SparseTensor, features: Tensor, weight: Tensor, landing: Landing
    ) -> Tensor:
        return x.maps.engine.convolve_depthwise(features, weight, landing.kernel_map)

    @torch.compiler.disable
    def forward(self, x: SparseTensor, onto: SparseTensor | None = None) -> SparseTensor:
        self._check_input(x)
        if self.pointwise and onto is None:
            return self._apply_to(x, None)
        return self._apply_to(x, self.down(x, onto))


def check_weight(weight: Tensor, conv: _Convolution, where: str = "") -> None:
    """Raise a ValueError unless a weight fits a module, with a guess of its layout."""
    expected, found = conv._weight_shape(), tuple(weight.shape)
    if found == expected:
        return
    k, c, d = conv.kernel_size, conv.in_channels, conv.out_channels
    known = {
        (d, *k, c): "spconv's KRSC layout; load it through pcrep.encoders.checkpoints",
        (*k, c, d): "spconv 1's RSCK layout; load it through spconv 2 once",
        (c, d): "MinkowskiEngine's layout of a 1 x 1 x 1 kernel; load it through "
        "pcrep.encoders.checkpoints",
        (d, c, *k): "a dense convolution's layout, (D, C, x, y, z); reverse all axes by permute, "
        "then reshape to (K, C, D)",
    }
    hint = known.get(found, "weights of another module")
    names = "(taps, in, out)" if len(expected) == 3 else "(taps, channels)"
    raise ValueError(f"{where}weight has shape {found}, expected {expected}, {names}: {hint}")


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast tensors to the dtype of autocast where it is on, as torch does for matrix products."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t.dtype == torch.float64 else t.to(dtype) for t in tensors)

"""Normalisation of features: over the batch, over each cloud, over channels."""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from pcrep.sparse.reduce import reduce_rows
from pcrep.sparse.tensor import SparseTensor, check_sparse
from tspcrep.common import batch_norm


class BatchNorm(nn.Module):
    """Batch normalisation over the voxels of the batch, in ``bn`` (``MinkowskiBatchNorm``)."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.bn = batch_norm.BatchNorm(channels, eps, momentum)

    def forward(self, x: SparseTensor) -> SparseTensor:
        _check(self, x, self.bn.num_features)
        return x.map(self.bn)


class InstanceNorm(nn.Module):
    """Normalise each channel over the voxels of each batch element, then scale and shift.

    The variance is the biased one, as in ``nn.InstanceNorm1d``; there are no running statistics.
    (``MinkowskiInstanceNorm``; Ulyanov, Vedaldi, Lempitsky, 2016, eq. 1.)
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: SparseTensor) -> SparseTensor:
        _check(self, x, len(self.weight))
        batch, count = x.batch, x.batch_size

        def mean(features: Tensor) -> Tensor:  # over the cloud of each voxel
            return reduce_rows(features, batch, count, "average").index_select(0, batch)

        centred = x.features - mean(x.features)
        variance = mean(centred.square())
        normal = centred * (variance + self.eps).rsqrt()
        return x.map(lambda _: normal * self.weight + self.bias)


class LayerNorm(nn.Module):
    """``nn.LayerNorm`` over the channels of each voxel, in ``ln``."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.ln = nn.LayerNorm(channels, eps)

    def forward(self, x: SparseTensor) -> SparseTensor:
        _check(self, x, *self.ln.normalized_shape)

        def normal(features: Tensor) -> Tensor:
            wide = features.to(self.ln.weight.dtype)
            # Scaled outside: layer_norm sums the gradients of its weights in the order of threads.
            unit = layer_norm(wide, self.ln.normalized_shape, eps=self.ln.eps)
            return (unit * self.ln.weight + self.ln.bias).to(features.dtype)

        return x.map(normal)


def _check(layer: nn.Module, x: SparseTensor, channels: int) -> None:
    check_sparse(type(layer).__name__, x)
    if x.features.shape[1] != channels:
        raise ValueError(
            f"{type(layer).__name__} expects {channels} channels, found {x.features.shape[1]} in "
            f"{x}"
        )

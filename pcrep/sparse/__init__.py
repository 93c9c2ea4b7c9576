"""Sparse convolutions with MinkowskiEngine's coordinate semantics, without compiling extensions."""

from pcrep.sparse.conv import Conv, ConvTranspose, DepthwiseConv
from pcrep.sparse.engines import EngineName
from pcrep.sparse.field import Field
from pcrep.sparse.kernel_map import Maps
from pcrep.sparse.norm import BatchNorm, InstanceNorm, LayerNorm
from pcrep.sparse.pool import GlobalPool, Pool, Unpool
from pcrep.sparse.sites import broadcast, interpolate, prune
from pcrep.sparse.tensor import SparseTensor, cat, union

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "EngineName",
    "Field",
    "GlobalPool",
    "InstanceNorm",
    "LayerNorm",
    "Maps",
    "Pool",
    "SparseTensor",
    "Unpool",
    "broadcast",
    "cat",
    "interpolate",
    "prune",
    "union",
]

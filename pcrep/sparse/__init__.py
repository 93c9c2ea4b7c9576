"""Sparse convolutions with MinkowskiEngine's coordinate semantics, without compiling extensions."""

from pcrep.sparse.conv import BatchNorm, Conv, ConvTranspose, GlobalPool, Pool, Unpool
from pcrep.sparse.engines import EngineName
from pcrep.sparse.kernel_map import Maps
from pcrep.sparse.tensor import Field, SparseTensor, cat

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "EngineName",
    "Field",
    "GlobalPool",
    "Maps",
    "Pool",
    "SparseTensor",
    "Unpool",
    "cat",
]

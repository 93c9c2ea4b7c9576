"""Representation learning for 3D point clouds."""

from pcrep.sparse import SparseTensor
from pcrep.unet import SparseUNet, UNetConfig, load_encoder, res16unet, save_encoder
from pcrep.voxelize import Voxels, voxelize

__all__ = [
    "SparseTensor",
    "SparseUNet",
    "UNetConfig",
    "Voxels",
    "load_encoder",
    "res16unet",
    "save_encoder",
    "voxelize",
]

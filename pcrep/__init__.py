"""Representation learning for 3D point clouds.

    from pcrep import FAC, SparseUNet, load_encoder

``tools/pretrain_fac.py`` makes the encoder of a folder of point clouds.
"""

from pcrep.sparse import SparseTensor
from pcrep.unet import SparseUNet, UNetConfig, load_encoder, res16unet, save_encoder
from pcrep.voxelize import Voxels, voxelize

__all__ = [
    "FAC",
    "FACConfig",
    "SparseTensor",
    "SparseUNet",
    "UNetConfig",
    "Voxels",
    "load_encoder",
    "res16unet",
    "save_encoder",
    "voxelize",
]


def __getattr__(name: str):
    # An encoder is loaded and used without the trainer that made it.
    if name in ("FAC", "FACConfig"):
        from pcrep import fac

        return getattr(fac, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

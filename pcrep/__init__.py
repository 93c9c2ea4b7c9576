"""Representation learning for 3D point clouds.

    from pcrep import FAC, SparseUNet, load_encoder

``tools/pretrain_fac.py`` makes the encoder of a folder of point clouds.
"""

from pcrep.encoders.encoding import encode
from pcrep.encoders.unet import (
    SparseUNet,
    UNetConfig,
    from_pretrained,
    list_encoders,
    load_encoder,
    res16unet,
    save_encoder,
    save_pretrained,
)
from pcrep.encoders.voxelize import Voxels, voxelize
from pcrep.sparse import SparseTensor

__all__ = [
    "FAC",
    "FACConfig",
    "SegmentationPipeline",
    "SparseTensor",
    "SparseUNet",
    "UNetConfig",
    "Voxels",
    "encode",
    "from_pretrained",
    "list_encoders",
    "load_encoder",
    "res16unet",
    "save_encoder",
    "save_pretrained",
    "voxelize",
]


def __getattr__(name: str):
    # An encoder is loaded and used without the trainer that made it, or a segmenter.
    if name in ("FAC", "FACConfig"):
        from pcrep.contrast import fac

        return getattr(fac, name)
    if name == "SegmentationPipeline":
        from pcrep.prediction import SegmentationPipeline

        return SegmentationPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

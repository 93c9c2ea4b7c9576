"""Representation learning for 3D point clouds.

    from pcrep import FAC, SparseUNet, load_encoder

``tools/pretrain_fac.py`` makes the encoder of a folder of point clouds.
"""

from typing import TYPE_CHECKING

from tspcrep.common.lazy import attributes

if TYPE_CHECKING:
    from pcrep.contrast.fac import FAC, FACConfig
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
    from pcrep.prediction import SegmentationPipeline
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

# Each is imported when it is first asked for: numba, pandas and torch's compiler take seconds.
_MODULES = {
    "FAC": "pcrep.contrast.fac",
    "FACConfig": "pcrep.contrast.fac",
    "SegmentationPipeline": "pcrep.prediction",
    "SparseTensor": "pcrep.sparse",
    "SparseUNet": "pcrep.encoders.unet",
    "UNetConfig": "pcrep.encoders.unet",
    "Voxels": "pcrep.encoders.voxelize",
    "encode": "pcrep.encoders.encoding",
    "from_pretrained": "pcrep.encoders.unet",
    "list_encoders": "pcrep.encoders.unet",
    "load_encoder": "pcrep.encoders.unet",
    "res16unet": "pcrep.encoders.unet",
    "save_encoder": "pcrep.encoders.unet",
    "save_pretrained": "pcrep.encoders.unet",
    "voxelize": "pcrep.encoders.voxelize",
}


__getattr__, __dir__ = attributes(__name__, _MODULES)

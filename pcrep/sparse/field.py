"""Fields: features at continuous points, to voxels and back."""

from typing import Literal

import torch
from torch import Tensor

from pcrep.sparse.coordinates import check_batch_size, check_coordinates, show
from pcrep.sparse.engines import EngineName, create
from pcrep.sparse.kernel_map import Maps
from pcrep.sparse.tensor import SparseTensor, check_finite, check_rows, check_sparse, merge


class Field:
    """Features at continuous points: quantise to a sparse tensor, and slice results back to points.

    Parameters
    ----------
    coordinates : (N, 4) floating point rows [batch, x, y, z], x, y and z in voxels (metres divided
        by the voxel size); the batch index is sorted. Two and four axes as in SparseTensor.
    features : (N, C).

    (MinkowskiEngine: ``TensorField``, ``sparse`` and ``slice``.)
    """

    def __init__(self, coordinates: Tensor, features: Tensor):
        if not isinstance(coordinates, Tensor):
            found = type(coordinates).__name__
            raise ValueError(f"coordinates are a {found}, expected a torch.Tensor")
        if not coordinates.is_floating_point():
            raise ValueError(
                f"coordinates have dtype {coordinates.dtype}, expected floating point; integer "
                "voxels go to SparseTensor as they are"
            )
        if not bool(coordinates.isfinite().all()):
            raise ValueError("coordinates hold NaN or infinity, expected finite numbers")
        # Clamped to beyond the valid range, so that a far point is reported and does not wrap.
        voxels = coordinates.floor().clamp(-(2**30), 2**30).to(torch.int32)
        check_coordinates(voxels)
        check_batch_size(None, voxels[:, 0])
        check_rows(features, coordinates)
        check_finite(features)
        self._voxels, self.features = voxels, features
        self._number: Tensor | None = None
        self._maps: Maps | None = None

    def sparse(
        self, reduce: Literal["average", "sum", "first"] = "average", engine: EngineName = "auto"
    ) -> SparseTensor:
        """Reduce the features of points to one row per voxel, in order of first appearance."""
        maker = create(engine, self._voxels.device)
        ones = (1,) * (self._voxels.shape[1] - 1)
        voxels, features, self._number = merge(maker, self._voxels, self.features, ones, reduce)
        self._maps = Maps(maker, voxels, ones, check_batch_size(None, voxels[:, 0]))
        return SparseTensor.on(self._maps, ones, features)

    def slice(self, tensor: SparseTensor) -> Tensor:
        """Features (N, D) of the voxel that each point lies in.

        Raises
        ------
        ValueError
            The tensor does not derive from :meth:`sparse` of this field, or is coarser.
        """
        check_sparse("slice", tensor)
        if self._number is None or tensor.maps is not self._maps:
            raise ValueError("tensor does not descend from this field, expected one from .sparse()")
        if max(tensor.stride) > 1:
            raise ValueError(
                f"tensor has stride {show(tensor.stride)}, expected 1; bring it up with "
                "ConvTranspose or Unpool first"
            )
        return tensor.features.index_select(0, self._number)

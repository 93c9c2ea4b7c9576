"""Coordinates of voxels: what is valid, and the error for what is not."""

import torch
from torch import Tensor

from pcrep.sparse.engines.base import BATCHES, BITS, Sizes, limit


def check_coordinates(coordinates: Tensor) -> None:
    """Raise a ValueError where coordinates of a cloud are invalid.

    Expected: int32 (N, 1 + D) rows [batch, x, y, z] of D = 2, 3 or 4 axes; batch sorted, in
    [0, 512); axes within :func:`limit`.
    """
    if not isinstance(coordinates, Tensor):
        raise ValueError(f"coordinates are a {type(coordinates).__name__}, expected a torch.Tensor")
    if coordinates.ndim != 2 or coordinates.shape[1] - 1 not in BITS:
        raise ValueError(
            f"coordinates have shape {tuple(coordinates.shape)}, expected (N, 4) rows "
            "[batch, x, y, z], or (N, 3) and (N, 5) for two and four axes"
        )
    if coordinates.dtype != torch.int32:
        raise ValueError(
            f"coordinates have dtype {coordinates.dtype}, expected torch.int32; quantise floating "
            "points with pcrep.encoders.voxelize or pcrep.sparse.Field"
        )
    if len(coordinates) == 0:
        return
    check_batch(coordinates[:, 0])
    low, high = (int(v) for v in coordinates[:, 1:].aminmax())
    most = limit(coordinates.shape[1] - 1)
    if low < -most or high >= most:
        raise ValueError(
            f"coordinates lie between {low} and {high}, expected [{-most}, {most}) so that a "
            "voxel packs into 64 bits; subtract an origin, or take larger voxels"
        )


def check_multiples(coordinates: Tensor, stride: Sizes) -> None:
    """Raise a ValueError unless coordinates (N, 1 + D) are multiples of a tensor stride."""
    if max(stride) == 1:
        return
    beside = (coordinates[:, 1:] % coordinates.new_tensor(stride)).any(1)
    if bool(beside.any()):
        row = int(beside.nonzero()[0])
        raise ValueError(
            f"coordinates row {row} is {coordinates[row].tolist()}, expected multiples of the "
            f"tensor stride {show(stride)}"
        )


def check_batch(batch: Tensor) -> None:
    """Raise a ValueError unless a batch index (N,) is sorted, not negative, and below 512."""
    if len(batch) == 0:
        return
    falls = batch.diff() < 0
    if bool(falls.any()):
        row = int(falls.nonzero()[0]) + 1
        raise ValueError(
            f"the batch index falls from {int(batch[row - 1])} to {int(batch[row])} at row {row}, "
            "expected sorted rows; order the rows with batch.argsort(stable=True)"
        )
    if int(batch[0]) < 0:
        raise ValueError(f"the batch index starts at {int(batch[0])}, expected 0 or above")
    if int(batch[-1]) >= BATCHES:
        raise ValueError(f"the batch index reaches {int(batch[-1])}, expected below {BATCHES}")


def check_batch_size(batch_size: int | None, batch: Tensor) -> int:
    """The number of batch elements; left out, up to the last that has voxels."""
    seen = int(batch[-1]) + 1 if len(batch) else 0
    if batch_size is None:
        if not seen:
            raise ValueError(
                "coordinates hold no voxel, expected at least one, or a batch_size of empty clouds"
            )
        return seen
    if isinstance(batch_size, bool) or not isinstance(batch_size, int):
        raise ValueError(f"batch_size is {batch_size!r}, expected an integer")
    if not max(1, seen) <= batch_size <= BATCHES:
        raise ValueError(
            f"batch_size is {batch_size}, expected at least {max(1, seen)}, for the coordinates' "
            f"batch index, and at most {BATCHES}"
        )
    return batch_size


def show(sizes: Sizes) -> str:
    """A stride or kernel for a message: one number where all axes agree."""
    return str(sizes[0] if len(set(sizes)) == 1 else sizes)

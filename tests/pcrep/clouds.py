"""Random clouds that the tests of pcrep share, and comparison by row of coordinates."""

import itertools

import numpy as np
import torch
from torch import Tensor

from pcrep.sparse import SparseTensor


def cloud(
    seed: int,
    points: int = 400,
    batch: int = 2,
    extent: int = 12,
    stride: int = 1,
    dimension: int = 3,
) -> Tensor:
    """Distinct voxels (N, 1 + D) around the origin, so half of the coordinates are negative."""
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.randint(-extent, extent, (points, dimension), generator=generator) * stride
    index = torch.arange(batch).repeat_interleave(-(-points // batch))[:points]
    rows = torch.unique(torch.cat([index[:, None], xyz], 1), dim=0)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    return rows[rows[:, 0].argsort(stable=True)].int()


def taps(kernel: tuple[int, ...]) -> list[np.ndarray]:
    """Offsets of a kernel, the first axis fastest; odd sizes are around 0, even ones from 0."""
    starts = [-(size // 2) if size % 2 else 0 for size in kernel]
    axes = [range(start, start + size) for start, size in zip(starts, kernel, strict=True)]
    return [np.array(tap[::-1]) for tap in itertools.product(*axes[::-1])]


def features(coordinates: Tensor, channels: int, dtype=torch.float64, seed: int = 0) -> Tensor:
    """Normal features (N, C) that ask for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(coordinates), channels, dtype=torch.float64, generator=generator)
    return values.to(dtype).requires_grad_()


def by_voxel(coordinates: Tensor, values: Tensor) -> Tensor:
    """Rows of ``values`` in the order of their coordinates, whatever order an engine keeps."""
    rows = coordinates.long()
    order = torch.arange(len(rows))
    for axis in reversed(range(rows.shape[1])):
        order = order[rows[order, axis].argsort(stable=True)]
    return torch.cat([rows[order].to(values.dtype), values[order]], 1)


def rows(x: SparseTensor) -> Tensor:
    return by_voxel(x.coordinates, x.features)


def close(found: Tensor, expected: Tensor, relative: float) -> None:
    """The largest difference is at most ``relative`` of the largest expected value."""
    assert found.shape == expected.shape
    error = (found - expected).abs().max().item()
    scale = expected.abs().max().item()
    assert error <= relative * scale, f"off by {error:.3g} where values reach {scale:.3g}"

"""Random clouds that the tests of pcrep share, and comparison by row of coordinates."""

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

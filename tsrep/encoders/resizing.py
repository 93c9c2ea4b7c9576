"""Series of any length on a grid of fixed length, and vectors of the grid back at each step."""

import torch
from torch import Tensor


def known_span(known: Tensor) -> tuple[Tensor, Tensor]:
    """First and last known step, (B,) int64 each, of ``known (B, T)``; 0 and 0 if there is none."""
    steps = known.shape[1]
    number = known.to(torch.int8)  # argmax finds the first of equal values
    some = known.any(1)
    last = steps - 1 - number.flip(1).argmax(1)
    return number.argmax(1), torch.where(some, last, 0)


def filled(x: Tensor, known: Tensor) -> Tensor:
    """``x (B, T, C)`` with the steps that are not ``known (B, T)`` on lines between known ones.

    Before the first known step and behind the last the series is constant; 0 if none is known.
    """
    if known.all():
        return x
    steps = torch.arange(x.shape[1], device=x.device)
    before = torch.where(known, steps, -1).cummax(1).values
    after = torch.where(known, steps, len(steps)).flip(1).cummin(1).values.flip(1)
    left = torch.where(before < 0, after, before).clamp_max(len(steps) - 1)  # (B, T)
    right = torch.where(after == len(steps), before, after).clamp_min(0)
    weight = (steps - left).to(x.dtype) / (right - left).clamp_min(1)
    clean = torch.where(known[..., None], x, 0.0)
    return _between(clean, left, right, weight)


def resized(x: Tensor, first: Tensor, last: Tensor, length: int) -> Tensor:
    """Steps ``first .. last`` of each series on a grid: (B, T, C) -> (B, length, C).

    A shorter series is interpolated on straight lines at the middles of the cells, of a longer one
    each cell is the mean of the steps that it covers, in part or whole.
    """
    count = (last - first + 1).double()[:, None]  # (B, 1)
    cells = torch.arange(length + 1, device=x.device, dtype=torch.float64) / length
    middles = (cells[:-1] + 0.5 / length) * count - 0.5
    place = middles.clamp_min(0).minimum(count - 1) + first[:, None]
    grid = _at(x, place)
    long = count[:, 0] > length
    if long.any():
        grid = torch.where(long[:, None, None], _cell_means(x, first, cells * count), grid)
    return grid


def spread(z: Tensor, first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Vectors of a grid at each step, on lines between its cells: (B, N, D) -> (B, steps, D).

    Steps outside ``first .. last`` have the vector of the nearest step inside.
    """
    cells = z.shape[1]
    count = (last - first + 1).double()[:, None]
    at = torch.arange(steps, device=z.device, dtype=torch.float64) - first[:, None]  # (B, T)
    inside = at.clamp_min(0).minimum(count - 1)
    return _at(z, ((inside + 0.5) / count * cells - 0.5).clamp(0, cells - 1))


def _cell_means(x: Tensor, first: Tensor, edges: Tensor) -> Tensor:
    """Means of ``x (B, T, C)`` between successive ``edges (B, L + 1)``, steps behind ``first``."""
    origin = x.gather(1, first[:, None, None].expand(-1, 1, x.shape[2]))
    sums = torch.nn.functional.pad((x - origin).double().cumsum(1), (0, 0, 1, 0))
    at_edges = _at(sums, edges + first[:, None])
    means = at_edges.diff(dim=1) / edges.diff(dim=1)[..., None]
    return means.to(x.dtype) + origin


def _at(x: Tensor, place: Tensor) -> Tensor:
    """``x (B, T, C)`` at fractional ``place (B, L)``, on straight lines: (B, L, C)."""
    left = place.floor().long()
    right = (left + 1).clamp_max(x.shape[1] - 1)
    return _between(x, left, right, (place - left).to(x.dtype))


def _between(x: Tensor, left: Tensor, right: Tensor, weight: Tensor) -> Tensor:
    """``(1 - weight) x[left] + weight x[right]``; indices and weights (B, L)."""
    index = (-1, -1, x.shape[2])
    a, b = (x.gather(1, i[..., None].expand(*index)) for i in (left, right))
    return torch.lerp(a, b, weight[..., None])

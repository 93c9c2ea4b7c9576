"""Sampling of anchor and background voxels: segments by weight, a fixed number of voxels each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pcrep.contrast.views import Views


@dataclass(frozen=True, eq=False)
class Anchors:
    """Sampled anchor voxels of both views: R draws of n voxels of one segment each.

    segment : (R,) int64, numbered across the batch; a segment may be drawn more than once.
    scene : (R,) int64, scene in the batch.
    a, b : (R, n) int64, rows of voxels of that segment in each view, drawn with replacement.
    """

    segment: Tensor
    scene: Tensor
    a: Tensor
    b: Tensor


def draw_anchors(views: Views, weights: Tensor, draws: int, points: int, least: int) -> Anchors:
    """Draw ``draws`` segments of each scene, in proportion to ``weights`` (S,), with replacement.

    Of each drawn segment, ``points`` voxels are drawn per view, so that large segments do not
    dominate. Segments with fewer than ``least`` voxels in either view are dropped, and with them a
    scene that has no others. Random numbers are drawn by torch on the host, the same on every
    device.
    """
    weights = weights.double().cpu()
    sides = [views.segment[view.first].cpu() for view in (views.a, views.b)]
    counts = [_counts(segment, len(weights)) for segment in sides]
    usable = weights * ((counts[0] >= least) & (counts[1] >= least))
    drawn, scenes = [], []
    for scene in range(len(views.offsets) - 1):
        low, high = views.offsets[scene], views.offsets[scene + 1]
        if bool((usable[low:high] > 0).any()):
            drawn.append(low + usable[low:high].multinomial(draws, replacement=True))
            scenes.append(torch.full((draws,), scene))
    device = views.segment.device
    if not drawn:
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return Anchors(none, none, none.view(0, points), none.view(0, points))
    segment = torch.cat(drawn)
    a, b = (
        _members(side, count, segment, points).to(device)
        for side, count in zip(sides, counts, strict=True)
    )
    return Anchors(segment.to(device), torch.cat(scenes).to(device), a, b)


def draw_background(voxels: Tensor, scene: Tensor, numbers: Tensor) -> Tensor:
    """Draw ``numbers[b]`` background voxels of each scene b, with replacement.

    ``voxels`` (V,) are the background voxels of a view and ``scene`` (V,) their scenes. A scene
    without background voxels contributes none.
    """
    device, voxels, scene = voxels.device, voxels.cpu(), scene.cpu()
    counts = _counts(scene, len(numbers))
    scenes = torch.arange(len(numbers)).repeat_interleave(numbers.cpu() * (counts > 0))
    return voxels[_members(scene, counts, scenes, 1)[:, 0]].to(device)


def _counts(ids: Tensor, length: int) -> Tensor:
    """Counts (length,) of the ids 0 .. length - 1; negative ids are ignored."""
    return torch.bincount(ids[ids >= 0], minlength=length)


def _members(ids: Tensor, counts: Tensor, chosen: Tensor, points: int) -> Tensor:
    """Rows (R, points) at which ``ids`` equals each of ``chosen`` (R,), with replacement."""
    order = ids.argsort(stable=True)
    starts = (ids < 0).sum() + counts.cumsum(0) - counts
    uniform = torch.rand(len(chosen), points, dtype=torch.float64)
    place = (uniform * counts[chosen, None]).long()
    return order[starts[chosen, None] + place]

"""Two augmented, voxelised views of a batch of scenes, and the matches between their voxels.

Points keep their index through augmentation, which is how voxels of both views are matched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pcrep.augment import AugmentConfig, augment
from pcrep.cloud import Cloud
from pcrep.encoders.voxelize import voxelize
from pcrep.preparation.foreground import foreground
from pcrep.sparse import SparseTensor
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class ViewConfig:
    """Size and augmentation of the two views of a scene."""

    voxel: float = 0.015
    """Voxel size, metres."""
    points: int = 8_000
    """Largest number of points per scene and step: those nearest to a random foreground point,
    which is drawn anew each step."""
    augment: AugmentConfig = AugmentConfig()

    def __post_init__(self) -> None:
        if not 0 < self.voxel < float("inf") or self.points < 1:
            raise UserError(
                f"voxel {self.voxel}, points {self.points}: expected metres above 0 and at least "
                "1 point"
            )


@dataclass(frozen=True, eq=False)
class View:
    """One view of all scenes of a batch: M voxels that hold P of the N points of the batch.

    input : SparseTensor (M, 4), the mean of :meth:`pcrep.cloud.Cloud.inputs` per voxel.
    first : (M,) int64, the first point of each voxel.
    points : (P,) int64, the points in the view.
    voxel : (P,) int64, the voxel of each of them.
    """

    input: SparseTensor
    first: Tensor
    points: Tensor
    voxel: Tensor


@dataclass(frozen=True, eq=False)
class Views:
    """Two views of a batch, and the attributes of its N points that do not depend on the view.

    clouds : the B scenes, whose points follow each other.
    coords : (N, 3) metres relative to one point of the scene, before augmentation.
    scene : (N,) int64, the scene in the batch.
    segment : (N,) int64, numbered across the batch; -1 for none.
    offsets : (B + 1,); segments of scene b are offsets[b] .. offsets[b + 1] - 1.
    a, b : the views of the query and of the key.
    """

    clouds: tuple[Cloud, ...]
    coords: Tensor
    scene: Tensor
    segment: Tensor
    offsets: tuple[int, ...]
    a: View
    b: View


def draw_views(
    clouds: Sequence[Cloud], config: ViewConfig, seed: int, device: torch.device | str = "cpu"
) -> Views:
    """Draw a part of each scene, augment it twice and voxelise, all from ``seed``.

    This runs on the host; the result is on ``device``.

    Parameters
    ----------
    clouds : with ``segment`` and ``objectness``, of an extent that
        :func:`pcrep.encoders.voxelize.check_extent` allows.
    """
    drawn = tuple(
        _draw(cloud, config.points, np.random.default_rng((seed, i)))
        for i, cloud in enumerate(clouds)
    )
    lengths = [len(cloud) for cloud in drawn]
    starts = np.cumsum([0, *lengths])
    segment, offsets = _through_the_batch(drawn)
    a, b = (
        _view(drawn, starts, config, [(seed, i, which) for i in range(len(drawn))])
        for which in (1, 2)
    )
    return Views(
        drawn,
        torch.from_numpy(np.concatenate([cloud.coords for cloud in drawn])).to(device),
        torch.arange(len(drawn)).repeat_interleave(torch.tensor(lengths)).to(device),
        torch.from_numpy(segment).to(device),
        offsets,
        _moved(a, device),
        _moved(b, device),
    )


def correspond(a: View, b: View, points: int) -> Tensor:
    """For each voxel of ``a``, the voxel of ``b`` that holds its first point: (M,) int64, or -1.

    ``points`` : N, the points of the batch.
    """
    place = a.first.new_full((points,), -1)
    place[b.points] = b.voxel
    return place[a.first]


def _draw(cloud: Cloud, most: int, generator: np.random.Generator) -> Cloud:
    """The ``most`` points nearest to a random foreground point, which becomes the origin.

    So the density stays that of the scene. Points keep their order; segments are renumbered
    without gaps.
    """
    if cloud.segment is None:
        raise ValueError(
            f"{cloud.name or 'a cloud'} has no segments; pcrep.preparation.prepare finds them"
        )
    shown = np.flatnonzero(foreground(cloud))
    centre = generator.choice(shown) if len(shown) else generator.integers(len(cloud))
    # Voxels are numbered from the origin: a centre there keeps their numbers small.
    coords = cloud.coords - cloud.coords[centre]
    if len(cloud) > most:
        rows = np.sort(np.argpartition(np.square(coords).sum(1), most - 1)[:most])
        cloud, coords = cloud.take(rows), coords[rows]
    present, number = np.unique(cloud.segment, return_inverse=True)
    outside = int((present < 0).sum())  # the id of points without segment, if there are any
    scores = cloud.objectness
    return replace(
        cloud,
        coords=coords,
        segment=np.maximum(number - outside, -1),
        objectness=None if scores is None else scores[present[outside:]],
    )


def _through_the_batch(clouds: Sequence[Cloud]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Segments numbered across the batch, and the offsets (B + 1,) at which each scene starts."""
    counts = [int(cloud.segment.max()) + 1 for cloud in clouds]
    offsets = np.cumsum([0, *counts])
    segments = [
        np.where(cloud.segment < 0, -1, cloud.segment + offset)
        for cloud, offset in zip(clouds, offsets, strict=False)
    ]
    return np.concatenate(segments), tuple(offsets.tolist())


def _view(
    clouds: Sequence[Cloud],
    starts: np.ndarray,
    config: ViewConfig,
    seeds: Sequence[tuple[int, int, int]],
) -> View:
    coords, inputs, points, batch = [], [], [], []
    for i, cloud in enumerate(clouds):
        made = augment(cloud.coords, cloud.colour, config.augment, seeds[i])
        seen = Cloud(made.coords, made.colour)
        coords.append(made.coords)
        inputs.append(seen.inputs())
        points.append(made.rows + starts[i])
        batch.append(np.full(len(made.rows), i))
    arrays = coords, inputs, points, batch
    xyz, x, index, scene = (torch.from_numpy(np.concatenate(values)) for values in arrays)
    voxels = voxelize(xyz, config.voxel, scene)
    features = voxels.reduce(x)
    return View(
        SparseTensor(voxels.coordinates, features),
        index[voxels.first],
        index,
        voxels.point_to_voxel,
    )


def _moved(view: View, device: torch.device | str) -> View:
    if torch.device(device).type == "cpu":
        return view
    x = view.input
    moved = SparseTensor(x.coordinates.to(device), x.features.to(device))
    rest = {name: getattr(view, name).to(device) for name in ("first", "points", "voxel")}
    return replace(view, input=moved, **rest)


def draw_matches(views: Views, most: int, scene: int | None = None) -> tuple[Tensor, Tensor]:
    """Rows (P,) of voxels of view a and of view b that hold the same point, at most ``most``.

    scene : draw from this scene only. Random numbers are drawn by torch on the host.
    """
    match = correspond(views.a, views.b, len(views.scene))
    found = match >= 0
    if scene is not None:
        found &= views.scene[views.a.first] == scene
    rows = found.nonzero()[:, 0]
    chosen = torch.randperm(len(rows))[:most].to(rows.device)
    return rows[chosen], match[rows[chosen]]

"""Two views of a batch of scenes, voxelised; a point keeps its index through every augmentation."""

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
    """How two views of a scene are made."""

    voxel: float = 0.015
    """Edge of a voxel, metres."""
    points: int = 8_000
    """Most points of a scene that a step looks at, in both views: those nearest to a point of the
    foreground that is drawn anew each step."""
    augment: AugmentConfig = AugmentConfig()

    def __post_init__(self) -> None:
        if not 0 < self.voxel < float("inf") or self.points < 1:
            raise UserError(
                f"voxel {self.voxel}, points {self.points}: expected metres above 0 and at least "
                "1 point"
            )


@dataclass(frozen=True, eq=False)
class View:
    """One view of all scenes of a batch: M voxels, of P of the batch's N points.

    input : SparseTensor (M, 4), :meth:`pcrep.cloud.Cloud.inputs` averaged over a voxel's points.
    first : (M,) int64, the point that entered each voxel first.
    points : (P,) int64, the points that the view shows.
    voxel : (P,) int64, the voxel of each.
    """

    input: SparseTensor
    first: Tensor
    points: Tensor
    voxel: Tensor


@dataclass(frozen=True, eq=False)
class Views:
    """Two views of a batch, and what is known of its N points whatever the view.

    clouds : the points by scene, one cloud after the other.
    coords : (N, 3) metres from one point of the scene, before augmentation.
    scene : (N,) int64, the scene in the batch.
    segment : (N,) int64, numbered through the batch; -1 for none.
    offsets : (B + 1,), scene b's segments are offsets[b] .. offsets[b + 1] - 1.
    a, b : the query's view and the key's.
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
    """Draw a part of each scene, augment it twice, voxelise; all from ``seed`` alone.

    Augmenting and voxelising run on the host; the result is on ``device``.

    Parameters
    ----------
    clouds : with ``segment`` and ``objectness``, of an extent that :func:`check_extent` allows.
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
    """The voxel of ``b`` that shows the first point of each voxel of ``a``: (M,) int64, or -1.

    ``points`` is N, of the batch.
    """
    place = a.first.new_full((points,), -1)
    place[b.points] = b.voxel
    return place[a.first]


def _draw(cloud: Cloud, most: int, generator: np.random.Generator) -> Cloud:
    """The ``most`` points nearest to one of the foreground, from near the origin.

    A part of the scene at its full density. Points keep their order, segments are numbered without
    gaps.
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
    """Segments numbered through the batch, and where each scene's begin."""
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
    """Voxels of view a and of view b (P,) that show the same point, at most ``most`` of them.

    Of one scene, or of all of the batch. Random numbers are torch's, drawn on the host.
    """
    match = correspond(views.a, views.b, len(views.scene))
    found = match >= 0
    if scene is not None:
        found &= views.scene[views.a.first] == scene
    rows = found.nonzero()[:, 0]
    chosen = torch.randperm(len(rows))[:most].to(rows.device)
    return rows[chosen], match[rows[chosen]]

"""Two augmented, voxelised views of a batch of scenes, and the matches between their voxels.

Points keep their index through augmentation, which is how voxels of both views are matched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcrep.augment import AugmentConfig, augment, changed
from pcrep.cloud import Cloud
from pcrep.encoders.inputs import inputs_of
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
    """Largest number of points per part of a scene: those nearest to a random foreground point,
    which is drawn anew each step."""
    smallest: float = 1.0
    """Smallest share of these points in a part; the share is drawn anew for each."""
    parts: int = 1
    """Parts drawn from each scene in a step; several share the cost of making a scene."""
    input_drop: float = 0.2
    """Probability that a view lacks an input other than colour, drawn for each of them."""
    augment: AugmentConfig = AugmentConfig()

    def __post_init__(self) -> None:
        if not 0 < self.voxel < float("inf") or self.points < 1 or self.parts < 1:
            raise UserError(
                f"voxel {self.voxel}, points {self.points}, parts {self.parts}: expected metres "
                "above 0, at least 1 point and at least 1 part"
            )
        if not 0 < self.smallest <= 1 or not 0 <= self.input_drop <= 1:
            raise UserError(
                f"smallest {self.smallest}, input_drop {self.input_drop}: expected a share above "
                "0 and at most 1, and a probability"
            )


@dataclass(frozen=True, eq=False)
class View:
    """One view of all scenes of a batch: M voxels that hold P of the N points of the batch.

    input : SparseTensor (M, C), the mean of :func:`pcrep.encoders.inputs.inputs_of` per voxel.
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

    clouds : the B parts of scenes, whose points follow each other.
    coords : (N, 3) metres relative to one point of the scene, before augmentation.
    scene : (N,) int64, the part in the batch.
    segment : (N,) int64, numbered across the batch; -1 for none.
    offsets : (B + 1,); segments of part b are offsets[b] .. offsets[b + 1] - 1.
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
    clouds: Sequence[Cloud],
    config: ViewConfig,
    seed: int,
    device: torch.device | str = "cpu",
    inputs: Sequence[str] = ("colour",),
) -> Views:
    """Draw parts of each scene, augment them twice and voxelise, all from ``seed``.

    This runs on the host; the result is on ``device``.

    Parameters
    ----------
    clouds : with ``segment`` and ``objectness``, of an extent that
        :func:`pcrep.encoders.voxelize.check_extent` allows.
    inputs : names of what the network reads, see :mod:`pcrep.encoders.inputs`.
    """
    drawn, starts, scene = cut(clouds, config, seed, _draw)
    segment, offsets = _through_the_batch(drawn)
    a, b = (
        make_view(drawn, starts, config, [(seed, i, which) for i in range(len(drawn))], inputs)
        for which in (1, 2)
    )
    return Views(
        drawn,
        torch.from_numpy(np.concatenate([cloud.coords for cloud in drawn])).to(device),
        scene.to(device),
        torch.from_numpy(segment).to(device),
        offsets,
        moved(a, device),
        moved(b, device),
    )


def cut(
    clouds: Sequence[Cloud],
    config: ViewConfig,
    seed: int,
    draw: Callable[[Cloud, ViewConfig, np.random.Generator], Cloud],
) -> tuple[tuple[Cloud, ...], np.ndarray, Tensor]:
    """Parts of clouds, ``config.parts`` of each, by ``draw``.

    Returns the B parts, the first point of each and the end (B + 1,), and the part of each point,
    (N,) int64.
    """
    each = [cloud for cloud in clouds for _ in range(config.parts)]
    parts = tuple(
        draw(cloud, config, np.random.default_rng((seed, i))) for i, cloud in enumerate(each)
    )
    lengths = [len(part) for part in parts]
    scene = torch.arange(len(parts)).repeat_interleave(torch.tensor(lengths))
    return parts, np.cumsum([0, *lengths]), scene


def correspond(a: View, b: View, points: int) -> Tensor:
    """For each voxel of ``a``, the voxel of ``b`` that holds its first point: (M,) int64, or -1.

    ``points`` : N, the points of the batch.
    """
    place = a.first.new_full((points,), -1)
    place[b.points] = b.voxel
    return place[a.first]


def _draw(cloud: Cloud, config: ViewConfig, generator: np.random.Generator) -> Cloud:
    """The points nearest to a random foreground point, which becomes the origin.

    So the density stays that of the scene. Points keep their order; segments are renumbered
    without gaps.
    """
    if cloud.segment is None:
        raise ValueError(
            f"{cloud.name or 'a cloud'} has no segments; pcrep.preparation.prepare finds them"
        )
    shown = np.flatnonzero(foreground(cloud))
    centre = int(generator.choice(shown) if len(shown) else generator.integers(len(cloud)))
    cloud = nearest_part(cloud, centre, config, generator)
    present, number = np.unique(cloud.known("segment"), return_inverse=True)
    outside = int((present < 0).sum())  # the id of points without segment, if there are any
    scores = cloud.objectness
    return replace(
        cloud,
        segment=np.maximum(number - outside, -1),
        objectness=None if scores is None else scores[present[outside:]],
    )


def nearest_part(
    cloud: Cloud, centre: int, config: ViewConfig, generator: np.random.Generator
) -> Cloud:
    """The points nearest to the point ``centre``, which becomes the origin, in their order.

    They are ``config.points``, or a random share of that, or all there are.
    """
    most = config.points
    if config.smallest < 1:
        most = max(1, round(most * generator.uniform(config.smallest, 1)))
    # Voxels are numbered from the origin: a centre there keeps their numbers small.
    coords = cloud.coords - cloud.coords[centre]
    if len(cloud) > most:
        rows = np.sort(np.argpartition(np.square(coords).sum(1), most - 1)[:most])
        cloud, coords = cloud.take(rows), coords[rows]
    return replace(cloud, coords=coords)


def _through_the_batch(clouds: Sequence[Cloud]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Segments numbered across the batch, and the offsets (B + 1,) at which each scene starts."""
    own = [cloud.known("segment") for cloud in clouds]
    offsets = np.cumsum([0, *(int(segment.max()) + 1 for segment in own)])
    segments = [
        np.where(segment < 0, -1, segment + offset)
        for segment, offset in zip(own, offsets, strict=False)
    ]
    return np.concatenate(segments), tuple(offsets.tolist())


def make_view(
    clouds: Sequence[Cloud],
    starts: np.ndarray,
    config: ViewConfig,
    seeds: Sequence[tuple[int, ...]],
    inputs: Sequence[str],
) -> View:
    """One view of all clouds, on the host.

    starts : index in the batch of the first point of each cloud. seeds : one for each cloud.
    """
    coords, features, points, batch = [], [], [], []
    for i, cloud in enumerate(clouds):
        made = augment(cloud.coords, cloud.colour, config.augment, seeds[i])
        seen = _lacking(changed(cloud, made), config.input_drop, inputs, seeds[i])
        coords.append(made.coords)
        features.append(inputs_of(seen, inputs))
        points.append(made.rows + starts[i])
        batch.append(np.full(len(made.rows), i))
    arrays = coords, features, points, batch
    xyz, x, index, scene = (torch.from_numpy(np.concatenate(values)) for values in arrays)
    voxels = voxelize(xyz, config.voxel, scene)
    return View(
        SparseTensor(voxels.coordinates, voxels.reduce(x)),
        index[voxels.first],
        index,
        voxels.point_to_voxel,
    )


def _lacking(cloud: Cloud, drop: float, inputs: Sequence[str], seed: tuple[int, ...]) -> Cloud:
    """The cloud without a random choice of its inputs; its augmentation drops the colour."""
    others = [name for name in inputs if name != "colour"]
    lost = np.random.default_rng((*seed, 1)).random(len(others)) < drop
    missing: dict[str, Any] = {n: None for n, gone in zip(others, lost, strict=True) if gone}
    return replace(cloud, **missing)


def moved(view: View, device: torch.device | str) -> View:
    """The view on a device."""
    if torch.device(device).type == "cpu":
        return view
    x = view.input
    there = SparseTensor(x.coordinates.to(device), x.features.to(device))
    rest = {name: getattr(view, name).to(device) for name in ("first", "points", "voxel")}
    return replace(view, input=there, **rest)


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

"""A whole view of each scene for a teacher, and crops of two sizes of it for a student."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pcrep.augment import AugmentConfig
from pcrep.cloud import Cloud
from pcrep.contrast.views import View, ViewConfig, cut, make_view, moved, nearest_part
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class CropConfig:
    """Number and size of the crops; the defaults are Sonata's two global and four local ones.

    Wu et al., "Sonata: Self-Supervised Learning of Reliable Point Representations", CVPR 2025,
    section 4. The shares are ours.
    """

    large: int = 2
    """Large crops of each scene."""
    small: int = 4
    """Small crops of each scene."""
    large_share: tuple[float, float] = (0.4, 1.0)
    """Smallest and largest fraction of the whole view's points in a large crop."""
    small_share: tuple[float, float] = (0.05, 0.4)
    """Smallest and largest fraction in a small crop."""
    views: ViewConfig = field(
        default_factory=lambda: ViewConfig(points=40_000, augment=AugmentConfig(crop="sphere"))
    )

    def __post_init__(self) -> None:
        if min(self.large, self.small) < 0 or self.large + self.small < 1:
            raise UserError(
                f"large {self.large}, small {self.small}: expected numbers of crops, at least one"
            )
        for name in ("large_share", "small_share"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 1:
                raise UserError(
                    f"{name}: found {low} {high}, expected two numbers in order, above 0, at most 1"
                )
        if self.views.augment.crop == "none":
            raise UserError("augment.crop: found none, expected sphere or cuboid, the crops' shape")


@dataclass(frozen=True, eq=False)
class Crops:
    """Views of the same N points of a batch: :func:`pcrep.contrast.views.correspond` matches them.

    clouds : the B parts of scenes, whose points follow each other.
    scene : (N,) int64, the part in the batch.
    whole : the teacher's view, of all N points that its augmentation does not drop.
    crops : the student's views, the large ones first.
    """

    clouds: tuple[Cloud, ...]
    scene: Tensor
    whole: View
    crops: tuple[View, ...]


def draw_crops(
    clouds: Sequence[Cloud],
    config: CropConfig,
    seed: int,
    device: torch.device | str = "cpu",
    inputs: Sequence[str] = ("colour",),
) -> Crops:
    """Augment each scene as a whole and in crops, all from ``seed``, and voxelise.

    A scene of more than ``config.views.points`` points is cut to those nearest to a random one,
    and has ``config.views.parts`` such parts. No segments are needed. Inputs are dropped in the
    crops, never in the whole view: the teacher sees what there is.

    clouds : of an extent that :func:`pcrep.encoders.voxelize.check_extent` allows.
    inputs : names of what the network reads, see :mod:`pcrep.encoders.inputs`.
    """
    views, augment = config.views, config.views.augment
    parts, starts, scene = cut(clouds, views, seed, _part)
    uncut = replace(
        views, input_drop=0.0, augment=replace(augment, crop="none", colour_drop=0.0, hidden=0.0)
    )
    shares = [config.large_share] * config.large + [config.small_share] * config.small
    of_crops = [replace(views, augment=replace(augment, crop_keep=share)) for share in shares]
    whole, *crops = (
        moved(make_view(parts, starts, one, [(seed, i, which) for i in range(len(parts))], inputs),
              device)
        for which, one in enumerate([uncut, *of_crops], 1)
    )  # fmt: skip
    return Crops(parts, scene.to(device), whole, tuple(crops))


def _part(cloud: Cloud, config: ViewConfig, generator: np.random.Generator) -> Cloud:
    return nearest_part(cloud, int(generator.integers(len(cloud))), config, generator)

"""What FAC and its rivals share, so that a comparison is of objectives alone; and their data."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pcrep.cloud import Batch, Scenes, keep
from pcrep.contrast.views import ViewConfig, Views, draw_views
from pcrep.encoders.encoding import check_encoder
from pcrep.encoders.unet import SparseUNet
from pcrep.encoders.voxelize import thin
from pcrep.preparation.foreground import foreground
from pcrep.sparse import SparseTensor
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.training import Phase


@dataclass(frozen=True)
class PretrainingConfig:
    """What all objectives have in common: head, optimiser, views."""

    dim: int = 64
    """Channels that are contrasted."""
    lr: float = 2e-3
    """Of AdamW."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    views: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        if self.dim < 1 or not self.lr > 0 or self.weight_decay < 0:
            raise UserError(
                f"dim {self.dim}, lr {self.lr}, weight_decay {self.weight_decay}: expected at "
                "least 1, above 0, at least 0"
            )


class SceneBatches:
    """Prepared scenes in batches: the data of :func:`tspcrep.common.training.fit`.

    Scenes are thinned to one point a cube of half a voxel, and stay in memory where
    :func:`pcrep.cloud.keep` has room. All are read once at the start.

    Parameters
    ----------
    scenes : clouds with ``segment`` and ``objectness``.
    voxel : metres, of the views.

    Warns
    -----
    UserWarning
        A scene has no foreground: it is left out.

    Raises
    ------
    UserError
        No scene has foreground; a scene's extent says that its unit is not the metre.
    """

    def __init__(self, scenes: Scenes, voxel: float):
        thinned = keep(scenes.map(lambda cloud: thin(cloud, voxel)))
        bar = tqdm(thinned, desc="read scenes", unit="scene", delay=2, leave=False)
        shows = [bool(foreground(cloud).any()) for cloud in bar]
        if not any(shows):
            raise UserError(
                f"{scenes.name}: found no foreground in any of {len(scenes)} scenes, expected "
                "objects on or beside larger surfaces; "
                "pcrep.preparation.foreground says what counts"
            )
        empty = [name for name, shown in zip(scenes.names, shows, strict=True) if not shown]
        if empty:
            warnings.warn(
                f"{scenes.name}: {len(empty)} of {len(scenes)} scenes have no foreground and are "
                f"left out: {', '.join(empty[:5])}{', ...' if len(empty) > 5 else ''}",
                stacklevel=2,
            )
        self.scenes = thinned.subset([index for index, shown in enumerate(shows) if shown])

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch([self.scenes[index] for index in indices])


class Projector(nn.Module):
    """A U-Net and a head that is thrown away: SparseTensor -> features (M, dim) of its voxels."""

    def __init__(self, encoder: SparseUNet, dim: int):
        super().__init__()
        self.encoder, self.head = encoder, ProjectionHead(encoder.dim, dim)

    def forward(self, x: SparseTensor) -> Tensor:
        return self.head(self.encoder(x).features)


class Objective(nn.Module, ABC):
    """A method for ``fit``: draws two views of the batch and contrasts them.

    A step's views follow from torch's random state, which ``fit`` sets from seed and step alone,
    so that a killed run resumes bit for bit. Each of several processes contrasts its own scenes.

    Parameters
    ----------
    encoder : a SparseUNet with 4 input channels: colour and a constant.
    config : head, optimiser, views.

    Attributes
    ----------
    name : what ``--method`` and ``result.json`` call it. title : its name in a report.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, encoder: SparseUNet, config: PretrainingConfig):
        super().__init__()
        check_encoder(encoder)
        self.config = config
        self.query = Projector(encoder, config.dim)

    @property
    def encoder(self) -> SparseUNet:
        return self.query.encoder

    def phases(self) -> list[Phase]:
        config = self.config
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [Phase("encoder", trained, config.lr, weight_decay=config.weight_decay)]

    def loss(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        seed = int(torch.randint(1 << 31, ()))
        device = next(self.query.parameters()).device
        return self.contrast(draw_views(batch.clouds, self.config.views, seed, device))

    @abstractmethod
    def contrast(self, views: Views) -> dict[str, Tensor]:
        """``"loss"`` and what else is logged."""

    def after_step(self) -> None:
        pass

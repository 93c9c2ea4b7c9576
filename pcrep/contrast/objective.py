"""Base class of the contrastive objectives, their shared options and their batches of scenes."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pcrep.cloud import Batch, Cloud, Scenes, keep
from pcrep.contrast.views import ViewConfig, draw_views
from pcrep.encoders.encoding import Levels, check_encoder, check_levels, features_of, width
from pcrep.encoders.unet import SparseUNet
from pcrep.encoders.voxelize import thin
from pcrep.preparation.foreground import foreground
from pcrep.sparse import SparseTensor
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.methods import Method, Phase


@dataclass(frozen=True)
class PretrainingConfig:
    """Options that all objectives share: projection head, optimiser, views."""

    dim: int = 64
    """Output dimension of the projection head, in which features are contrasted."""
    lr: float = 2e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-4
    """Weight decay of AdamW."""
    levels: Levels = "decoder"
    """Features that are contrasted: the end of the decoder as in the papers, all levels of the
    encoder, or both."""
    views: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        check_levels(self.levels)
        if self.dim < 1 or not self.lr > 0 or self.weight_decay < 0:
            raise UserError(
                f"dim {self.dim}, lr {self.lr}, weight_decay {self.weight_decay}: expected at "
                "least 1, above 0, at least 0"
            )


class SceneBatches:
    """Prepared scenes in batches: the data of :func:`tspcrep.common.training.fit`.

    Scenes are thinned to one point per cube of half a voxel and cached in memory as far as
    :func:`pcrep.cloud.keep` allows. All are read once at the start.

    Parameters
    ----------
    scenes : clouds with ``segment`` and ``objectness``.
    voxel : voxel size of the views, metres.

    Warns
    -----
    UserWarning
        A scene has no foreground and is left out.

    Raises
    ------
    UserError
        No scene has foreground, or the extent of one shows that its unit is not the metre.
    """

    def __init__(self, scenes: Scenes, voxel: float):
        thinned = keep(scenes.map(partial(thin, voxel=voxel)))
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

    def fingerprint(self) -> str:
        return self.scenes.fingerprint()

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch([self.scenes[index] for index in indices])


class Projector(nn.Module):
    """U-Net and projection head (discarded later): SparseTensor -> features (M, dim) of voxels."""

    def __init__(self, encoder: SparseUNet, dim: int, levels: Levels = "decoder"):
        super().__init__()
        self.encoder, self.levels = encoder, levels
        self.head = ProjectionHead(width(encoder, levels), dim)

    def features(self, x: SparseTensor) -> Tensor:
        """What the head reads, (M, D)."""
        return features_of(self.encoder, x, self.levels)

    def forward(self, x: SparseTensor, rows: Tensor | None = None) -> Tensor:
        """rows : of the voxels that are wanted, all by default."""
        found = self.features(x)
        return self.head(found if rows is None else found.index_select(0, rows))


class Objective(Method, ABC):
    """A method for ``fit`` that draws two views of a batch of scenes and contrasts them.

    The views of a step follow from torch's random state, which ``fit`` sets from seed and step, so
    that a killed run resumes bit for bit. Each of several processes contrasts its own scenes.

    Parameters
    ----------
    encoder : a SparseUNet whose channels are those of its ``inputs``.
    config : projection head, optimiser, views.

    Attributes
    ----------
    name : its name in ``--method`` and ``result.json``. title : its name in reports.
    segments : whether it reads the segments of scenes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    segments: ClassVar[bool] = True

    def __init__(self, encoder: SparseUNet, config: PretrainingConfig):
        super().__init__()
        check_encoder(encoder)
        self.config = config
        self.query = Projector(encoder, config.dim, config.levels)

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
        return self.contrast(self.draw(batch.clouds, seed, device))

    def draw(self, clouds: Sequence[Cloud], seed: int, device: torch.device) -> Any:
        """What :meth:`contrast` compares, drawn from ``seed``: two views, unless overridden."""
        return draw_views(clouds, self.config.views, seed, device, self.encoder.inputs)

    @abstractmethod
    def contrast(self, views: Any) -> dict[str, Tensor]:
        """``"loss"``, which is minimised, and other values to log, of what :meth:`draw` gave."""

    def after_step(self) -> None:
        pass

"""Self-distillation at points: a student sees parts of a scene, its slow teacher the whole.

The recipe of Sonata (Wu et al., "Sonata: Self-Supervised Learning of Reliable Point
Representations", CVPR 2025, sec. 4) with DOS's targets at visible points alone: what a crop or a
hidden cube leaves out has no voxel, so nothing is predicted there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pcrep.cloud import Cloud
from pcrep.contrast.crops import CropConfig, Crops, draw_crops
from pcrep.contrast.objective import Objective, PretrainingConfig, Projector
from pcrep.contrast.views import correspond
from pcrep.encoders.unet import SparseUNet
from pcrep.sparse import SparseTensor
from tspcrep.common.errors import UserError
from tspcrep.common.losses import sinkhorn, swapped_prediction
from tspcrep.common.momentum import MomentumEncoder


@dataclass(frozen=True)
class DistillationConfig:
    """Options of the self-distillation."""

    prototypes: int = 512
    """Number of prototypes; Sonata's 4,096 are for 140,000 scenes."""
    voxels: int = 2048
    """Largest number of voxels of a crop, over all scenes of a batch, that are compared."""
    student_temperature: float = 0.1
    """Temperature of the student."""
    teacher_temperature: float = 0.05
    """Temperature of the teacher, whose targets use all prototypes equally (Sinkhorn)."""
    teacher_momentum: float = 0.99
    """Momentum of the teacher's moving average; Sonata's .994 to 1 are for more steps."""
    large_crops: int = 1
    """Large crops of each part of a scene that the student sees."""
    small_crops: int = 2
    """Small crops."""
    hidden_share: float = 0.4
    """Fraction of the cubes of a crop that are hidden from the student."""
    hidden_voxels: float = 8.0
    """Edge of these cubes, voxels."""

    def __post_init__(self) -> None:
        for name in ("prototypes", "voxels"):
            if getattr(self, name) < 2:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 2")
        for name in ("student_temperature", "teacher_temperature", "hidden_voxels"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected more than 0")
        if not 0 <= self.teacher_momentum <= 1 or not 0 <= self.hidden_share < 1:
            raise UserError(
                f"teacher_momentum: found {self.teacher_momentum}, hidden_share: found "
                f"{self.hidden_share}, expected 0 .. 1, and at least 0 and below 1"
            )


class SelfDistillation(Objective):
    """Each voxel of a crop finds the prototypes that the teacher sees at the same point.

        L = -mean_crops mean_i sum_k q_ik log softmax_k(s_ik / T)

    s are the student's cosines with K learned prototypes, q the teacher's, balanced by Sinkhorn
    over the voxels of the crop so that all prototypes are used. The teacher, the moving average of
    the student, sees the whole part of the scene with all its inputs.

    Departures from Sonata: by default the U-Net's output, not the encoder's levels; fewer crops
    and prototypes; hidden cubes have no voxels, where Sonata gives them a mask token.

    Parameters
    ----------
    encoder : a SparseUNet whose channels are those of its ``inputs``, trained in place.
    config : projection head, optimiser and views, shared with the other objectives.
    distillation : options of this objective alone.
    """

    name, title, segments = "distillation", "self-distillation", False

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        distillation: DistillationConfig | None = None,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.distillation = d = distillation or DistillationConfig()
        self.query = _Student(encoder, self.config, d.prototypes)
        self.teacher = MomentumEncoder(self.query, d.teacher_momentum)
        views, edge = self.config.views, d.hidden_voxels * self.config.views.voxel
        augment = replace(views.augment, hidden=d.hidden_share, hidden_edge=edge)
        views = replace(views, augment=augment)
        self.crops = CropConfig(d.large_crops, d.small_crops, views=views)

    def after_step(self) -> None:
        self.teacher.update(self.query)

    def draw(self, clouds: Sequence[Cloud], seed: int, device: torch.device) -> Crops:
        return draw_crops(clouds, self.crops, seed, device, self.encoder.inputs)

    def contrast(self, views: Crops) -> dict[str, Tensor]:
        whole = torch.arange(len(views.whole.first), device=views.scene.device)
        seen = self.teacher(views.whole.input, whole)  # (M, K)
        losses, d = [], self.distillation
        for crop in views.crops:
            match = correspond(crop, views.whole, len(views.scene))
            rows = (match >= 0).nonzero()[:, 0]
            chosen = rows[torch.randperm(len(rows))[: d.voxels].to(rows.device)]
            teacher = seen.index_select(0, match[chosen])
            logits = torch.stack([teacher, self.query(crop.input, chosen)])
            targets = sinkhorn(teacher, d.teacher_temperature)
            losses.append(swapped_prediction(logits, targets[None], d.student_temperature))
        return {"loss": torch.stack(losses).mean()}


class _Student(Projector):
    """Cosines of the voxels (at ``rows``) with each prototype: (P, K)."""

    def __init__(self, encoder: SparseUNet, config: PretrainingConfig, prototypes: int):
        super().__init__(encoder, config.dim, config.levels)
        self.prototypes = nn.Parameter(torch.randn(prototypes, config.dim))

    def forward(self, x: SparseTensor, rows: Tensor | None = None) -> Tensor:
        found = super().forward(x, rows)
        return normalize(found, dim=-1) @ normalize(self.prototypes, dim=-1).T

"""Self-distillation: a student finds the prototypes that a slow teacher sees in another crop.

DINO (Caron et al., ICCV 2021) on series, as UTICA does in place of contrast: no negatives, a
teacher that is the running mean of the student, and targets that are centred and sharpened.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tspcrep.common.distributed import share
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import DINO
from tspcrep.common.methods import Method, Phase
from tspcrep.common.momentum import MomentumEncoder
from tsrep.contrast.corpus import CorpusConfig, random_crop
from tsrep.datasets.windows import Windows
from tsrep.encoders import Encoder

_TEACHER_TEMPERATURE = 0.04  # DINO's


class SelfDistillation(Method):
    """A method for :func:`tspcrep.common.training.fit`, on batches of
    :class:`tsrep.datasets.windows.Windows`.

    Parameters
    ----------
    encoder : the network to train, the student; its ``pooled`` is compared with prototypes.
    config : see :class:`tsrep.contrast.corpus.CorpusConfig`.
    strength : factor of the share that the large crops leave out.

    UTICA's large crops leave out up to .6 of a series, ours the config's ``cut``.
    """

    def __init__(
        self, encoder: Encoder, config: CorpusConfig | None = None, strength: float = 1.0
    ) -> None:
        super().__init__()
        self.config = c = config or CorpusConfig()
        self.cut = strength * c.cut
        self.student = _Prototypes(encoder, c.width, c.prototypes)
        self.teacher = MomentumEncoder(self.student, c.momentum)
        self.dino = DINO(c.prototypes, c.temperature, _TEACHER_TEMPERATURE, distributed=True)

    @property
    def encoder(self) -> Encoder:
        return self.student.encoder

    def phases(self) -> list[Phase]:
        c = self.config
        parameters = list(self.student.parameters())
        return [Phase("encoder", parameters, c.learning_rate, weight_decay=c.weight_decay)]

    def loss(self, batch: Windows, phase: str) -> dict[str, Tensor]:
        x = batch.values  # (B, T, C)
        large = [random_crop(x, self.cut) for _ in range(2)]
        small = [random_crop(x, 0.9, least=0.6) for _ in range(self.config.small)]
        student = torch.stack([self.student(crop) for crop in (*large, *small)])  # (V, B, K)
        teacher = torch.stack([self.teacher(crop) for crop in large])
        return {"loss": share(self.dino(student, teacher), len(x))}

    def after_step(self) -> None:
        self.teacher.update(self.student)


class _Prototypes(nn.Module):
    """Cosines of a series with each prototype: (B, T, C) -> (B, K)."""

    def __init__(self, encoder: Encoder, width: int, prototypes: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, ProjectionHead(encoder.pooled_dim, width)
        self.prototypes = nn.Parameter(torch.randn(prototypes, width))

    def forward(self, x: Tensor) -> Tensor:
        rows = normalize(self.head(self.encoder.pooled(x)), dim=-1)
        return rows @ normalize(self.prototypes, dim=-1).T

"""Masked patches: predict what a slow teacher, which sees the whole series, says of hidden ones.

data2vec (Baevski et al., ICML 2022) and I-JEPA (Assran et al., CVPR 2023) on patches of a series.
"""

import torch
from torch import Tensor, nn

from tspcrep.common.distributed import share
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import masked_prediction
from tspcrep.common.methods import Method, Phase
from tspcrep.common.momentum import MomentumEncoder
from tsrep.contrast.corpus import CorpusConfig, random_crop, random_order
from tsrep.datasets.windows import Windows
from tsrep.encoders import Encoder, PatchTransformer


class MaskedPatches(Method):
    """A method for :func:`tspcrep.common.training.fit`, on batches of
    :class:`tsrep.datasets.windows.Windows`.

    Parameters
    ----------
    encoder : the network to train; it has patches.
    config : see :class:`tsrep.contrast.corpus.CorpusConfig`.
    strength : factor of the share that the crop leaves out.
    """

    def __init__(
        self, encoder: Encoder, config: CorpusConfig | None = None, strength: float = 1.0
    ) -> None:
        super().__init__()
        if not isinstance(encoder, PatchTransformer):
            raise UserError(
                f"encoder: found a {type(encoder).__name__}, expected a patch_transformer, whose "
                "patches can be masked"
            )
        self.config = config = config or CorpusConfig()
        self.encoder, self.cut = encoder, strength * config.cut
        self.teacher = MomentumEncoder(_Whole(encoder), config.momentum)
        self.hidden = nn.Parameter(torch.zeros(encoder.dim))  # stands for a masked patch
        self.predictor = ProjectionHead(encoder.dim, encoder.dim)

    def phases(self) -> list[Phase]:
        c = self.config
        parameters = [*self.encoder.parameters(), self.hidden, *self.predictor.parameters()]
        return [Phase("encoder", parameters, c.learning_rate, weight_decay=c.weight_decay)]

    def loss(self, batch: Windows, phase: str) -> dict[str, Tensor]:
        grid = self.encoder.grid(random_crop(batch.values, self.cut))
        tokens = self.encoder.tokenise(grid)  # (B, N, D)
        rows, count, _ = tokens.shape
        hidden = max(1, round(self.config.masked * count))
        mask = random_order(rows, count, tokens.device) < hidden  # (B, N)
        shown = torch.where(mask[..., None], self.hidden + self.encoder.positions, tokens)
        predicted = self.predictor(self.encoder.attend(shown))
        loss = masked_prediction(predicted, self.teacher(grid), mask)
        return {"loss": share(loss, int(mask.sum()))}

    def after_step(self) -> None:
        self.teacher.update(_Whole(self.encoder))


class _Whole(nn.Module):
    """The encoder's vectors of all patches of a series on the grid."""

    def __init__(self, encoder: PatchTransformer) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, grid: Tensor) -> Tensor:
        return self.encoder.attend(self.encoder.tokenise(grid))

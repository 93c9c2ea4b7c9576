"""Contrast of two random crops of each series: what an encoder learns from a corpus.

The recipe of MoCo's descendants for series, as in Mantis (Feofanov et al. 2025, sec. 3) and CauKer
(Xie et al. 2025): two crops of a series, each resized by the encoder, are a positive pair, all
other crops of the batch are negatives (NT-Xent, SimCLR, Eq. 1).
"""

from torch import Tensor

from tspcrep.common.distributed import gather
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import nt_xent
from tspcrep.common.methods import Embeddings, Method, Phase
from tspcrep.common.metrics import diagnostics
from tsrep.contrast.corpus import CorpusConfig, random_crop, random_order
from tsrep.datasets.windows import Windows
from tsrep.encoders import Encoder, PatchTransformer


class CropContrast(Method):
    """A method for :func:`tspcrep.common.training.fit`, on batches of
    :class:`tsrep.datasets.windows.Windows`.

    Parameters
    ----------
    encoder : the network to train; its :meth:`~tsrep.encoders.Encoder.pooled` is contrasted.
    config : see :class:`tsrep.contrast.corpus.CorpusConfig`.
    strength : factor of the share that is cut; AdaInf's one half for real series among made ones.

    Embeddings of all processes are gathered, and random numbers are drawn for all rows.
    """

    def __init__(
        self, encoder: Encoder, config: CorpusConfig | None = None, strength: float = 1.0
    ) -> None:
        super().__init__()
        self.config = config = config or CorpusConfig()
        self.encoder, self.cut = encoder, strength * config.cut
        self.head = ProjectionHead(encoder.pooled_dim, config.width)

    def phases(self) -> list[Phase]:
        c = self.config
        trained = [*self.encoder.parameters(), *self.head.parameters()]
        return [Phase("encoder", trained, c.learning_rate, weight_decay=c.weight_decay)]

    def loss(self, batch: Windows, phase: str) -> dict[str, Tensor]:
        return self.contrast(self.embed(batch, phase), phase)

    def embed(self, batch: Windows, phase: str) -> Embeddings:
        """Two crops of each series, (B, width) each."""
        return tuple(self.head(self._view(batch.values)) for _ in range(2))

    def _view(self, x: Tensor) -> Tensor:
        """A random crop of each series of ``x (B, T, C)``, seen in part: (B, P)."""
        crop = random_crop(x, self.cut)
        if not isinstance(self.encoder, PatchTransformer) or not self.config.masked:
            return self.encoder.pooled(crop)
        count = self.encoder.tokens
        left_out = min(round(self.config.masked * count), count - 1)
        return self.encoder.pooled(crop, random_order(len(x), count, x.device)[:, left_out:])

    def contrast(self, embeddings: Embeddings, phase: str) -> dict[str, Tensor]:
        """NT-Xent of the crops of all processes."""
        first, second = (gather(z) for z in embeddings)
        scores = diagnostics(first, second, self.config.temperature) if len(first) > 1 else {}
        return {"loss": nt_xent(first, second, self.config.temperature), **scores}

    def after_step(self) -> None:
        pass

"""SegContrast: MoCo on pooled segments (Nunes et al., RA-L 2022)."""

import numpy as np
import torch
from torch import Tensor

from pcrep.contrast.objective import Objective, PretrainingConfig, Projector
from pcrep.contrast.views import View, Views
from pcrep.encoders.unet import SparseUNet
from pcrep.preparation.foreground import segment_weights
from pcrep.sparse.reduce import reduce_rows
from tspcrep.common.distributed import ranks
from tspcrep.common.losses import moco
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.queue import FeatureQueue


class SegContrast(Objective):
    """MoCo on segments: pooled segment features, with keys of earlier batches as negatives.

        L_s = -log [ e(q_s, k_s) / (e(q_s, k_s) + sum_{n in queue} e(q_s, n)) ]
        e(q, k) = exp(s(q, k) / T)

    Nunes et al., "SegContrast: 3D Point Cloud Feature Representation Learning Through
    Self-Supervised Segment Discrimination", RA-L 2022: segments that remain after ground removal,
    with at least 20 points in both views, max-pooled before the projection, T = .1.
    Departures, for data sets of tens of scenes and hundreds of steps: segments and ground are those
    of ``pcrep``, as for FAC; a queue of 1,024 instead of 65,536 keys, shorter than an epoch so that
    no segment meets its own earlier key; momentum .99 instead of .999; at least 8 voxels instead of
    20 points. The first step only fills the queue.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    queue : number of keys in the queue.
    momentum : momentum of the key encoder.
    least : segments with fewer voxels than this in either view are dropped.
    temperature : divides the cosines.
    """

    name, title = "segcontrast", "SegContrast"

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        queue: int = 1024,
        momentum: float = 0.99,
        least: int = 8,
        temperature: float = 0.1,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.key = MomentumEncoder(self.query, momentum)
        self.queue = FeatureQueue(queue, self.config.dim)
        self.least, self.temperature = least, temperature

    def after_step(self) -> None:
        self.key.update(self.query)

    def contrast(self, views: Views) -> dict[str, Tensor]:
        sides = [views.segment[view.first] for view in (views.a, views.b)]
        kept = self.kept(views, sides)
        queries = _pool(self.query, views.a, sides[0], kept)  # (S', dim)
        with torch.no_grad():
            keys = _pool(self.key.encoder, views.b, sides[1], kept)
        earlier = self.queue.features
        loss = 0 * queries.sum()
        if len(queries) and len(earlier):
            loss = moco(queries, keys, earlier, self.temperature)
        self.queue.enqueue(keys[: self.queue.length // ranks()[1]])  # all ranks' keys fit
        return {"loss": loss}

    def kept(self, views: Views, sides: list[Tensor]) -> Tensor:
        """Ids (S',) of the segments that are not ground and large enough in both views."""
        weights = [segment_weights(cloud, "plane-removed") for cloud in views.clouds]
        kept = torch.from_numpy(np.concatenate(weights) > 0).to(views.segment.device)
        for segment in sides:
            counts = torch.bincount(segment[segment >= 0], minlength=len(kept))
            kept &= counts >= self.least
        return kept.nonzero()[:, 0]


def _pool(projector: Projector, view: View, segment: Tensor, kept: Tensor) -> Tensor:
    """Projections (S', dim) of the max-pooled voxel features of the segments ``kept`` (S',)."""
    features = projector.features(view.input)
    if not len(kept):
        return 0 * projector.head(features[:1])[:0]
    number = torch.full((int(kept.max()) + 1,), -1, device=kept.device)
    number[kept] = torch.arange(len(kept), device=kept.device)
    inside = (segment >= 0) & (segment < len(number))
    place = torch.where(inside, number[segment.clamp(0, len(number) - 1)], -1)
    rows = (place >= 0).nonzero()[:, 0]
    return projector.head(reduce_rows(features[rows], place[rows], len(kept), "max"))

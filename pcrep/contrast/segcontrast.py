"""SegContrast, an objective that FAC is compared with."""

import numpy as np
import torch
from torch import Tensor

from pcrep.contrast.objective import Objective, PretrainingConfig, Projector
from pcrep.contrast.views import View, Views
from pcrep.encoders.unet import SparseUNet
from pcrep.preparation.foreground import segment_weights
from pcrep.sparse.tensor import reduce_rows
from tspcrep.common.distributed import ranks
from tspcrep.common.losses import moco
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.queue import FeatureQueue


class SegContrast(Objective):
    """MoCo on segments: features are pooled over a segment, keys of earlier batches are negatives.

        L_s = -log [ e(q_s, k_s) / (e(q_s, k_s) + sum_{n in queue} e(q_s, n)) ]
        e(q, k) = exp(s(q, k) / T)

    Nunes et al., "SegContrast: 3D Point Cloud Feature Representation Learning Through
    Self-Supervised Segment Discrimination", RA-L 2022: segments of what is left when the ground is
    removed, at least 20 points in both views, pooled by the maximum before the projection, T = .1.
    Departures, for sets of tens of scenes and hundreds of steps: segments and what counts as ground
    are those of ``pcrep``, as FAC's; a queue of 1,024 where the paper's has 65,536, so that it
    is shorter than an epoch and no segment meets its own earlier key; an m of .99 for .999, and at
    least 8 voxels for 20 points. The first step fills the queue and learns nothing.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    queue : keys kept.
    momentum : of the key encoder.
    least : a segment with fewer voxels in either view is dropped.
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
        """The segments (S',) that are no ground and large enough in both views."""
        weights = [segment_weights(cloud, "plane-removed") for cloud in views.clouds]
        kept = torch.from_numpy(np.concatenate(weights) > 0).to(views.segment.device)
        for segment in sides:
            counts = torch.bincount(segment[segment >= 0], minlength=len(kept))
            kept &= counts >= self.least
        return kept.nonzero()[:, 0]


def _pool(projector: Projector, view: View, segment: Tensor, kept: Tensor) -> Tensor:
    """Projections (S', dim) of the largest features of the voxels of each of ``kept`` (S',)."""
    features = projector.encoder(view.input).features
    if not len(kept):
        return 0 * projector.head(features[:1])[:0]
    number = torch.full((int(kept.max()) + 1,), -1, device=kept.device)
    number[kept] = torch.arange(len(kept), device=kept.device)
    inside = (segment >= 0) & (segment < len(number))
    place = torch.where(inside, number[segment.clamp(0, len(number) - 1)], -1)
    rows = (place >= 0).nonzero()[:, 0]
    return projector.head(reduce_rows(features[rows], place[rows], len(kept), "max"))

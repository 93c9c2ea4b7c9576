"""Objectives that FAC is compared with, on the same backbone, head, views and optimiser.

Temperatures, numbers of pairs and sizes are those of the published configurations, or the docstring
says why not.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus

from pcrep.contrast.objective import Objective, PretrainingConfig, Projector
from pcrep.contrast.views import View, Views, correspond
from pcrep.encoders.unet import SparseUNet
from pcrep.preparation.foreground import segment_weights
from pcrep.sparse.tensor import reduce_rows
from tspcrep.common.distributed import ranks
from tspcrep.common.losses import InfoNCE, moco
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.queue import FeatureQueue


class PointContrast(Objective):
    """InfoNCE of matched points: each finds its match among the matches of all other points.

        L = -1/P sum_i log [ exp(s(a_i, b_i) / T) / sum_j exp(s(a_i, b_j) / T) ]

    Xie et al., "PointContrast: Unsupervised Pre-training for 3D Point Cloud Understanding", ECCV
    2020, Eq. 2 (PointInfoNCE), with its 4,096 pairs a batch and T = .07. Both views pass the same
    network and both have gradient. Departure: the two views are augmentations of one cloud, where
    the paper's are two frames of a video that overlap.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    pairs : most matched voxels of a batch.
    temperature : divides the cosines.
    """

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        pairs: int = 4096,
        temperature: float = 0.07,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.pairs, self.info_nce = pairs, InfoNCE(temperature)

    def contrast(self, views: Views) -> dict[str, Tensor]:
        a, b = self.query(views.a.input), self.query(views.b.input)
        rows_a, rows_b = draw_matches(views, self.pairs)
        if len(rows_a) < 2:
            return {"loss": 0 * (a.sum() + b.sum())}
        return {"loss": self.info_nce(a[rows_a], b[rows_b])}


class ContrastiveSceneContexts(Objective):
    """PointInfoNCE within each part of space around the anchor, averaged over the parts.

        L = -1/sum_p |A_p| sum_p sum_{i in A_p} log [ e_ii / (e_ii + sum_{j in part_p(i)} e_ij) ]
        e_ij = exp(s(a_i, b_j) / T)

    Hou et al., "Exploring Data-Efficient 3D Scene Understanding with Contrastive Scene Contexts",
    CVPR 2021, section 3: parts are two shells of distance and halves by direction, here above and
    below, so four; 2 and 20 voxels are the shells' radii, and T = .4, as in its script. Negatives
    come from the anchor's scene. Both views have gradient.

    Departures: a pair at the same height belongs to the upper half, where the released code drops
    it; the mean is over the anchors that have negatives in a part (A_p), where there an empty part
    counts as a loss of zero; and 512 pairs a scene instead of 4,096, for scenes of a few thousand
    voxels and a loss that holds all pairs.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    pairs : most matched voxels of a scene.
    radii : of the shells, in voxels.
    temperature : divides the cosines.
    """

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        pairs: int = 512,
        radii: tuple[float, float] = (2.0, 20.0),
        temperature: float = 0.4,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.pairs, self.radii, self.temperature = pairs, radii, temperature

    def contrast(self, views: Views) -> dict[str, Tensor]:
        a, b = self.query(views.a.input), self.query(views.b.input)
        total, anchors = 0 * (a.sum() + b.sum()), 0
        for scene in range(len(views.clouds)):
            rows_a, rows_b = draw_matches(views, self.pairs, scene)
            if not len(rows_a):
                continue
            coords = views.coords[views.a.first[rows_a]] / self.config.views.voxel
            losses = partitioned_info_nce(
                normalize(a[rows_a], dim=-1),
                normalize(b[rows_b], dim=-1),
                partition(coords, self.radii),
                2 * len(self.radii),
                self.temperature,
            )
            total, anchors = total + losses.sum(), anchors + len(losses)
        return {"loss": total / max(anchors, 1)}


def partition(coords: Tensor, radii: tuple[float, ...]) -> Tensor:
    """The part (P, P) of space around point i that point j lies in; -1 beyond the last radius.

    Part ``2 s + h``: s the first shell whose radius reaches j, h 1 where j is at least as high as
    i. A point lies in no part of its own.
    """
    offset = coords[None] - coords[:, None]  # (P, P, 3)
    shell = torch.bucketize(offset.norm(dim=-1), coords.new_tensor(radii))
    part = 2 * shell + (offset[..., 2] >= 0)
    outside = (shell == len(radii)) | torch.eye(len(coords), dtype=torch.bool, device=coords.device)
    return part.masked_fill(outside, -1)


def partitioned_info_nce(
    anchors: Tensor, keys: Tensor, parts: Tensor, count: int, temperature: float
) -> Tensor:
    """One loss for every anchor and part (P, P) that holds a negative of it; key i is positive."""
    logits = anchors @ keys.T / temperature
    positive = logits.diagonal()
    losses = []
    for part in range(count):
        inside = parts == part
        some = inside.any(1)
        negatives = logits[some].masked_fill(~inside[some], -torch.inf).logsumexp(1)
        losses.append(softplus(negatives - positive[some]))
    return torch.cat(losses)


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
        queries = pool(self.query, views.a, sides[0], kept)  # (S', dim)
        with torch.no_grad():
            keys = pool(self.key.encoder, views.b, sides[1], kept)
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


def pool(projector: Projector, view: View, segment: Tensor, kept: Tensor) -> Tensor:
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


def draw_matches(views: Views, most: int, scene: int | None = None) -> tuple[Tensor, Tensor]:
    """Voxels of view a and of view b (P,) that show the same point, at most ``most`` of them.

    Of one scene, or of all of the batch. Random numbers are torch's, drawn on the host.
    """
    match = correspond(views.a, views.b, len(views.scene))
    found = match >= 0
    if scene is not None:
        found &= views.scene[views.a.first] == scene
    rows = found.nonzero()[:, 0]
    chosen = torch.randperm(len(rows))[:most].to(rows.device)
    return rows[chosen], match[rows[chosen]]

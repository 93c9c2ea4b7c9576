"""FAC: foreground-aware contrast of segments (L_Geo) and of features (L_Fea).

Liu et al., "FAC: 3D Representation Learning via Foreground Aware Feature Contrast", CVPR 2023.
There is no public implementation; this one is built from the abstract and the framework figure.
:class:`FAC` says which parts they determine and which are our choices.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pcrep.contrast.anchors import draw_anchors, draw_background
from pcrep.contrast.correspondence import CorrespondenceNetwork
from pcrep.contrast.objective import Objective, PretrainingConfig
from pcrep.contrast.views import View, Views
from pcrep.encoders.unet import SparseUNet
from pcrep.preparation.foreground import foreground, segment_weights
from tspcrep.common.elementwise import sigmoid, softplus
from tspcrep.common.errors import UserError
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


@dataclass(frozen=True)
class FACConfig:
    """Options of the FAC objective. Symbols of the paper are in brackets."""

    sampler: Literal["random", "size-balanced", "plane-removed", "objectness"] = "objectness"
    """Sampling of anchor segments; "random" draws any point, foreground or not (ablation)."""
    anchor_segments: int = 32
    """Segments drawn per scene, with replacement."""
    anchor_points: int = 8
    """Voxels drawn per segment and view."""
    least_voxels: int = 4
    """Segments with fewer voxels than this in either view are dropped."""
    regional_weight: float = 1.0
    """Weight of the regional grouping contrast [alpha]."""
    feature_weight: float = 1.0
    """Weight of the feature contrast [beta]."""
    temperature: float = 0.1
    """Temperature of both contrasts; 0.2 and 0.4 gave less separable classes on mOSD."""
    top_k: int = 16
    """Number of most similar foreground voxels that are positives in the feature contrast [k]."""
    softness: float = 0.0
    """Width in cosine of a differentiable (soft) top-k; 0 for the hard top-k."""
    correspondence: Literal["siamese", "none"] = "siamese"
    """Network before the feature contrast; "none" is an ablation."""
    momentum: float = 0.99
    """Momentum of the key encoder's moving average; 0 uses the query's own weights (ablation)."""

    def __post_init__(self) -> None:
        for name in ("anchor_segments", "anchor_points", "least_voxels", "top_k"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 1")
        for name in ("regional_weight", "feature_weight", "softness"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 0")
        if not self.temperature > 0 or not 0 <= self.momentum <= 1:
            raise UserError(
                f"temperature {self.temperature}, momentum {self.momentum}: expected above 0, and "
                "0 .. 1"
            )
        if not self.regional_weight + self.feature_weight > 0:
            raise UserError("regional_weight and feature_weight are 0, expected one above 0")


class FAC(Objective):
    """L = alpha L_Geo + beta L_Fea, on two views of over-segmented scenes.

    Given by the published record: segments are computed once, before augmentation; view a passes
    the query network, view b its moving average without gradient; L_Geo acts on the features D,
    with points of the same foreground segment as positives and points of other segments and of the
    background as negatives; L_Fea acts on F, the output of a Siamese correspondence network on D,
    with the most similar foreground points within and across views as positives; both have weight
    1.

    Our choices, most of them options of :class:`FACConfig`: objectness as the measure of
    foreground; D is the output of the U-Net and a projection head that is discarded after
    pretraining; "points" are voxels; the numbers drawn; negatives from all scenes of the batch;
    temperature, k and momentum; hard top-k; the form of the correspondence network (see there).

    Parameters
    ----------
    encoder : a SparseUNet with 4 input channels, trained in place.
    config : projection head, optimiser and views, shared with the other objectives.
    fac : options of FAC alone.
    """

    name, title = "fac", "FAC"

    def __init__(
        self,
        encoder: SparseUNet,
        config: PretrainingConfig | None = None,
        fac: FACConfig | None = None,
    ):
        super().__init__(encoder, config or PretrainingConfig())
        self.fac = fac = fac or FACConfig()
        self.correspondence: nn.Module = nn.Identity()
        if fac.correspondence == "siamese":
            self.correspondence = CorrespondenceNetwork(self.config.dim)
        self.key = MomentumEncoder(self.query, fac.momentum)

    def after_step(self) -> None:
        self.key.update(self.query)

    def contrast(self, views: Views) -> dict[str, Tensor]:
        fac = self.fac
        d_a, d_b = self.query(views.a.input), self.key(views.b.input)  # (M, dim), (M', dim)
        sample = _draw(views, fac)
        if not len(sample.anchors):
            return {"loss": 0 * d_a.sum()}  # the crops left no segment in both views
        losses = {}
        if fac.regional_weight:
            losses["regional"] = self.regional(d_a, d_b, sample)
        if fac.feature_weight:
            losses["feature"] = self.feature(d_a, d_b, sample)
        weighted = [getattr(fac, f"{name}_weight") * loss for name, loss in losses.items()]
        return {"loss": sum(weighted)} | losses

    def regional(self, d_a: Tensor, d_b: Tensor, sample: "_Sample") -> Tensor:
        """L_Geo on the features D of both views."""
        anchors = normalize(d_a.index_select(0, sample.anchors), dim=-1)
        rows = torch.cat([sample.keys, sample.background_b])
        return _regional_contrast(
            anchors,
            normalize(d_b.index_select(0, rows), dim=-1),
            sample.segment,
            torch.cat([sample.segment, sample.background_segment]),
            self.fac.temperature,
        )

    def feature(self, d_a: Tensor, d_b: Tensor, sample: "_Sample") -> Tensor:
        """L_Fea on F, the output of the correspondence network on D."""
        rows_a = torch.cat([sample.anchors, sample.background_a])
        rows_b = torch.cat([sample.keys, sample.background_b])
        f_a = normalize(self.correspondence(d_a.index_select(0, rows_a)), dim=-1)
        with torch.no_grad():
            f_b = normalize(self.correspondence(d_b.index_select(0, rows_b)), dim=-1)
        count, chosen = len(sample.anchors), sample.foreground.nonzero()[:, 0]
        row = sample.anchors[chosen]
        anchors, keys = f_a.index_select(0, chosen), f_b.index_select(0, chosen)
        background = torch.cat([f_a[count:], f_b[count:]])
        if not len(anchors) or not len(background):
            return 0 * f_a.sum()
        return _feature_contrast(
            anchors,
            torch.cat([anchors, keys]),
            (row, torch.cat([row, torch.full_like(row, -1)])),
            background,
            self.fac.top_k,
            self.fac.temperature,
            self.fac.softness,
        )


@dataclass(frozen=True, eq=False)
class _Sample:
    """Voxels sampled for a step: A anchors and keys, B and B' background voxels.

    anchors, keys : (A,) int64 rows of voxels in view a and in view b; segment : (A,) their ids.
    foreground : (A,) bool, whether the anchor is foreground.
    background_a, background_b : (B,), (B',) rows; background_segment : (B',) ids of the latter.
    """

    anchors: Tensor
    keys: Tensor
    segment: Tensor
    foreground: Tensor
    background_a: Tensor
    background_b: Tensor
    background_segment: Tensor


def _draw(views: Views, fac: FACConfig) -> _Sample:
    """Anchors and keys of segments drawn by ``fac.sampler``, and as many background voxels."""
    weights = torch.from_numpy(
        np.concatenate([segment_weights(cloud, fac.sampler) for cloud in views.clouds])
    )
    is_foreground = torch.cat([torch.from_numpy(foreground(c)) for c in views.clouds])
    is_foreground = is_foreground.to(views.segment.device)
    drawn = draw_anchors(views, weights, fac.anchor_segments, fac.anchor_points, fac.least_voxels)
    numbers = torch.bincount(drawn.scene, minlength=len(views.clouds)) * fac.anchor_points
    behind = ~is_foreground & (views.segment >= 0)

    def background_of(view: View) -> Tensor:
        voxels = behind[view.first].nonzero()[:, 0]
        return draw_background(voxels, views.scene[view.first[voxels]], numbers)

    anchors = drawn.a.flatten()
    one, other = background_of(views.a), background_of(views.b)
    return _Sample(
        anchors,
        drawn.b.flatten(),
        drawn.segment.repeat_interleave(fac.anchor_points),
        is_foreground[views.a.first[anchors]],
        one,
        other,
        views.segment[views.b.first[other]],
    )


def _regional_contrast(
    anchors: Tensor, keys: Tensor, segment: Tensor, key_segment: Tensor, temperature: float
) -> Tensor:
    """L_Geo: keys of the anchor's segment are positives, all other keys negatives.

        L_i = -1/|P_i| sum_{p in P_i} log [ e_ip / (e_ip + sum_{n not in P_i} e_in) ]
        e_ij = exp(s_ij / T)

    so that points of the anchor's segment are never negatives. Anchors without any negative are
    left out.

    Args:
        anchors: ``(A, D)``, unit rows. keys: ``(K, D)``, unit rows.
        segment, key_segment: ``(A,)`` and ``(K,)`` non-negative integers.
        temperature: divides the cosines.
    """
    alone = (segment[:, None] == key_segment).all(1)
    if bool(alone.all()):
        return 0 * anchors.sum()
    pairs = Pairs(group=(segment[~alone], key_segment))
    return info_nce(anchors[~alone], keys, pairs, temperature, denominator="own")


def _feature_contrast(
    anchors: Tensor,
    pool: Tensor,
    rows: tuple[Tensor, Tensor],
    background: Tensor,
    neighbours: int,
    temperature: float,
    softness: float = 0.0,
) -> Tensor:
    """L_Fea: the most similar foreground points are positives, the background is negative.

        L_i = -1/k sum_{p in top-k(i)} log [ e_ip / (e_ip + sum_{n in background} e_in) ]
        e_ij = exp(s_ij / T)

    All other foreground points are ignored, so that objects are not pushed apart needlessly.

    Args:
        anchors: ``(A, D)``, unit rows, foreground.
        pool: ``(P, D)``, unit rows, foreground candidates.
        rows: ``(A,)`` and ``(P,)`` integers; same row = the anchor itself, which is never chosen.
        background: ``(B, D)``, unit rows.
        neighbours: k; all candidates where there are fewer.
        temperature: divides the cosines.
        softness: above 0, the k are chosen by :func:`_soft_top_k`, with gradient.
    """
    unlike = [torch.full((len(x),), -1, device=x.device) for x in (anchors, background)]
    push = info_nce(
        anchors,
        background,
        Pairs(group=(unlike[0], unlike[1])),
        temperature,
        positives="none",
        reduction="none",
    )  # (A,) log sum exp over the background
    own = rows[0][:, None] == rows[1]
    cosine = anchors @ pool.T  # (A, P)
    k = min(neighbours, int((~own).sum(1).min()))
    if not k:
        return 0 * anchors.sum()
    if softness:
        weight = _soft_top_k(cosine.masked_fill(own, -2.0), k, softness).masked_fill(own, 0.0)
        loss = softplus(push[:, None] - cosine / temperature)
        return ((weight * loss).sum(1) / weight.sum(1)).mean()
    closest = cosine.masked_fill(own, -torch.inf).topk(k).values  # (A, k)
    return softplus(push[:, None] - closest / temperature).mean()


def _soft_top_k(scores: Tensor, k: int, softness: float, iterations: int = 40) -> Tensor:
    """Weights in 0 .. 1 that sum to k, near 1 on the k largest scores: (..., P) -> (..., P).

        w_i = sigmoid((s_i - t) / softness),  t such that sum_i w_i = k

    is the entropic optimal transport plan that Xie et al., "Differentiable Top-k with Optimal
    Transport" (NeurIPS 2020), compute by Sinkhorn iterations; with two targets it depends on the
    single number t. t is found by bisection; one Newton step from there carries the gradient of
    the implicit function.
    """
    if not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"k is {k}, expected 1 to {scores.shape[-1]}, the number of scores")
    if k == scores.shape[-1]:
        return torch.ones_like(scores)
    with torch.no_grad():
        low = scores.amin(-1, keepdim=True) - 40 * softness
        high = scores.amax(-1, keepdim=True) + 40 * softness
        for _ in range(iterations):
            middle = (low + high) / 2
            many = sigmoid((scores - middle) / softness).sum(-1, keepdim=True) > k
            low, high = torch.where(many, middle, low), torch.where(many, high, middle)
        t = (low + high) / 2
        slope = sigmoid((scores - t) / softness)
        slope = (slope * (1 - slope)).sum(-1, keepdim=True).clamp_min(1e-12) / softness
    excess = sigmoid((scores - t) / softness).sum(-1, keepdim=True) - k
    return sigmoid((scores - (t + excess / slope)) / softness)

"""Contrastive Scene Contexts: PointInfoNCE per spatial partition (Hou et al., CVPR 2021)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pcrep.contrast.objective import Objective, PretrainingConfig
from pcrep.contrast.views import Views, draw_matches
from pcrep.encoders.unet import SparseUNet
from tspcrep.common.elementwise import softplus


class ContrastiveSceneContexts(Objective):
    """PointInfoNCE within each partition of the space around the anchor, averaged over partitions.

        L = -1/sum_p |A_p| sum_p sum_{i in A_p} log [ e_ii / (e_ii + sum_{j in part_p(i)} e_ij) ]
        e_ij = exp(s(a_i, b_j) / T)

    Hou et al., "Exploring Data-Efficient 3D Scene Understanding with Contrastive Scene Contexts",
    CVPR 2021, section 3: two shells of distance (radii of 2 and 20 voxels) times two halves, above
    and below, give four partitions; T = .4 as in the released script. Negatives come from the
    anchor's scene. Both views have gradient.

    Departures: a pair at equal height belongs to the upper half, whereas the released code drops
    it; the mean is over the anchors that have negatives in a partition (A_p), whereas there an
    empty partition counts as zero loss; 512 pairs per scene instead of 4,096, for scenes of a few
    thousand voxels and a loss that stores all pairs.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    pairs : largest number of matched voxels per scene.
    radii : outer radii of the shells, in voxels.
    temperature : divides the cosines.
    """

    name, title = "csc", "Contrastive Scene Contexts"

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
            losses = _partitioned_info_nce(
                normalize(a.index_select(0, rows_a), dim=-1),
                normalize(b.index_select(0, rows_b), dim=-1),
                _partition(coords, self.radii),
                2 * len(self.radii),
                self.temperature,
            )
            total, anchors = total + losses.sum(), anchors + len(losses)
        return {"loss": total / max(anchors, 1)}


def _partition(coords: Tensor, radii: tuple[float, ...]) -> Tensor:
    """Partition (P, P) around point i that point j lies in; -1 beyond the last radius.

    Partition ``2 s + h``: s is the first shell whose radius reaches j, h is 1 where j is at least
    as high as i. A point lies in none of its own partitions.
    """
    offset = coords[None] - coords[:, None]  # (P, P, 3)
    shell = torch.bucketize(offset.norm(dim=-1), coords.new_tensor(radii))
    part = 2 * shell + (offset[..., 2] >= 0)
    outside = (shell == len(radii)) | torch.eye(len(coords), dtype=torch.bool, device=coords.device)
    return part.masked_fill(outside, -1)


def _partitioned_info_nce(
    anchors: Tensor, keys: Tensor, parts: Tensor, count: int, temperature: float
) -> Tensor:
    """One loss per anchor and partition that holds negatives of it; key i is the positive."""
    logits = anchors @ keys.T / temperature
    positive = logits.diagonal()
    losses = []
    for part in range(count):
        inside = parts == part
        some = inside.any(1)
        negatives = logits[some].masked_fill(~inside[some], -torch.inf).logsumexp(1)
        losses.append(softplus(negatives - positive[some]))
    return torch.cat(losses)

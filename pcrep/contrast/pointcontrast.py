"""PointContrast: InfoNCE over matched points of two views (Xie et al., ECCV 2020)."""

from torch import Tensor

from pcrep.contrast.objective import Objective, PretrainingConfig
from pcrep.contrast.views import Views, draw_matches
from pcrep.encoders.unet import SparseUNet
from tspcrep.common.losses import InfoNCE


class PointContrast(Objective):
    """PointInfoNCE: each point must find its match among the matches of all other points.

        L = -1/P sum_i log [ exp(s(a_i, b_i) / T) / sum_j exp(s(a_i, b_j) / T) ]

    Xie et al., "PointContrast: Unsupervised Pre-training for 3D Point Cloud Understanding", ECCV
    2020, Eq. 2, with its 4,096 pairs per batch and T = .07. Both views pass the same network, with
    gradient. Departure: the views are two augmentations of one cloud, in the paper two overlapping
    frames of a video.

    Parameters
    ----------
    encoder, config : see :class:`pcrep.contrast.objective.Objective`.
    pairs : largest number of matched voxels per batch.
    temperature : divides the cosines.
    """

    name, title = "pointcontrast", "PointContrast"

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
        return {"loss": self.info_nce(a.index_select(0, rows_a), b.index_select(0, rows_b))}

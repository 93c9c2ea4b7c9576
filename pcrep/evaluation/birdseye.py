"""Oriented boxes of objects seen from above: a small head on a bird's-eye grid of the features.

    detector = BirdsEye(encoder)
    fit(detector, LabelledScenes(with_objects(scenes, "car"), 2), training, seed, folder)
    boxes, scores = detector.detect(cloud)

The voxels of a column are one cell of the grid. Two convolutions say of each cell whether the
centre of an object lies there, and what box is around it (Yin et al., "CenterPoint", CVPR 2021,
sections 3 and 4.1). Departures: one class of objects; the heads read features of the full
resolution; a box is turned by half a turn at most, so the sine and cosine of twice its angle are
predicted; a peak is a largest value among its eight neighbours, without further suppression.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pcrep.augment import AugmentConfig
from pcrep.cloud import Batch, Cloud, Scenes
from pcrep.encoders.encoding import (
    Levels,
    check_encoder,
    network_input,
    read_out,
    voxel_size,
    width,
)
from pcrep.encoders.unet import SparseUNet
from pcrep.evaluation.boxes import box_iou, fit_boxes
from pcrep.evaluation.detections import average_precision, in_turn
from pcrep.evaluation.parts import views_of
from tspcrep.common.errors import UserError
from tspcrep.common.methods import Method, Phase
from tspcrep.common.modes import evaluating

_BOX = 8  # numbers of a box: place in its cell, height, logarithms of the sizes, twice its angle
_RARE = -2.2  # a tenth of all cells is an object before training (Lin et al. 2017, section 4.1)


@dataclass(frozen=True)
class BirdsEyeConfig:
    """Size and training of the head."""

    cell: int = 2
    """Edge of a cell of the grid, voxels."""
    width: int = 32
    """Channels of the grid and of its convolutions."""
    lr: float = 3e-3
    """Learning rate of AdamW."""
    box_weight: float = 0.5
    """Weight of the boxes beside the centres in the loss."""
    voxels: int = 60_000
    """Largest number of voxels per scene and step; of a larger scene, those around a labelled point
    that is drawn anew each step, where objects at the edge are cut."""
    most: int = 64
    """Largest number of boxes in a scene."""
    augment: AugmentConfig = AugmentConfig(crop="none", colour_drop=0.0, translation=0.0, tilt=0.0)

    def __post_init__(self) -> None:
        if min(self.cell, self.width, self.voxels, self.most) < 1 or not self.lr > 0:
            raise UserError(
                f"cell {self.cell}, width {self.width}, voxels {self.voxels}, most {self.most}, lr "
                f"{self.lr}: expected at least 1 each, and a rate above 0"
            )


class BirdsEye(Method):
    """Encoder and head; a method for ``fit`` on scenes whose ``instance`` are the objects to find.

    encoder : a SparseUNet; its weights stay as they are if it is ``frozen``.
    voxel : metres; by default that of the encoder's training, else 0.02.
    """

    def __init__(
        self,
        encoder: SparseUNet,
        config: BirdsEyeConfig | None = None,
        voxel: float | None = None,
        frozen: bool = True,
        levels: Levels = "both",
    ):
        super().__init__()
        check_encoder(encoder)
        self.config, self.voxel = config or BirdsEyeConfig(), voxel_size(encoder, voxel)
        self.encoder, self.frozen, self.levels = encoder, frozen, levels
        self.encoder.requires_grad_(not frozen)
        d = self.config.width
        self.reduce = nn.Linear(width(encoder, levels), d)
        self.body = nn.Sequential(
            nn.ReLU(), nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.Conv2d(d, d, 3, padding=1),
            nn.ReLU(),
        )  # fmt: skip
        self.centre, self.box = nn.Conv2d(d, 1, 1), nn.Conv2d(d, _BOX, 1)
        nn.init.constant_(self.centre.get_parameter("bias"), _RARE)

    def phases(self) -> list[Phase]:
        trained = [p for p in self.parameters() if p.requires_grad]
        return [Phase("detect", trained, self.config.lr, weight_decay=1e-2)]

    def train(self, mode: bool = True) -> "BirdsEye":
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def after_step(self) -> None:
        """Nothing."""

    def loss(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        """CenterPoint's: the focal loss of the centres, and the L1 distance of the boxes."""
        clouds = views_of(batch, self.voxel, self.config.voxels, self.config.augment)
        logits, boxes = self._maps(clouds)
        heat, wanted, cells = targets(
            clouds, (logits.shape[2], logits.shape[3]), self.voxel * self.config.cell
        )
        heat, wanted, cells = (part.to(logits.device) for part in (heat, wanted, cells))
        centre = focal_loss(logits[:, 0], heat)
        found = boxes.permute(0, 2, 3, 1)[tuple(cells.T)]
        box = (found - wanted).abs().mean() if len(wanted) else 0 * found.sum()
        return {"loss": centre + self.config.box_weight * box, "centre": centre, "box": box}

    def detect(self, cloud: Cloud) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (K, 7) as of :func:`pcrep.evaluation.boxes.fit_box`, and scores (K,), falling.

        cloud : with z up; its lowest point is the ground that heights are over.
        """
        with evaluating(self), torch.inference_mode():
            logits, boxes = self._maps([cloud])
        heat = logits[0, 0].float().sigmoid().cpu()
        peak = (heat == F.max_pool2d(heat[None], 3, 1, 1)[0]) & (heat > 0.05)
        rows = peak.nonzero()
        scores = heat[peak]
        order = scores.argsort(descending=True, stable=True)[: self.config.most]
        rows = rows[order]
        found = boxes[0].float().cpu()[:, rows[:, 0], rows[:, 1]].T.double().numpy()
        low = cloud.coords.min(0).astype(np.float64)
        return decoded(found, rows.numpy(), self.voxel * self.config.cell, low), scores[
            order
        ].numpy()

    def _maps(self, clouds: list[Cloud]) -> tuple[Tensor, Tensor]:
        """Logits (B, 1, X, Y) of centres and boxes (B, 8, X, Y) of the cells of all clouds."""
        x, _ = network_input(clouds, self.voxel, self.centre.weight.device, self.encoder.inputs)
        rows = read_out(self.encoder, x, self.reduce, self.levels)
        place = x.coordinates.long()
        cells = torch.cat([place[:, :1], place[:, 1:3] // self.config.cell], 1)
        shape = (len(clouds), *(int(n) + 1 for n in cells[:, 1:].amax(0)))
        flat = (cells[:, 0] * shape[1] + cells[:, 1]) * shape[2] + cells[:, 2]
        grid = rows.new_zeros(shape[0] * shape[1] * shape[2], rows.shape[1])
        index = flat[:, None].expand_as(rows)
        grid = grid.scatter_reduce(0, index, rows, "amax", include_self=False)
        y = self.body(grid.view(*shape, -1).permute(0, 3, 1, 2))
        return self.centre(y), self.box(y)


def with_objects(scenes: Scenes, name: str, least: int = 10) -> Scenes:
    """The scenes, in which the only instances are objects of a class that have ``least`` points."""
    if name not in scenes.classes:
        raise UserError(f"{name}: no class of {scenes.name}, expected {', '.join(scenes.classes)}")
    index = scenes.classes.index(name)

    def only(cloud: Cloud) -> Cloud:
        return replace(cloud, instance=_numbered(cloud, index, least))

    return scenes.map(only)


def _numbered(cloud: Cloud, index: int, least: int) -> np.ndarray:
    number = np.where(cloud.label == index, cloud.known("instance"), -1)
    found, count = np.unique(number[number >= 0], return_counts=True)
    return in_turn(np.where(np.isin(number, found[count >= least]), number, -1))


def targets(
    clouds: list[Cloud], shape: tuple[int, int], cell: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What the maps of clouds should be: heat (B, X, Y), boxes (T, 8), and their cells (T, 3).

    The heat of a cell is the largest Gaussian of its distance to an object's cell, whose deviation
    is a sixth of the box's longer side, and at least 0.7 cells. cell : edge, metres.
    """
    heat = np.zeros((len(clouds), *shape), np.float32)
    wanted, cells = [], []
    x, y = np.ogrid[: shape[0], : shape[1]]
    for b, cloud in enumerate(clouds):
        low = cloud.coords.min(0).astype(np.float64)
        for box in fit_boxes(cloud.coords - low, in_turn(cloud.known("instance"))):
            i, j = place = np.minimum((box[:2] / cell).astype(int), np.array(shape) - 1)
            apart = (x - i) ** 2 + (y - j) ** 2
            deviation = max(box[3] / cell / 6, 0.7)
            np.maximum(heat[b], np.exp(-apart / (2 * deviation**2)), out=heat[b])
            wanted.append(encoded(box, place, cell))
            cells.append((b, i, j))
    return (
        torch.from_numpy(heat),
        torch.tensor(np.array(wanted).reshape(-1, _BOX), dtype=torch.float32),
        torch.tensor(np.array(cells).reshape(-1, 3), dtype=torch.long),
    )


def encoded(box: np.ndarray, place: np.ndarray, cell: float) -> np.ndarray:
    """The eight numbers of a box (7,) whose centre lies in the cell ``place`` (2,)."""
    inside = box[:2] / cell - place - 0.5
    twice = 2 * box[6]
    sizes = np.log(np.maximum(box[3:6], 0.05))
    return np.array([*inside, box[2], *sizes, np.sin(twice), np.cos(twice)])


def decoded(numbers: np.ndarray, place: np.ndarray, cell: float, low: np.ndarray) -> np.ndarray:
    """Boxes (K, 7) of numbers (K, 8) in cells (K, 2); the inverse of :func:`encoded`.

    low : (3,) metres, where the grid begins.
    """
    xy = (numbers[:, :2] + place + 0.5) * cell + low[:2]
    sizes = np.exp(numbers[:, 3:6].clip(-5, 5))
    yaw = np.arctan2(numbers[:, 6], numbers[:, 7]) / 2 % np.pi
    return np.concatenate([xy, numbers[:, 2:3] + low[2], sizes, yaw[:, None]], 1)


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Of cells (B, X, Y), over the number of centres (Law and Deng, "CornerNet", ECCV 2018, Eq. 1).

    centres: (1 - p)^2 log p;   others: (1 - heat)^4 p^2 log(1 - p)
    """
    p, centre = logits.sigmoid(), heat == 1
    of_centre = (1 - p).square() * F.logsigmoid(logits)
    of_other = (1 - heat) ** 4 * p.square() * F.logsigmoid(-logits)
    return -torch.where(centre, of_centre, of_other).sum() / centre.sum().clamp_min(1)


def box_scores(scenes: Scenes, found: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Average precision of boxes at an IoU of 1/4 and 1/2: ``box25``, ``box50``.

    scenes : of :func:`with_objects`. found : boxes and scores of each.
    """
    clouds = list(scenes)
    truths = [fit_boxes(cloud.coords, cloud.known("instance")) for cloud in clouds]
    iou = [box_iou(truth, boxes) for truth, (boxes, _) in zip(truths, found, strict=True)]
    scores = [score for _, score in found]
    return {f"box{p}": average_precision(iou, scores, p / 100) for p in (25, 50)}

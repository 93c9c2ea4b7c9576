"""Semantic segmentation from few labels: a linear head on a sparse U-Net, trained together.

The protocol is that of Contrastive Scene Contexts (Hou et al., CVPR 2021, section 4): labels of a
few scenes, or of a share of the points, and otherwise the same network, steps and augmentation
whether its weights were pretrained or drawn at random. Where we depart from it: scenes are few, so
which ones are labelled is drawn anew for each seed, see :func:`choose_scenes`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from pcrep.augment import AugmentConfig, augmented
from pcrep.cloud import Batch, Cloud, Scenes
from pcrep.encoders.encoding import check_encoder, encode, network_input, voxel_size
from pcrep.encoders.unet import SparseUNet, UNetConfig
from tspcrep.common import weights
from tspcrep.common.errors import UserError
from tspcrep.common.training import Phase

SEGMENTER = "segmenter.safetensors"
"""Name of the file of a segmenter in a run folder."""


@dataclass(frozen=True)
class SegmentationConfig:
    """How a segmenter is trained."""

    voxel: float | None = None
    """Edge of a voxel, metres; what the encoder was trained on, or else 0.02."""
    points: int = 20_000
    """Most points of a scene that a step looks at, drawn anew each step."""
    lr: float = 3e-3
    """Of AdamW, falling to 0, from scratch."""
    tuning_lr: float = 1e-3
    """The same for a pretrained encoder, whose head starts from a linear probe."""
    weight_decay: float = 1e-2
    """Of AdamW."""
    augment: AugmentConfig = AugmentConfig(crop="none", colour_drop=0.0, translation=0.0)

    def __post_init__(self) -> None:
        if self.points < 1 or not min(self.lr, self.tuning_lr) > 0 or self.weight_decay < 0:
            raise UserError(
                f"points {self.points}, lr {self.lr}, tuning_lr {self.tuning_lr}, weight_decay "
                f"{self.weight_decay}: expected at least 1, above 0, above 0, at least 0"
            )


class LabelledScenes:
    """Labelled scenes in batches: the data of :func:`tspcrep.common.training.fit`.

    An epoch shows each scene ``batch_size`` times. So every batch is full, and a step costs the
    same and its batch statistics rest on as many clouds, however few scenes are labelled.
    """

    def __init__(self, scenes: Scenes, batch_size: int):
        self.scenes, self.batch_size = scenes, batch_size

    def __len__(self) -> int:
        return len(self.scenes) * self.batch_size

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch([self.scenes[index % len(self.scenes)] for index in indices])


class Segmenter(nn.Module):
    """Encoder and linear head; a method for ``fit`` that minimises the points' cross-entropy.

    Parameters
    ----------
    encoder : a SparseUNet with 4 input channels: colour and a constant.
    classes : C.
    head : weight (C, dim) and bias (C,) of a linear probe of the encoder, which is then pretrained:
        it is tuned gently from there, at ``tuning_lr`` and with its batch normalisation as it is.
        Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022: a random head's first gradients undo what was learned, and
        statistics of one labelled scene are not those of the set.
    """

    def __init__(
        self,
        encoder: SparseUNet,
        classes: int,
        config: SegmentationConfig | None = None,
        head: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        super().__init__()
        check_encoder(encoder)
        self.config = config or SegmentationConfig()
        self.voxel = voxel_size(encoder, self.config.voxel)
        self.encoder, self.head = encoder, nn.Linear(encoder.dim, classes)
        self.pretrained = head is not None
        if head is not None:
            with torch.no_grad():
                for parameter, values in zip(self.head.parameters(), head, strict=True):
                    parameter.copy_(torch.as_tensor(values))

    def phases(self) -> list[Phase]:
        config = self.config
        lr = config.tuning_lr if self.pretrained else config.lr
        return [Phase("segment", list(self.parameters()), lr, weight_decay=config.weight_decay)]

    def train(self, mode: bool = True) -> "Segmenter":
        super().train(mode)
        if self.pretrained:
            self.encoder.eval()  # batch normalisation is all that tells the modes apart
        return self

    def loss(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        seed = int(torch.randint(1 << 31, ()))  # fit sets torch's state by (seed, step) alone
        clouds = [self._view(cloud, (seed, i)) for i, cloud in enumerate(batch.clouds)]
        device = self.head.weight.device
        x, point_to_voxel = network_input(clouds, self.voxel, device)
        label = torch.from_numpy(np.concatenate([c.label for c in clouds])).to(device)
        known = label >= 0
        scores = self.head(self.encoder(x).features)[point_to_voxel[known]]
        # No label in what was drawn: no gradient, and no 0 / 0.
        loss = cross_entropy(scores, label[known], reduction="sum") / max(int(known.sum()), 1)
        return {"loss": loss}

    def after_step(self) -> None:
        pass

    def predict(self, cloud: Cloud) -> np.ndarray:
        """Class (N,) int64 of each point."""
        features, point_to_voxel = encode(self.encoder, cloud, self.voxel)
        weight, bias = (p.detach().cpu().numpy() for p in (self.head.weight, self.head.bias))
        return (features @ weight.T + bias).argmax(1)[point_to_voxel]

    def _view(self, cloud: Cloud, seed: Sequence[int]) -> Cloud:
        if len(cloud) > self.config.points:
            cloud = cloud.take(_draw(cloud.label, self.config.points, np.random.default_rng(seed)))
        return augmented(cloud, self.config.augment, (*seed, 1))


def _draw(label: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Rows (count,) of points to look at: any, but where labels are few, all that have one."""
    known = np.flatnonzero(label >= 0)
    if 2 * len(known) >= count:
        return random.choice(len(label), count, replace=False)
    others = random.choice(np.flatnonzero(label < 0), count - len(known), replace=False)
    return np.concatenate([known, others])


def with_labels(scenes: Scenes, classes: Sequence[str] = ()) -> Scenes:
    """The scenes, each sure to have labels, and these within the classes.

    classes : names; those of the scenes by default, or else 0, 1, ... up to the largest label.

    Raises
    ------
    UserError
        A scene without labels or with one outside the classes, now or when it is read.
    """

    def check(cloud: Cloud) -> Cloud:
        if cloud.label is None:
            raise UserError(
                f"{cloud.name}: has no labels, expected a class for each point to learn or to "
                "score with; see pcrep.datasets.load_points for how a format keeps them"
            )
        if names and cloud.label.max() >= len(names):
            raise UserError(
                f"{cloud.name}: found label {cloud.label.max()}, expected 0 .. {len(names) - 1}, "
                "the classes of the scenes to learn from, or -1 for none"
            )
        return cloud

    names = tuple(classes) or scenes.classes
    if not names:
        bar = tqdm(scenes.map(check), desc="read labels", unit="scene", delay=2, leave=False)
        names = tuple(map(str, range(max(int(cloud.label.max()) for cloud in bar) + 1)))
    return replace(scenes.map(check), classes=names)


def choose_scenes(scenes: Scenes, count: int, seed: int) -> list[int]:
    """Indices of ``count`` scenes to label, drawn for a seed; sorted.

    The first is drawn from all, each further one from those that show a class which the chosen show
    least often. So two scenes of a set where no scene shows all classes show as many as two can;
    of one scene's classes alone a network cannot learn the others, and its mIoU says so.

    Raises
    ------
    UserError
        ``count`` is not between 1 and the number of scenes.
    """
    if not 1 <= count <= len(scenes):
        raise UserError(
            f"labelled scenes: found {count}, expected 1 .. {len(scenes)}, the scenes of "
            f"{scenes.name} with labels"
        )
    if count == len(scenes):
        return list(range(count))
    bar = tqdm(scenes, desc="read labels", unit="scene", delay=2, leave=False)
    shows = np.array(
        [np.bincount(c.label[c.label >= 0], minlength=len(scenes.classes)) > 0 for c in bar]
    )
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(scenes))]
    chosen = [order.pop(0)]
    while len(chosen) < count:
        seen = np.where(shows.any(0), shows[chosen].sum(0), len(scenes) + 1)
        rarest = seen == min(seen[shows[order].any(0)], default=0)
        best = next((i for i in order if (shows[i] & rarest).any()), order[0])
        order.remove(best)
        chosen.append(best)
    return sorted(chosen)


def with_few_labels(scenes: Scenes, fraction: float, seed: int) -> Scenes:
    """The scenes with the labels of a share of the labelled points, drawn for a seed, the rest -1.

    Of each class that a scene shows, at least one point keeps its label.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"labelled fraction: found {fraction}, expected more than 0, at most 1")

    def read(index: int) -> Cloud:
        cloud = scenes[index]
        random, label = np.random.default_rng((seed, index)), np.full(len(cloud), -1)
        for c in np.unique(cloud.label[cloud.label >= 0]):
            rows = np.flatnonzero(cloud.label == c)
            count = max(round(fraction * len(rows)), 1)
            label[random.choice(rows, count, replace=False)] = c
        return replace(cloud, label=label)

    return scenes if fraction == 1 else replace(scenes, read=read)


def save_segmenter(path: str | Path, segmenter: Segmenter, classes: Sequence[str]) -> None:
    """Write the weights of encoder and head, voxel size and names of classes: safetensors."""
    config = {
        "network": asdict(segmenter.encoder.config),
        "voxel": segmenter.voxel,
        "classes": list(classes),
    }
    weights.save_encoder(path, segmenter, Segmenter.__name__, config)


def load_segmenter(path: str | Path) -> tuple[Segmenter, tuple[str, ...]]:
    """What :func:`save_segmenter` wrote, on the CPU, in evaluation mode; and the classes' names.

    Raises
    ------
    UserError
        Nothing there, a damaged file, or something else than a segmenter.
    """
    kind, config, tensors = weights.read_encoder(path)
    if kind != Segmenter.__name__:
        raise UserError(f"{path}: holds a {kind}, expected a {Segmenter.__name__}")
    network = {n: tuple(v) if isinstance(v, list) else v for n, v in config["network"].items()}
    segmenter = Segmenter(
        SparseUNet(UNetConfig(**network)),
        len(config["classes"]),
        SegmentationConfig(voxel=config["voxel"]),
    )
    weights.load_into(segmenter, tensors, path)
    return segmenter.eval(), tuple(config["classes"])

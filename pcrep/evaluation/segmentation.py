"""Semantic segmentation from few labels: a linear head on a sparse U-Net, trained together.

The protocol is that of Contrastive Scene Contexts (Hou et al., CVPR 2021, section 4): labels for a
few scenes or for a fraction of the points, and the same network, steps and augmentation for
pretrained and for random weights. Departure: scenes are few, so the labelled ones are drawn anew
for each seed, see :func:`choose_scenes`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from pcrep.augment import AugmentConfig
from pcrep.cloud import Batch, Cloud, Scenes
from pcrep.encoders.encoding import (
    Levels,
    check_encoder,
    encode,
    network_input,
    read_out,
    voxel_size,
    width,
)
from pcrep.encoders.unet import SparseUNet, of_header
from pcrep.evaluation.heads import Head
from pcrep.evaluation.metrics import label_counts
from pcrep.evaluation.parts import views_of
from pcrep.evaluation.smoothing import smoothed, with_segments
from pcrep.preparation.planes import upright
from pcrep.sparse import SparseTensor
from tspcrep.common import weights
from tspcrep.common.distributed import ranks, total
from tspcrep.common.errors import UserError
from tspcrep.common.methods import Method, Phase
from tspcrep.common.modes import evaluating

SEGMENTER = "segmenter.safetensors"
"""File name of a trained segmenter in a run folder."""


@dataclass(frozen=True)
class SegmentationConfig:
    """Training options of a segmenter."""

    voxel: float | None = None
    """Voxel size, metres; by default that of the encoder's training, or else 0.02."""
    voxels: int = 20_000
    """Largest number of voxels per scene and step; of a larger scene, those around a labelled point
    that is drawn anew each step."""
    lr: float = 3e-3
    """Learning rate of AdamW when training from scratch, decaying to 0."""
    tuning_lr: float = 1e-3
    """Learning rate for a pretrained encoder, whose head starts from a linear probe."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW."""
    augment: AugmentConfig = AugmentConfig(crop="none", colour_drop=0.0, translation=0.0)

    def __post_init__(self) -> None:
        if self.voxels < 1 or not min(self.lr, self.tuning_lr) > 0 or self.weight_decay < 0:
            raise UserError(
                f"voxels {self.voxels}, lr {self.lr}, tuning_lr {self.tuning_lr}, weight_decay "
                f"{self.weight_decay}: expected at least 1, above 0, above 0, at least 0"
            )


class LabelledScenes:
    """Labelled scenes in batches: the data of :func:`tspcrep.common.training.fit`.

    An epoch shows each scene ``batch_size`` times, so that every batch is full: the cost of a step
    and the number of clouds in its batch statistics do not depend on how few scenes are labelled.

    batch_size : number of clouds in a step, those of all processes together.
    """

    def __init__(self, scenes: Scenes, batch_size: int):
        self.scenes, self.batch_size = scenes, batch_size

    def __len__(self) -> int:
        return len(self.scenes) * self.batch_size

    def fingerprint(self) -> str:
        return self.scenes.fingerprint()

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        return Batch([self.scenes[index % len(self.scenes)] for index in indices])


class Segmenter(Method):
    """Encoder and linear head; a method for ``fit`` that minimises the cross-entropy of points.

    Parameters
    ----------
    encoder : a SparseUNet whose channels are those of its ``inputs``.
    classes : number of classes C.
    head : a linear probe, given for a pretrained encoder. Training then starts from the probe and
        is ``careful``, at ``tuning_lr`` and with frozen batch statistics: the first gradients of a
        random head distort pretrained features (Kumar et al., "Fine-Tuning can Distort Pretrained
        Features and Underperform Out-of-Distribution", ICLR 2022), and the statistics of one
        labelled scene are not those of the data set.
    class_weight : (C,) weight of the points of each class in the loss, see :func:`class_weights`;
        1 by default.
    levels : features that the head reads, see :func:`pcrep.encoders.encoding.features_of`.
    smooth : average probabilities over the segments of a cloud.
    """

    class_weight: Tensor

    def __init__(
        self,
        encoder: SparseUNet,
        classes: int,
        config: SegmentationConfig | None = None,
        head: Head | None = None,
        class_weight: np.ndarray | None = None,
        levels: Levels = "both",
        smooth: bool = False,
    ):
        super().__init__()
        check_encoder(encoder)
        self.config = config or SegmentationConfig()
        self.voxel = voxel_size(encoder, self.config.voxel)
        self.upright = True  # as the scenes are that the tools train on
        self.numbers: tuple[int, ...] = ()  # of the classes in the files, see Scenes
        self.levels, self.smooth = levels, smooth
        self.encoder, self.head = encoder, nn.Linear(width(encoder, levels), classes)
        weight = torch.ones(classes) if class_weight is None else torch.as_tensor(class_weight)
        self.register_buffer("class_weight", weight.float(), persistent=False)
        self.careful = head is not None
        if head is not None:
            with torch.no_grad():
                self.head.weight.copy_(torch.as_tensor(head.weight))
                self.head.bias.copy_(torch.as_tensor(head.bias))

    def phases(self) -> list[Phase]:
        config = self.config
        lr = config.tuning_lr if self.careful else config.lr
        return [Phase("segment", list(self.parameters()), lr, weight_decay=config.weight_decay)]

    def train(self, mode: bool = True) -> "Segmenter":
        super().train(mode)
        if self.careful:
            self.encoder.eval()  # the modes differ in batch normalisation alone
        return self

    def loss(self, batch: Batch, phase: str) -> dict[str, Tensor]:
        clouds = views_of(batch, self.voxel, self.config.voxels, self.config.augment)
        device = self.head.weight.device
        x, point_to_voxel = network_input(clouds, self.voxel, device, self.encoder.inputs)
        label = torch.from_numpy(np.concatenate([c.known("label") for c in clouds])).to(device)
        known = label >= 0
        # Not ``[rows]``, whose gradient adds a voxel's points in the order of threads.
        scores = self.scores(x)
        scores, label = scores.index_select(0, point_to_voxel[known]), label[known]
        loss = cross_entropy(scores, label, self.class_weight, reduction="sum")
        # No label in what was drawn: no gradient, and no 0 / 0.
        weight = total(self.class_weight[label].sum()).clamp_min(1e-6)
        return {"loss": loss * ranks()[1] / weight}  # whose mean over processes is that of all

    def after_step(self) -> None:
        pass

    def predict(self, cloud: Cloud) -> np.ndarray:
        """Predicted class (N,) int64 of each point of a cloud as ``load_points`` reads it.

        It is turned upright first, and its height and normals are found where they are read; see
        :class:`pcrep.prediction.SegmentationPipeline` for large scans and for confidence.
        """
        return self.probabilities(cloud).argmax(1)

    def probabilities(self, cloud: Cloud) -> np.ndarray:
        """Probability (N, C) float32 of each class at each point; see :meth:`predict`."""
        cloud = self._turned(cloud)
        with evaluating(self), torch.inference_mode():
            device = self.head.weight.device
            x, rows = network_input([cloud], self.voxel, device, self.encoder.inputs)
            found = self.scores(x).float().softmax(1)[rows].cpu().numpy()
        return self._smoothed(found, cloud)

    def described(self, cloud: Cloud) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) of the points and their :meth:`probabilities`, in one pass."""
        cloud = self._turned(cloud)
        features, rows = encode(self.encoder, cloud, self.voxel, self.levels)
        with torch.inference_mode():
            scores = self.head(torch.from_numpy(features).to(self.head.weight))
        found = scores.float().softmax(1).cpu().numpy()
        return features[rows], self._smoothed(found[rows], cloud)

    def scores(self, x: SparseTensor) -> Tensor:
        """Scores (M, C) of the classes at voxels."""
        return read_out(self.encoder, x, self.head, self.levels)

    def _smoothed(self, found: np.ndarray, cloud: Cloud) -> np.ndarray:
        return smoothed(found, with_segments(cloud).known("segment")) if self.smooth else found

    def _turned(self, cloud: Cloud) -> Cloud:
        return upright(cloud) if self.upright else cloud


def class_weights(scenes: Scenes, balance: float) -> np.ndarray:
    """Weights (C,) of classes in a loss, proportional to n_c^-balance for n_c labelled points.

    Their mean over the labelled points is 1; classes without points have weight 1.
    """
    count = label_counts(scenes, len(scenes.classes)).sum(0)
    weight = np.maximum(count, 1) ** -float(balance)
    return np.where(count > 0, weight * count.sum() / max(weight @ count, 1e-30), 1.0)


def with_labels(scenes: Scenes, classes: Sequence[str] = ()) -> Scenes:
    """The scenes, checked to have labels within the classes when they are read.

    classes : names; by default those of the scenes, or else the numbers 0, 1, ... of the labels.

    Raises
    ------
    UserError
        A scene has no labels or one outside the classes.
    """

    names = tuple(classes) or scenes.classes
    if not names:
        checked = scenes.map(partial(_check_labels, names=()))
        bar = tqdm(checked, desc="read labels", unit="scene", delay=2, leave=False)
        found = sorted({int(n) for cloud in bar for n in np.unique(cloud.label) if n >= 0})
        if not found:
            raise UserError(
                f"{scenes.name}: found no labelled point, expected labels to learn from"
            )
        if found != list(range(len(found))):
            raise UserError(
                f"{scenes.name}: holds the labels {', '.join(map(str, found[:30]))}, expected "
                f"0 .. {len(found) - 1} and -1 for none; name all classes in classes.txt, say "
                "which class a label is with --label-map, or which is none with --ignore"
            )
        names = tuple(map(str, found))
    return replace(scenes.map(partial(_check_labels, names=names)), classes=names)


def _check_labels(cloud: Cloud, names: tuple[str, ...]) -> Cloud:
    """The cloud, if it has labels, and within ``names`` if there are any."""
    if cloud.label is None:
        raise UserError(
            f"{cloud.name}: has no labels, expected a class for each point to learn or to "
            "score with; see pcrep.datasets.load_points for how a format keeps them"
        )
    if names and cloud.label.max() >= len(names):
        raise UserError(
            f"{cloud.name}: found label {cloud.label.max()}, expected 0 .. {len(names) - 1}, "
            "the classes of the scenes to learn from, or -1 for none; name all classes in "
            "classes.txt, or put a scene that shows it among those to learn from"
        )
    return cloud


def choose_scenes(scenes: Scenes, count: int, seed: int) -> list[int]:
    """Sorted indices of ``count`` scenes to label, drawn for a seed.

    The first is drawn from all; each further one from those that show a class which the chosen
    scenes show least often. So few scenes cover as many classes as they can: a class that no
    labelled scene shows cannot be learned, and lowers mIoU.

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
    shows = label_counts(bar, len(scenes.classes)) > 0
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
    """The scenes with a random fraction of their labels, drawn for a seed; the rest become -1.

    At least one point per class and scene keeps its label.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"labelled fraction: found {fraction}, expected more than 0, at most 1")
    if fraction == 1:
        return scenes
    return replace(scenes, read=partial(_few_labels, scenes, fraction, seed))


def _few_labels(scenes: Scenes, fraction: float, seed: int, index: int) -> Cloud:
    cloud = scenes[index]
    random, label = np.random.default_rng((seed, index)), np.full(len(cloud), -1)
    known = cloud.known("label")
    for c in np.unique(known[known >= 0]):
        rows = np.flatnonzero(known == c)
        count = max(round(fraction * len(rows)), 1)
        label[random.choice(rows, count, replace=False)] = c
    return replace(cloud, label=label)


def save_segmenter(path: str | Path, segmenter: Segmenter, classes: Sequence[str]) -> None:
    """Save weights of encoder and head, and what a raw cloud needs, to a safetensors file.

    That is: whether it is turned upright, the voxel size, the inputs, the names of the classes and
    their numbers in the files that it learnt from.
    """
    config = {
        "network": asdict(segmenter.encoder.config),
        "voxel": segmenter.voxel,
        "inputs": segmenter.encoder.inputs,
        "upright": segmenter.upright,
        "levels": segmenter.levels,
        "smooth": segmenter.smooth,
        "classes": list(classes),
        "numbers": list(segmenter.numbers),
    }
    weights.save_encoder(path, segmenter, Segmenter.__name__, config)


def load_segmenter(path: str | Path) -> tuple[Segmenter, tuple[str, ...]]:
    """Load a file of :func:`save_segmenter`: the segmenter, in evaluation mode, and class names.

    Raises
    ------
    UserError
        The file is missing or damaged, or holds no segmenter.
    """
    kind, config, tensors = weights.read_encoder(path)
    if kind != Segmenter.__name__:
        raise UserError(f"{path}: holds a {kind}, expected a {Segmenter.__name__}")
    classes = weights.check_names(config.get("classes"), "classes", path)
    inputs = config.get("inputs", list(SparseUNet.inputs))  # version 0.1 reads colour
    inputs = weights.check_names(inputs, "inputs", path)

    def make() -> Segmenter:
        encoder = of_header(config["network"], len(tensors))
        encoder.inputs = inputs
        voxel = SegmentationConfig(voxel=float(config["voxel"]))
        levels, smooth = config.get("levels", "decoder"), bool(config.get("smooth", False))
        segmenter = Segmenter(encoder, len(classes), voxel, levels=levels, smooth=smooth)
        segmenter.upright = bool(config.get("upright", True))
        segmenter.numbers = tuple(map(int, config.get("numbers", ())))
        return segmenter

    return weights.build(make, tensors, path).eval(), classes

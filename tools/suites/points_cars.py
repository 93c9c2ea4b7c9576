"""Boxes around the cars of made streets, as a rotating laser scanner sees them, by three networks.

A head on the bird's-eye grid of frozen features, of the same untrained, and trained with the
network from scratch; beside them boxes around the clusters of points that a linear probe of the
frozen features calls cars.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev
from tempfile import TemporaryDirectory

import torch
from suites.table import Row

from pcrep.cloud import Cloud, Scenes, keep
from pcrep.encoders.encoding import untrained
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder
from pcrep.evaluation.birdseye import BirdsEye, box_scores, with_objects
from pcrep.evaluation.boxes import fit_boxes
from pcrep.evaluation.instances import find_objects
from pcrep.evaluation.segmentation import LabelledScenes, SegmentationConfig
from pcrep.procedural import Endless
from tspcrep.common.training import Training, fit
from tspcrep.tools import finetune_segmentation

CASE = "cars"
NAME = "points-aerial"
VOXEL = 0.4
SCENES = 8
"""Streets to learn from, and as many others to test on."""
TRAINING = Training(epochs=1_000, max_steps=120, batch_size=2, device="cpu")


def rows(seeds: tuple[int, ...]) -> Iterator[Row]:
    """Average precision of boxes at an IoU of 1/4 and 1/2, over seeds of the heads."""
    encoder = load_encoder(NAME)
    learn, test = (streets(seed, encoder.inputs) for seed in (0, 1))
    systems = {
        NAME: [_head(encoder, learn, test, seed, frozen=True) for seed in seeds],
        f"{NAME}-untrained": [
            _head(untrained(encoder, seed), learn, test, seed, frozen=True) for seed in seeds
        ],
        "scratch": [
            _head(untrained(encoder, seed), learn, test, seed, frozen=False) for seed in seeds
        ],
    }
    systems |= {f"{NAME}-{kind}": [found] for kind, found in _clusters(encoder, learn, test)}
    for system, each in systems.items():
        for metric in each[0]:
            values = [scores[metric] for scores in each]
            spread = pstdev(values) if len(values) > 1 else None
            told = "seeds of the head, of one set of scenes"
            yield Row(
                f"street/{CASE}", system, metric, fmean(values), "", spread, len(values), told
            )


def streets(seed: int, inputs: tuple[str, ...]) -> Scenes:
    scenes = replace(Endless("street", SCENES, seed).scenes(), things=("car",))
    return keep(with_objects(scenes.map(partial(completed, names=inputs)), "car"))


def _head(
    encoder: SparseUNet, learn: Scenes, test: Scenes, seed: int, frozen: bool
) -> dict[str, float]:
    torch.manual_seed(seed)
    detector = BirdsEye(encoder, voxel=VOXEL, frozen=frozen)
    with TemporaryDirectory() as folder:
        fit(detector, LabelledScenes(learn, TRAINING.batch_size), TRAINING, seed, folder)
    return box_scores(test, [detector.detect(cloud) for cloud in test])


def _clusters(
    encoder: SparseUNet, learn: Scenes, test: Scenes
) -> Iterator[tuple[str, dict[str, float]]]:
    """Boxes of :func:`pcrep.evaluation.instances.find_objects`, by kind."""
    config = finetune_segmentation.Config(
        data="streets", output=Path(), segmentation=SegmentationConfig(voxel=VOXEL)
    )
    segmenter = finetune_segmentation.frozen(config, encoder, 0, learn).eval()
    car = learn.classes.index("car")
    clouds: list[Cloud] = list(test)
    found = [find_objects(segmenter, replace(cloud, segment=None), [car]) for cloud in clouds]
    for kind in found[0]:
        boxes = [
            (fit_boxes(cloud.coords, one[kind].number), one[kind].score)
            for cloud, one in zip(clouds, found, strict=True)
        ]
        yield kind, box_scores(test, boxes)

"""Tune a pretrained encoder as far as folds of the labelled scenes say that it pays.

Tuning on one or two scenes easily forgets what pretraining knew of all others. So training starts
from a linear probe (Kumar et al., ICLR 2022), and the result lies on the line between the frozen
and the tuned weights, whose averages are often better than both ends on other data than those
tuned on (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Departure: the
place on the line is not fixed but chosen by cross-validation; its start, the frozen features with
their probe, is one of the choices.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pcrep.cloud import Scenes
from pcrep.evaluation.folds import folds, inside, outside
from pcrep.evaluation.metrics import confusion, mean_iou
from pcrep.evaluation.segmentation import LabelledScenes, Segmenter
from tspcrep.common.training import Training, fit

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places on the line from frozen (0) to tuned (1) weights."""


def tune(
    start: Callable[[Scenes], Segmenter],
    learn: Scenes,
    training: Training,
    seed: int,
    folder: str | Path | None = None,
    resume: bool = False,
) -> tuple[Segmenter, float, dict[float, float]]:
    """The segmenter, its share, and the mIoU over all folds of each of ``SHARES``.

    For each fold (:func:`pcrep.evaluation.folds.folds`) a segmenter is tuned on the other ones, and
    each of ``SHARES`` predicts the fold; points of classes that the others do not show are left
    out. The final one is tuned on all, at the share of the largest mIoU; of equals, and without
    folds that can be predicted, the smallest.

    start : makes a new segmenter with frozen encoder and probe, from scenes with labels.
    seed, folder, resume : of the training on all, as of :func:`tspcrep.common.training.fit`.
    """
    found = validate(start, learn, training, seed)
    share = max(found, key=found.get) if found else SHARES[0]
    frozen = start(learn)
    if share == 0:
        return frozen.eval(), share, found
    tuned = copy.deepcopy(frozen)
    fit(tuned, LabelledScenes(learn, training.batch_size), training, seed, folder, resume)
    return between(frozen, tuned, share).eval(), share, found


def validate(
    start: Callable[[Scenes], Segmenter], learn: Scenes, training: Training, seed: int
) -> dict[float, float]:
    """mIoU of each of ``SHARES`` over all folds."""
    fold, classes = folds(learn), len(learn.classes)
    matrices = np.zeros((len(SHARES), classes, classes), np.int64)
    numbers = np.unique(np.concatenate(fold))
    for k in tqdm(numbers, desc="cross-validate", unit="fold", delay=2, leave=False):
        rest, held = outside(learn, fold, k), inside(learn, fold, k)
        shown = np.unique(np.concatenate([cloud.label for cloud in rest])) if len(rest) else []
        shown = [c for c in shown if c >= 0]
        if len(shown) < 2 or not len(held):
            continue
        frozen = start(rest)
        tuned = copy.deepcopy(frozen)
        fit(tuned, LabelledScenes(rest, training.batch_size), training, seed, None)
        for matrix, share in zip(matrices, SHARES, strict=True):
            model = between(frozen, tuned, share)
            for cloud in held:
                known = np.where(np.isin(cloud.label, shown), cloud.label, -1)
                matrix += confusion(known, model.predict(cloud), classes)
    if not matrices.any():
        return {}
    return {share: mean_iou(m) for share, m in zip(SHARES, matrices, strict=True)}


def between(frozen: Segmenter, tuned: Segmenter, share: float) -> Segmenter:
    """A segmenter with weights (1 - share) frozen + share tuned."""
    mixed = copy.deepcopy(tuned)
    with torch.no_grad():
        for weight, old in zip(mixed.parameters(), frozen.parameters(), strict=True):
            weight.lerp_(old.to(weight.device), 1 - share)
    return mixed

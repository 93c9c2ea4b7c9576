"""Tune a pretrained encoder as far as folds of the labelled scenes say that it pays.

Tuning on one or two scenes easily forgets what pretraining knew of all others. So training starts
from a linear probe (Kumar et al., ICLR 2022), and the result lies on the line between the frozen
and the tuned weights, whose averages are often better than both ends on other data than those
tuned on (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022). Departure: the
place on the line is not fixed but chosen by cross-validation; its start, the frozen features with
their probe, is one of the choices. So is training from the same weights as if from scratch, with
batch statistics of the labelled scenes, which pays where these are unlike those of pretraining.

A network that was tuned on few scenes is too sure of itself, so each choice is judged at the
temperature that suits it best (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
section 4.2): what counts is which classes it holds for likely.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pcrep.cloud import Scenes
from pcrep.evaluation.folds import inside, outside, scene_folds
from pcrep.evaluation.segmentation import LabelledScenes, Segmenter
from tspcrep.common.distributed import from_first, launched_processes, launched_rank
from tspcrep.common.training import Training, fit

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Places on the line from frozen (0) to tuned (1) weights."""
FULL = "full"
"""The choice beside them: trained from the pretrained weights as if from scratch."""
_CHOICES: tuple[float | str, ...] = (*SHARES, FULL)
_TEMPERATURES = np.geomspace(0.5, 8, 13)


def tune(
    start: Callable[[Scenes], Segmenter],
    learn: Scenes,
    training: Training,
    seed: int,
    folder: str | Path | None = None,
    resume: bool = False,
) -> tuple[Segmenter, float | str, dict[float | str, float]]:
    """The segmenter, the choice among ``SHARES`` and ``FULL``, and the loss of each over all folds.

    For each fold of whole scenes segmenters are trained on the other ones, and each choice predicts
    the fold; points of classes that the others do not show are left out, and folds that then hold a
    single class. The final one is trained on all, by the choice of the least loss; of equals, and
    without a fold that is left, the first. So one scene, or two of unlike content, leave the
    features frozen. Of several processes the first one chooses.

    start : makes a new segmenter with frozen encoder and probe, from scenes with labels.
    seed, folder, resume : of the training on all, as of :func:`tspcrep.common.training.fit`.
    """
    found = validate(start, learn, training, seed)
    best = min(range(len(_CHOICES)), key=lambda n: found.get(_CHOICES[n], np.inf))
    choice = _CHOICES[int(from_first(best))]
    frozen = start(learn)
    if choice == 0:
        return frozen.eval(), choice, found
    trained = copy.deepcopy(frozen)
    trained.careful = choice != FULL
    fit(trained, _batches(learn, training), training, seed, folder, resume)
    if isinstance(choice, float):
        trained = between(frozen, trained, choice)
    return trained.eval(), choice, found


def validate(
    start: Callable[[Scenes], Segmenter], learn: Scenes, training: Training, seed: int
) -> dict[float | str, float]:
    """Loss of each of ``SHARES`` and of ``FULL`` over all folds, with the training's class weights.

    It is the cross-entropy at the best of some temperatures, one for all folds. Empty where no fold
    can be judged, and on all processes but the first.
    """
    fold = scene_folds(learn)
    losses, weight = np.zeros((len(_CHOICES), len(_TEMPERATURES))), 0.0
    numbers = np.unique(np.concatenate(fold))
    for k in tqdm(numbers, desc="cross-validate", unit="fold", delay=2, leave=False):
        rest, held = outside(learn, fold, k), inside(learn, fold, k)
        shown = sorted(
            {int(c) for cloud in rest for c in np.unique(cloud.known("label")) if c >= 0}
        )
        told = {int(c) for cloud in held for c in np.unique(cloud.known("label"))} & set(shown)
        if len(told) < 2:
            continue
        frozen = start(rest)
        tuned, full = copy.deepcopy(frozen), copy.deepcopy(frozen)
        full.careful = False
        for segmenter in (tuned, full):
            fit(segmenter, _batches(rest, training), training, seed, None)
        if launched_rank():  # a follower under torchrun trains along
            continue
        of_class = frozen.class_weight.numpy()
        models = [*(between(frozen, tuned, share) for share in SHARES), full]
        for cloud in held:
            known = np.isin(cloud.known("label"), shown)
            label = cloud.known("label")[known]
            weight += float(of_class[label].sum())
            losses += [
                _losses(model.probabilities(cloud)[known], label, of_class) for model in models
            ]
    if not weight:
        return {}
    return dict(zip(_CHOICES, (losses.min(1) / weight).tolist(), strict=True))


def _batches(scenes: Scenes, training: Training) -> LabelledScenes:
    return LabelledScenes(scenes, training.batch_size * launched_processes())


def _losses(probability: np.ndarray, label: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Sums over rows of the class's weight times the cross-entropy, one for each temperature."""
    score = np.log(np.maximum(probability, 1e-9))
    rows, weight = np.arange(len(label)), of_class[label]
    found = []
    for temperature in _TEMPERATURES:
        cooled = score / temperature
        of_row = np.log(np.exp(cooled).sum(1)) - cooled[rows, label]
        found.append(float((weight * of_row).sum()))
    return np.array(found)


def between(frozen: Segmenter, tuned: Segmenter, share: float) -> Segmenter:
    """A segmenter with weights (1 - share) frozen + share tuned."""
    mixed = copy.deepcopy(tuned)
    with torch.no_grad():
        for weight, old in zip(mixed.parameters(), frozen.parameters(), strict=True):
            weight.lerp_(old.to(weight.device), 1 - share)
    return mixed

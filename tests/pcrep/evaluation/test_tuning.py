"""Tuning lies between frozen and tuned weights, where folds say so."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pcrep.evaluation import tuning
from pcrep.evaluation.folds import folds, inside, outside
from pcrep.evaluation.scores import fit_probe, score
from pcrep.evaluation.segmentation import LabelledScenes, SegmentationConfig, Segmenter
from pcrep.evaluation.tuning import FULL, SHARES, between, tune, validate
from tests.pcrep.made_scenes import made_scenes
from tests.pcrep.networks import tiny
from tspcrep.common.training import Training, fit

CONFIG = SegmentationConfig(voxel=0.04, voxels=150, tuning_lr=0.01)
TEMPERATURES = 2 ** np.linspace(-1, 3, 13)
TRAINING = Training(epochs=1000, batch_size=2, device="cpu", max_steps=6)


def start(encoder, scenes):
    head = fit_probe(encoder, scenes, 0.04)
    return Segmenter(copy.deepcopy(encoder), 3, CONFIG, head)


def test_weights_lie_on_a_line():
    a, b = (Segmenter(tiny(seed), 3, CONFIG) for seed in (1, 2))
    for share in (0.0, 0.25, 1.0):
        mixed = between(a, b, share).state_dict()
        for name, parameter in a.named_parameters():
            expected = (1 - share) * parameter + share * b.get_parameter(name)
            torch.testing.assert_close(mixed[name], expected)


def test_each_share_is_validated_on_what_was_left_out():
    scenes, encoder = made_scenes(((1, 2),) * 3), tiny(3).eval()
    make = partial(start, encoder)
    found = validate(make, scenes, TRAINING, 4)
    assert list(found) == [*SHARES, FULL]
    fold = folds(scenes)
    losses = {0.0: [], 1.0: [], FULL: []}
    for k in range(3):
        rest, held = outside(scenes, fold, k), inside(scenes, fold, k)
        models = {choice: make(rest) for choice in losses}
        models[FULL].careful = False
        for choice in (1.0, FULL):
            fit(models[choice], LabelledScenes(rest, 2), TRAINING, 4, None)
        for choice, model in models.items():
            score = torch.from_numpy(model.probabilities(held[0])).log()
            label = torch.from_numpy(held[0].label)
            losses[choice].append([F.cross_entropy(score / t, label).item() for t in TEMPERATURES])
    for choice, terms in losses.items():  # without class weights each point counts alike
        assert found[choice] == pytest.approx(np.mean(terms, 0).min(), rel=1e-3)
    assert len({round(value, 6) for value in found.values()}) > 3


def test_who_is_too_sure_of_itself_is_judged_by_what_it_holds_for_likely():
    """Sharper probabilities have another loss as they are, and the same at the best temperature."""
    rng = np.random.default_rng(0)
    score, label = rng.normal(size=(500, 3)), rng.integers(3, size=500)
    score[np.arange(500), label] += 1.0
    weight, found = np.array([1.0, 2.0, 0.5]), []
    for sharper in (1, 2):
        probability = np.exp(sharper * score) / np.exp(sharper * score).sum(1, keepdims=True)
        found.append(tuning._losses(probability, label, weight))
        for temperature, loss in zip(TEMPERATURES, found[-1], strict=True):
            logits = torch.from_numpy(sharper * score / temperature)
            expected = F.cross_entropy(
                logits, torch.from_numpy(label), torch.from_numpy(weight), reduction="sum"
            )
            assert loss == pytest.approx(expected.item(), rel=1e-6)
    assert found[1][3] > 1.1 * found[0][3]  # as they are
    assert min(found[1]) == pytest.approx(min(found[0]))


@pytest.mark.parametrize("best", [0.0, 0.5, 1.0])
def test_the_best_share_is_taken(monkeypatch, best):
    scenes, encoder = made_scenes(((1, 2),) * 2), tiny(3).eval()
    make = partial(start, encoder)
    monkeypatch.setattr(
        tuning, "validate", lambda *given: {s: 0.5 if s == best else 1.0 for s in SHARES}
    )
    found, share, _ = tune(make, scenes, TRAINING, 4)
    assert share == best
    frozen, tuned = make(scenes), make(scenes)
    fit(tuned, LabelledScenes(scenes, 2), TRAINING, 4, None)
    expected = between(frozen, tuned, best).state_dict()
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)


def test_full_training_is_that_of_a_network_from_scratch_which_starts_pretrained(monkeypatch):
    scenes, encoder = made_scenes(((1, 2),) * 2), tiny(3).eval()
    make = partial(start, encoder)
    monkeypatch.setattr(tuning, "validate", lambda *given: {0.0: 1.0, FULL: 0.5})
    found, choice, _ = tune(make, scenes, TRAINING, 4)
    assert choice == FULL
    expected = Segmenter(copy.deepcopy(encoder), 3, CONFIG)  # no head: as from scratch
    expected.head.load_state_dict(make(scenes).head.state_dict())
    fit(expected, LabelledScenes(scenes, 2), TRAINING, 4, None)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], msg=name)


@pytest.mark.parametrize("objects", [((1, 2),), ((1,), (2,))])
def test_scenes_that_tell_nothing_of_each_other_leave_the_features_frozen(objects):
    """One scene, or two that share the floor alone."""
    scenes, encoder = made_scenes(objects), tiny(3).eval()
    _, share, validation = tune(partial(start, encoder), scenes, TRAINING, 0)
    assert share == 0 and validation == {}


def test_one_label_of_each_class_leaves_the_features_frozen():
    """No fold can be predicted: nothing says that tuning pays."""
    (cloud,) = made_scenes(((1, 2),))
    rows = [np.flatnonzero(cloud.label == c)[0] for c in range(3)]
    label = np.full(len(cloud), -1)
    label[rows] = cloud.label[rows]
    from dataclasses import replace

    few = made_scenes(((1, 2),)).map(lambda c: replace(c, label=label))
    encoder = tiny(3).eval()
    found, share, validation = tune(partial(start, encoder), few, TRAINING, 0)
    assert share == 0 and validation == {}
    for name, parameter in encoder.named_parameters():
        assert torch.equal(found.encoder.get_parameter(name), parameter)
    assert score(few, found.predict)["miou"] == 1

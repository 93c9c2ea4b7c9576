"""Few labels: which scenes and points, what a step minimises, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from pcrep import SparseUNet, load_encoder, save_encoder
from pcrep.cloud import Batch, Scenes, keep
from pcrep.encoders.encoding import encode
from pcrep.evaluation.scores import fit_probe, score
from pcrep.evaluation.segmentation import (
    LabelledScenes,
    SegmentationConfig,
    Segmenter,
    choose_scenes,
    load_segmenter,
    save_segmenter,
    with_few_labels,
    with_labels,
)
from tests.pcrep.augmentation import only
from tests.pcrep.made_scenes import CLASSES, made_scene, made_scenes
from tests.pcrep.networks import tiny
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit

CONFIG = SegmentationConfig(voxel=0.04, voxels=100, lr=0.02)


def training(**changes):
    return Training(**({"epochs": 1000, "batch_size": 2, "device": "cpu"} | changes))


def test_the_loss_is_the_mean_cross_entropy_of_labelled_points():
    """Without augmentation, against a loop over points in float64."""
    clouds = [made_scene(0), made_scene(1)]
    clouds[1] = replace(clouds[1], label=np.where(np.arange(len(clouds[1])) % 3, -1, 2))
    config = replace(CONFIG, voxels=10_000, augment=only())
    method = Segmenter(tiny(), 3, config).eval()  # evaluation mode: no cloud sees the other
    found = method.loss(Batch(clouds), "segment")["loss"].item()
    terms = []
    for cloud in clouds:
        features, point_to_voxel = encode(method.encoder, cloud, 0.04)
        scores = log_softmax(
            torch.from_numpy(features).double() @ method.head.weight.double().T
            + method.head.bias.double(),
            1,
        )
        for point, label in enumerate(cloud.label):
            if label >= 0:
                terms.append(-scores[point_to_voxel[point], label].item())
    assert found == pytest.approx(np.mean(terms), rel=1e-4)


def test_a_step_without_labels_has_no_gradient():
    cloud = replace(made_scene(0), label=np.full(600, -1))
    method = Segmenter(tiny(), 3, CONFIG)
    loss = method.loss(Batch([cloud]), "segment")["loss"]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in method.parameters())


def test_no_step_misses_the_only_label():
    cloud, method = made_scene(0), Segmenter(tiny(), 3, replace(CONFIG, voxels=30))
    one = replace(cloud, label=np.where(np.arange(600) == 444, cloud.label, -1))
    torch.manual_seed(0)
    losses = [method.loss(Batch([one]), "segment")["loss"].item() for _ in range(20)]
    assert min(losses) > 0 and len(set(losses)) == 20


def test_views_follow_torchs_seed_alone():
    method, batch = Segmenter(tiny(), 3, CONFIG), Batch([made_scene(0)] * 2)
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(method.loss(batch, "segment")["loss"].item())
    assert losses[0] == losses[1] != losses[2]


def test_it_learns_and_a_resumed_run_ends_with_the_same_bits(tmp_path):
    scenes = made_scenes(((1, 2),) * 3)
    data = LabelledScenes(scenes.subset([0, 1]), 2)

    def run(folder, steps, resume=False):
        torch.manual_seed(0)
        method = Segmenter(tiny(), 3, CONFIG)
        options = training(max_steps=steps, checkpoint_every=7, schedule="constant")
        fit(method, data, options, 0, tmp_path / folder, resume)
        return method

    whole = run("whole", 40)
    run("halves", 17)  # a constant rate, so that the first steps do not depend on the last
    resumed = run("halves", 40, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    untrained = score(scenes.subset([2]), Segmenter(tiny(), 3, CONFIG).predict)["miou"]
    assert score(scenes.subset([2]), whole.predict)["miou"] > max(0.5, untrained + 0.2)


def test_a_pretrained_encoder_starts_from_its_probe_and_keeps_its_statistics():
    scenes, encoder = made_scenes(((1, 2),) * 2), tiny().eval()
    probe = fit_probe(encoder, scenes, 0.04)
    method = Segmenter(encoder, 3, CONFIG, probe)
    features, point_to_voxel = encode(encoder, scenes[0], 0.04)
    expected = probe.predict(features)[point_to_voxel]
    assert np.mean(method.predict(scenes[0]) == expected) > 0.99  # float32 may tip a tie
    before = {n: b.clone() for n, b in encoder.named_buffers()}
    weights = [p.detach().clone() for p in encoder.parameters()]
    fit(method, LabelledScenes(scenes, 2), training(max_steps=2), 0, None)
    for name, value in encoder.named_buffers():
        assert torch.equal(value, before[name]), name
    pairs = zip(weights, encoder.parameters(), strict=True)
    moved = max(float((a - b).abs().max().detach()) for a, b in pairs)
    assert 0 < moved < 3 * CONFIG.tuning_lr  # two steps of AdamW at the lower rate


def test_batches_are_full_however_few_scenes():
    scenes = made_scenes(((1,), (2,), ()))
    for count in (1, 2, 3):
        data = LabelledScenes(scenes.subset(range(count)), 4)
        assert len(data) == 4 * count
        names = [c.name for c in data.__getitems__(range(len(data))).clouds]
        assert sorted(names) == sorted(f"made {i}" for i in range(count) for _ in range(4))


def test_labelled_scenes_show_the_classes_that_are_missing():
    scenes = made_scenes(((1,),) * 6 + ((2,),) * 2 + ((),) * 2, points=20)
    for seed in range(20):
        pair = choose_scenes(scenes, 2, seed)
        shown = {c for i in pair for c in np.unique(scenes[i].label)}
        four = choose_scenes(scenes, 4, seed)
        assert len(set(four)) == 4 and set(pair) <= set(four) and four == sorted(four)
        if 8 not in pair and 9 not in pair:
            assert shown == {0, 1, 2}
        assert {c for i in four for c in np.unique(scenes[i].label)} == {0, 1, 2}
    assert choose_scenes(scenes, 10, 0) == list(range(10))
    firsts = {choose_scenes(scenes, 1, seed)[0] for seed in range(60)}
    assert len(firsts) > 6
    for count in (0, 11):
        with pytest.raises(UserError, match=f"found {count}, expected 1 .. 10"):
            choose_scenes(scenes, count, 0)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5])
def test_a_share_of_the_points_keeps_its_label(fraction):
    scenes = made_scenes(((1, 2), (2,)))
    few = with_few_labels(scenes, fraction, 5)
    for index in range(2):
        truth, label = scenes[index].label, few[index].label
        known = label >= 0
        assert np.array_equal(label[known], truth[known])
        for c, count in zip(*np.unique(truth, return_counts=True), strict=True):
            assert (label == c).sum() == max(round(fraction * count), 1)
        assert np.array_equal(label, few[index].label)
    other = with_few_labels(scenes, fraction, 6)
    assert not np.array_equal(other[0].label, few[0].label)


def test_the_share_of_points_must_be_one():
    scenes = made_scenes(((1,),))
    assert with_few_labels(scenes, 1.0, 0)[0].label.min() == 0
    for fraction in (0.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="labelled fraction: found"):
            with_few_labels(scenes, fraction, 0)


def test_labels_are_within_the_classes():
    scenes = replace(made_scenes(((1,), (2,))), classes=())
    assert with_labels(scenes).classes == ("0", "1", "2")
    assert with_labels(scenes, CLASSES).classes == CLASSES
    with pytest.raises(UserError, match=r"made 1: found label 2, expected 0 \.\. 1"):
        list(with_labels(scenes, ("floor", "box")))
    with pytest.raises(UserError, match="has no labels"):
        with_labels(scenes.map(lambda cloud: replace(cloud, label=None)))


def test_kept_scenes_are_read_once_while_they_fit():
    reads = []

    def read(index):
        reads.append(index)
        return made_scene(index, points=20)  # 40 points

    scenes = keep(Scenes("made", ("a", "b", "c"), read), most=80)
    for _ in range(2):
        assert [len(cloud) for cloud in scenes] == [40, 40, 40]
    assert reads == [0, 1, 2, 2]


def test_a_segmenter_and_an_encoder_know_their_voxels(tmp_path):
    cloud, path = made_scene(0), tmp_path / "segmenter.safetensors"
    method = Segmenter(tiny(), 3, CONFIG)
    save_segmenter(path, method, CLASSES)
    loaded, classes = load_segmenter(path)
    assert classes == CLASSES and loaded.voxel == 0.04 and not loaded.training
    assert np.array_equal(loaded.predict(cloud), method.predict(cloud))

    encoder = tiny()
    encoder.voxel = 0.03
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    known = load_encoder(tmp_path)
    assert known.voxel == 0.03 and Segmenter(known, 3).voxel == 0.03
    assert Segmenter(known, 3, CONFIG).voxel == 0.04 and Segmenter(tiny(), 3).voxel == 0.02
    with pytest.raises(UserError, match="holds a SparseUNet, expected a Segmenter"):
        load_segmenter(tmp_path)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(UserError, match="reads 3 channels"):
        Segmenter(SparseUNet(), 3)
    with pytest.raises(UserError, match="lr 0"):
        SegmentationConfig(lr=0)
    with pytest.raises(UserError, match="voxel: found -1"):
        Segmenter(tiny(), 3, SegmentationConfig(voxel=-1.0))

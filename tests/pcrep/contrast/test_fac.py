"""FAC against loops over points of its definition, and what it may depend on."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from pcrep import SparseUNet
from pcrep.cloud import Batch, Scenes
from pcrep.contrast.anchors import draw_anchors, draw_background
from pcrep.contrast.fac import (
    FAC,
    FACConfig,
    _draw,
    _feature_contrast,
    _regional_contrast,
    _soft_top_k,
)
from pcrep.contrast.objective import PretrainingConfig, SceneBatches
from pcrep.contrast.views import ViewConfig, draw_views
from tests.pcrep.augmentation import only
from tests.pcrep.networks import SMALL
from tests.pcrep.segmented import segmented
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit

CONFIG = PretrainingConfig(dim=8, views=ViewConfig(voxel=0.05))
OWN = FACConfig(anchor_segments=4, anchor_points=3, least_voxels=2, top_k=5, momentum=0.9)
CLOUDS = tuple(segmented(seed) for seed in range(4))


def made(fac=OWN, config=CONFIG, seed=0):
    torch.manual_seed(seed)
    return FAC(SparseUNet(SMALL), config, fac)


def rows(count, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, dtype=torch.float64, generator=generator), dim=-1)


def cosines(a, b):
    return [[sum(x * y for x, y in zip(u, v, strict=True)) for v in b] for u in a]


def test_regional_contrast_equals_a_loop():
    anchors, keys = rows(7), rows(11, seed=1)
    segment = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    key_segment = torch.tensor([0, 0, 0, 1, 2, 2, 5, 5, 6, 6, 7])
    s = cosines(anchors.tolist(), keys.tolist())
    losses = []
    for i, own in enumerate(segment.tolist()):
        negatives = sum(math.exp(s[i][j] / 0.3) for j in range(11) if key_segment[j] != own)
        positives = [math.exp(s[i][j] / 0.3) for j in range(11) if key_segment[j] == own]
        losses.append(sum(-math.log(p / (p + negatives)) for p in positives) / len(positives))
    found = _regional_contrast(anchors, keys, segment, key_segment, 0.3)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_more_points_of_a_segment_are_never_negatives():
    """Doubling every key of the anchor's segment changes nothing; doubling the others does."""
    anchors, keys = rows(3), rows(6, seed=1)
    segment, key_segment = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1, 1, 2, 2])
    once = _regional_contrast(anchors, keys, segment, key_segment, 0.2)
    for chosen, same in ((key_segment == 0, True), (key_segment > 0, False)):
        more = torch.cat([keys, keys[chosen]]), torch.cat([key_segment, key_segment[chosen]])
        twice = _regional_contrast(anchors, more[0], segment, more[1], 0.2)
        assert (abs(twice - once) < 1e-12) == same


def test_anchors_without_negatives_are_left_out():
    anchors, keys = rows(2), rows(2, seed=1)
    same = torch.tensor([3, 3])
    assert _regional_contrast(anchors, keys, same, same, 0.1) == 0


@pytest.mark.parametrize("neighbours", [1, 3, 50])
def test_feature_contrast_equals_a_loop(neighbours):
    anchors, keys, background = rows(5), rows(5, seed=1), rows(4, seed=2)
    pool = torch.cat([anchors, keys])
    row = torch.tensor([4, 9, 9, 2, 7])  # the second and third anchor are one voxel
    pool_row = torch.cat([row, torch.full((5,), -1)])
    s, push = cosines(anchors.tolist(), pool.tolist()), cosines(anchors.tolist(), background)
    k = min(neighbours, 8)  # the fewest that any anchor has beside itself
    losses = []
    for i in range(5):
        others = [s[i][j] for j in range(10) if pool_row[j] != row[i]]
        negatives = sum(math.exp(x / 0.3) for x in push[i])
        for x in sorted(others, reverse=True)[:k]:
            losses.append(-math.log(math.exp(x / 0.3) / (math.exp(x / 0.3) + negatives)) / k / 5)
    found = _feature_contrast(anchors, pool, (row, pool_row), background, neighbours, 0.3)
    assert found.item() == pytest.approx(sum(losses), rel=1e-12)


def test_a_soft_choice_becomes_the_hard_one():
    anchors, background = rows(6), rows(4, seed=2)
    pool = torch.cat([anchors, rows(9, seed=1)])
    row = torch.arange(6)
    pairs = row, torch.cat([row, torch.full((9,), -1)])
    hard = _feature_contrast(anchors, pool, pairs, background, 4, 0.2)
    soft = _feature_contrast(anchors, pool, pairs, background, 4, 0.2, softness=1e-5)
    assert soft.item() == pytest.approx(hard.item(), rel=1e-5)


def test_soft_top_k_sums_to_k_and_has_the_gradient_of_its_definition():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 9, dtype=torch.float64, generator=generator, requires_grad=True)
    weights = _soft_top_k(scores, 4, 0.3)
    torch.testing.assert_close(weights.sum(1), torch.full((3,), 4.0, dtype=torch.float64))
    assert torch.equal(weights.argsort(), scores.argsort())
    assert torch.autograd.gradcheck(lambda s: _soft_top_k(s, 4, 0.3), scores)
    sharp = _soft_top_k(scores.detach(), 4, 1e-4)
    assert torch.equal(sharp > 0.5, scores >= scores.topk(4).values[:, -1:])
    with pytest.raises(ValueError, match="k is 10"):
        _soft_top_k(scores, 10, 0.3)


def test_anchors_come_from_usable_segments_in_proportion_to_their_weights():
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    weights = torch.zeros(views.offsets[-1], dtype=torch.float64)
    weights[4], weights[5], weights[12] = 3.0, 1.0, 1.0  # 12: the second scene's only one
    torch.manual_seed(0)
    drawn = draw_anchors(views, weights, draws=4000, points=2, least=2)
    share = (drawn.segment[drawn.scene == 0] == 4).double().mean()
    assert share.item() == pytest.approx(0.75, abs=0.03)
    assert set(drawn.segment[drawn.scene == 0].tolist()) == {4, 5}
    assert set(drawn.segment[drawn.scene == 1].tolist()) == {12}
    for found, view in ((drawn.a, views.a), (drawn.b, views.b)):
        segment = views.segment[view.first[found]]
        assert torch.equal(segment, drawn.segment[:, None].expand(-1, 2))
        for chosen in (4, 12):  # every voxel of a segment is drawn
            everywhere = (views.segment[view.first] == chosen).nonzero()[:, 0]
            assert set(found[drawn.segment == chosen].flatten().tolist()) == set(
                everywhere.tolist()
            )


def test_segments_that_are_small_in_either_view_are_dropped():
    views = draw_views(CLOUDS[:1], CONFIG.views, seed=2)
    counts = [
        torch.bincount(s[s >= 0], minlength=views.offsets[-1])
        for s in (views.segment[v.first] for v in (views.a, views.b))
    ]
    least = int(torch.minimum(*counts).median()) + 1
    expected = {i for i in range(views.offsets[-1]) if min(counts[0][i], counts[1][i]) >= least}
    drawn = draw_anchors(views, torch.ones(views.offsets[-1]), 500, 1, least)
    assert set(drawn.segment.tolist()) == expected != set()
    nobody = draw_anchors(views, torch.ones(views.offsets[-1]), 500, 1, 10_000)
    assert len(nobody.segment) == 0 and nobody.a.shape == (0, 1)


def test_background_is_drawn_scene_by_scene():
    voxels, scene = torch.tensor([10, 11, 12, 20]), torch.tensor([0, 0, 0, 2])
    found = draw_background(voxels, scene, torch.tensor([50, 5, 3]))
    assert set(found[:50].tolist()) == {10, 11, 12}
    assert found[50:].tolist() == [20, 20, 20]


def test_what_a_step_contrasts():
    """Anchors on objects; as much background as anchors, none of it on objects or unsegmented."""
    views = draw_views(CLOUDS, CONFIG.views, seed=0)
    sample = _draw(views, OWN)
    assert len(sample.anchors) == len(sample.keys) == 4 * OWN.anchor_segments * OWN.anchor_points
    assert len(sample.background_a) == len(sample.background_b) == len(sample.anchors)
    label = torch.from_numpy(np.concatenate([cloud.label for cloud in views.clouds]))
    assert (label[views.a.first[sample.anchors]] > 0).all()
    assert (label[views.b.first[sample.keys]] > 0).all()
    assert torch.equal(views.segment[views.b.first[sample.keys]], sample.segment)
    for view, voxels in ((views.a, sample.background_a), (views.b, sample.background_b)):
        points = view.first[voxels]
        assert (label[points] == 0).all() and (views.segment[points] >= 0).all()
    assert sample.foreground.all()
    everywhere = _draw(views, replace(OWN, sampler="random", anchor_segments=100))
    share = (label[views.a.first[everywhere.anchors]] > 0).double().mean()
    assert share.item() == pytest.approx((label > 0).double().mean().item(), abs=0.12)
    assert torch.equal(everywhere.foreground, label[views.a.first[everywhere.anchors]] > 0)


def expected_loss(method, views, sample):
    """Both losses of a step from the features alone, in float64."""
    fac = method.fac
    d = [method.query(views.a.input).double(), method.key.encoder(views.b.input).double()]
    f = [method.correspondence.double()(x) for x in d]
    method.correspondence.float()
    d, f = ([normalize(x, dim=-1) for x in pair] for pair in (d, f))
    keys = torch.cat([sample.keys, sample.background_b])
    key_segment = torch.cat([sample.segment, sample.background_segment])
    regional = feature = 0.0
    count = len(sample.anchors)
    for i in range(count):
        s = torch.exp(d[1][keys] @ d[0][sample.anchors[i]] / fac.temperature)
        own = key_segment == sample.segment[i]
        regional += -torch.log(s[own] / (s[own] + s[~own].sum())).mean() / count
        me = f[0][sample.anchors[i]]
        other = sample.anchors[sample.anchors != sample.anchors[i]]
        pool = torch.cat([f[0][other], f[1][sample.keys]])
        negative = torch.cat([f[0][sample.background_a], f[1][sample.background_b]])
        p = torch.exp((pool @ me).topk(fac.top_k).values / fac.temperature)
        n = torch.exp(negative @ me / fac.temperature).sum()
        feature += -torch.log(p / (p + n)).mean() / count
    return regional, feature


def test_a_step_equals_a_loop_over_its_anchors():
    method = made(replace(OWN, regional_weight=0.7, feature_weight=0.4)).eval()
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    torch.manual_seed(5)
    found = method.contrast(views)
    torch.manual_seed(5)
    with torch.no_grad():
        regional, feature = expected_loss(method, views, _draw(views, method.fac))
    assert found["regional"].item() == pytest.approx(regional.item(), rel=1e-4)
    assert found["feature"].item() == pytest.approx(feature.item(), rel=1e-4)
    total = 0.7 * found["regional"] + 0.4 * found["feature"]
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-6)


def test_the_key_has_no_gradient_and_follows_by_moving_average():
    method = made()
    torch.manual_seed(0)
    method.loss(Batch(CLOUDS[:2]), "encoder")["loss"].backward()
    assert all(p.grad is None for p in method.key.parameters())
    trained = [*method.query.parameters(), *method.correspondence.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert list(map(id, method.phases()[0].parameters)) == list(map(id, trained))
    before = copy.deepcopy(method.key.encoder)
    with torch.no_grad():
        for p in method.query.parameters():
            p.add_(torch.randn_like(p))
    method.after_step()
    pairs = zip(
        before.parameters(),
        method.query.parameters(),
        method.key.encoder.parameters(),
        strict=True,
    )
    for old, query, key in pairs:
        torch.testing.assert_close(key, 0.9 * old + 0.1 * query)


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({"sampler": "random"}, {"regional", "feature"}),
        ({"regional_weight": 0.0}, {"feature"}),
        ({"feature_weight": 0.0}, {"regional"}),
        ({"correspondence": "none"}, {"regional", "feature"}),
        ({"momentum": 0.0}, {"regional", "feature"}),
        ({"softness": 0.1}, {"regional", "feature"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_ablations_train(changes, losses):
    method = made(replace(OWN, **changes))
    found = method.loss(Batch(CLOUDS[:2]), "encoder")
    assert set(found) == losses | {"loss"}
    assert found["loss"].item() == pytest.approx(sum(found[n].item() for n in losses), rel=1e-6)
    found["loss"].backward()
    grad = [p.grad for p in method.correspondence.parameters()]
    assert all((g is not None) == ("feature" in losses) for g in grad)
    assert bool(grad) == (changes.get("correspondence") != "none")
    method.after_step()
    same = all(
        torch.equal(k, q)
        for k, q in zip(method.key.encoder.parameters(), method.query.parameters(), strict=True)
    )
    assert same  # no step was taken, so the average is the query whatever its momentum


def test_the_order_of_scenes_and_of_points_does_not_matter():
    """With views that change nothing and every voxel drawn often, only the draws differ."""
    config = replace(CONFIG, views=replace(CONFIG.views, augment=only()))
    method = made(replace(OWN, anchor_segments=60, anchor_points=20, top_k=200), config).eval()
    order = np.random.default_rng(0).permutation(len(CLOUDS[0]))
    shuffled = CLOUDS[0].take(np.concatenate([[0], order[order > 0]]))  # the origin stays
    found = []
    for clouds in (CLOUDS[:2], CLOUDS[1::-1], (shuffled, CLOUDS[1])):
        torch.manual_seed(0)
        found.append(method.loss(Batch(clouds), "encoder"))
    for name in ("regional", "feature"):
        values = [losses[name].item() for losses in found]
        assert values == pytest.approx([values[0]] * 3, rel=0.03)


def scenes(clouds):
    return Scenes("made", tuple(c.name for c in clouds), lambda index: clouds[index])


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    data = SceneBatches(scenes(CLOUDS), CONFIG.views.voxel)

    def train(steps, folder, resume=False):
        method = made()
        training = Training(
            epochs=9, max_steps=steps, batch_size=2, device="cpu", schedule="constant"
        )
        fit(method, data, training, 3, folder, resume)
        return method.state_dict()

    whole = train(5, tmp_path / "whole")
    train(3, tmp_path / "killed")
    torch.rand(7)
    resumed = train(5, tmp_path / "killed", resume=True)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    line = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"encoder/loss", "encoder/regional", "encoder/feature"} <= line.keys()


def test_scenes_without_foreground_are_left_out_with_a_warning():
    flat = replace(CLOUDS[1], objectness=np.zeros(8, np.float32), name="flat")
    with pytest.warns(UserWarning, match="1 of 3 scenes have no foreground .*: flat"):
        data = SceneBatches(scenes((CLOUDS[0], flat, CLOUDS[2])), 0.05)
    assert len(data) == 2
    assert [c.name for c in data.__getitems__([0, 1]).clouds] == ["made 0", "made 2"]
    with pytest.raises(UserError, match="no foreground in any of 1 scenes"):
        SceneBatches(scenes((flat,)), 0.05)


def test_crops_without_a_common_segment_are_a_step_of_no_loss():
    method = made(replace(OWN, least_voxels=10_000))
    found = method.loss(Batch(CLOUDS[:2]), "encoder")["loss"]
    assert found == 0
    found.backward()


@pytest.mark.parametrize(
    "changes",
    [
        {"anchor_segments": 0},
        {"top_k": 0},
        {"temperature": 0.0},
        {"momentum": 1.5},
        {"softness": -1.0},
        {"regional_weight": 0.0, "feature_weight": 0.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_options_out_of_range(changes):
    with pytest.raises(UserError, match="expected"):
        FACConfig(**changes)


def test_an_encoder_of_other_inputs_is_refused():
    with pytest.raises(UserError, match="reads 3 channels"):
        FAC(SparseUNet(replace(SMALL, in_channels=3)))

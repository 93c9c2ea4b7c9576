"""The rivals' objectives against loops of their definitions."""

import copy
import math

import pytest
import torch
from torch.nn.functional import normalize

from pcrep import SparseUNet
from pcrep.cloud import Batch, Scenes
from pcrep.contrast import OBJECTIVES
from pcrep.contrast.both import FACAndDistillation
from pcrep.contrast.fac import FAC
from pcrep.contrast.objective import PretrainingConfig, SceneBatches
from pcrep.contrast.pointcontrast import PointContrast
from pcrep.contrast.scene_contexts import (
    ContrastiveSceneContexts,
    _partition,
    _partitioned_info_nce,
)
from pcrep.contrast.segcontrast import SegContrast, _pool
from pcrep.contrast.views import ViewConfig, draw_matches, draw_views
from tests.pcrep.networks import SMALL
from tests.pcrep.segmented import segmented
from tspcrep.common.training import Training, fit

CONFIG = PretrainingConfig(dim=8, views=ViewConfig(voxel=0.05))
CLOUDS = tuple(segmented(seed) for seed in range(4))
RIVALS = tuple(objective for objective in OBJECTIVES.values() if objective is not FAC)


def made(rival, **own):
    torch.manual_seed(0)
    return rival(SparseUNet(SMALL), CONFIG, **own)


def rows(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 6, dtype=torch.float64, generator=generator), dim=-1)


def test_matches_show_one_point_in_both_views():
    views = draw_views(CLOUDS, CONFIG.views, seed=0)
    a, b = draw_matches(views, 10_000)
    shown = [{} for _ in range(2)]
    for place, view in zip(shown, (views.a, views.b), strict=True):
        for point, voxel in zip(view.points.tolist(), view.voxel.tolist(), strict=True):
            place[point] = voxel
    expected = {
        (voxel, shown[1][point])
        for voxel, point in enumerate(views.a.first.tolist())
        if point in shown[1]
    }
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == expected
    assert len(a) == len(expected)
    a, _ = draw_matches(views, 30, scene=2)
    assert len(set(a.tolist())) == 30
    assert (views.scene[views.a.first[a]] == 2).all()


def test_point_contrast_equals_a_loop():
    method = made(PointContrast, pairs=40, temperature=0.2).eval()
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    torch.manual_seed(4)
    found = method.contrast(views)["loss"].item()
    torch.manual_seed(4)
    rows_a, rows_b = draw_matches(views, 40)
    with torch.no_grad():
        a = normalize(method.query(views.a.input)[rows_a].double(), dim=-1)
        b = normalize(method.query(views.b.input)[rows_b].double(), dim=-1)
    losses = []
    for i in range(40):
        e = [math.exp(float(a[i] @ b[j]) / 0.2) for j in range(40)]
        losses.append(-math.log(e[i] / sum(e)))
    assert found == pytest.approx(sum(losses) / 40, rel=1e-4)


def test_partition_equals_a_loop():
    """Points at one height belong somewhere, the point itself nowhere."""
    generator = torch.Generator().manual_seed(0)
    coords = torch.randint(-3, 3, (30, 3), generator=generator).double()
    found = _partition(coords, (1.5, 3.0))
    for i, p in enumerate(coords.tolist()):
        for j, q in enumerate(coords.tolist()):
            distance = math.dist(p, q)
            shell = 0 if distance <= 1.5 else 1 if distance <= 3 else None
            expected = -1 if i == j or shell is None else 2 * shell + (q[2] >= p[2])
            assert found[i, j] == expected


def test_partitioned_info_nce_equals_a_loop():
    a, b = rows(12), rows(12, seed=1)
    generator = torch.Generator().manual_seed(2)
    parts = torch.randint(-1, 3, (12, 12), generator=generator)
    parts.fill_diagonal_(-1)
    parts[4] = -1  # no negatives anywhere: no loss, and no share in the mean
    expected = []
    for part in range(3):
        for i in range(12):
            negative = [
                math.exp(float(a[i] @ b[j]) / 0.3) for j in range(12) if parts[i, j] == part
            ]
            if negative:
                positive = math.exp(float(a[i] @ b[i]) / 0.3)
                expected.append(-math.log(positive / (positive + sum(negative))))
    found = _partitioned_info_nce(a, b, parts, 3, 0.3)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_scene_contexts_contrast_within_a_scene():
    """Far apart or together in one batch, scenes give the mean over all their anchors."""
    method = made(ContrastiveSceneContexts, pairs=10_000, radii=(2.0, 6.0)).eval()
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    torch.manual_seed(0)
    found = method.contrast(views)["loss"].item()
    with torch.no_grad():
        a, b = method.query(views.a.input), method.query(views.b.input)
        losses = []
        for scene in range(2):
            rows_a, rows_b = draw_matches(views, 10_000, scene)
            coords = views.coords[views.a.first[rows_a]] / 0.05
            u, v = normalize(a[rows_a], dim=-1), normalize(b[rows_b], dim=-1)
            losses.append(_partitioned_info_nce(u, v, _partition(coords, (2.0, 6.0)), 4, 0.4))
    assert found == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)


def test_pooling_equals_a_loop():
    method = made(SegContrast).eval()
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    segment = views.segment[views.a.first]
    kept = torch.tensor([4, 6, 13])
    with torch.no_grad():
        found = _pool(method.query, views.a, segment, kept)
        features = method.encoder(views.a.input).features
        for i, s in enumerate(kept):
            pooled = features[segment == s].max(0).values
            torch.testing.assert_close(found[i], method.query.head(pooled[None])[0])
        assert _pool(method.query, views.a, segment, kept[:0]).shape == (0, 8)


def test_seg_contrast_equals_a_loop():
    method = made(SegContrast, queue=64, least=2, temperature=0.3).eval()
    views = draw_views(CLOUDS[:2], CONFIG.views, seed=0)
    method.queue.enqueue(rows(20).float().repeat(1, 2)[:, :8])
    earlier = method.queue.features.double()
    sides = [views.segment[view.first] for view in (views.a, views.b)]
    kept = method.kept(views, sides)
    label = torch.from_numpy(CLOUDS[0].objectness > 0.5).repeat(2)
    assert set(kept.tolist()) <= set(label.nonzero()[:, 0].tolist())
    with torch.no_grad():
        found = method.contrast(views)["loss"].item()
        q = normalize(_pool(method.query, views.a, sides[0], kept).double(), dim=-1)
        k = normalize(_pool(method.query, views.b, sides[1], kept).double(), dim=-1)
    losses = []
    for i in range(len(kept)):
        positive = math.exp(float(q[i] @ k[i]) / 0.3)
        negative = sum(math.exp(float(q[i] @ row) / 0.3) for row in earlier)
        losses.append(-math.log(positive / (positive + negative)))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    torch.testing.assert_close(method.queue.features[20:].double(), k, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rival", RIVALS, ids=lambda rival: rival.__name__)
def test_rivals_learn_and_resume_bit_for_bit(rival, tmp_path):
    scenes = Scenes("made", tuple(c.name for c in CLOUDS), lambda index: CLOUDS[index])
    data = SceneBatches(scenes, CONFIG.views.voxel)

    def train(steps, folder, resume=False):
        method = made(rival)
        start = copy.deepcopy(method.encoder.state_dict())
        training = Training(
            epochs=9, max_steps=steps, batch_size=2, device="cpu", schedule="constant"
        )
        fit(method, data, training, 0, folder, resume)
        assert any(not torch.equal(start[n], x) for n, x in method.encoder.state_dict().items())
        return method.state_dict()

    whole = train(4, tmp_path / "whole")
    train(2, tmp_path / "killed")
    resumed = train(4, tmp_path / "killed", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    "rival",
    [rival for rival in RIVALS if rival is not FACAndDistillation],  # it has two projectors
    ids=lambda rival: rival.__name__,
)
def test_both_views_have_gradient_where_the_paper_says_so(rival):
    method = made(rival)
    torch.manual_seed(0)
    for _ in range(2):  # the first fills SegContrast's queue
        losses = method.loss(Batch(CLOUDS[:2]), "encoder")
    losses["loss"].backward()
    assert losses["loss"] > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.query.parameters())
    trained = {id(p) for p in method.phases()[0].parameters}
    assert trained == {id(p) for p in method.query.parameters()}

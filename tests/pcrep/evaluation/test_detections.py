"""Panoptic quality and average precision against loops over sets of points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.evaluation.detections import (
    Instances,
    average_precision,
    detection_scores,
    overlaps,
    panoptic_quality,
    true_instances,
)
from tests.pcrep.made_scenes import made_scene


def drawn(rng, points, most):
    """Instances of random points, with labels 0 and 1 and scores."""
    raw = rng.integers(-1, most, points)
    number = np.full(points, -1)
    _, number[raw >= 0] = np.unique(raw[raw >= 0], return_inverse=True)
    count = number.max() + 1
    return Instances(number, rng.integers(0, 2, count), rng.random(count).round(1))


def blurred(rng, truth):
    """The same instances with some points changed."""
    raw = np.where(rng.random(len(truth.number)) < 0.25, -1, truth.number)
    number = np.full(len(raw), -1)
    kept, number[raw >= 0] = np.unique(raw[raw >= 0], return_inverse=True)
    return Instances(number, truth.label[kept], rng.random(len(kept)).round(1))


def sets(instances, rows):
    return [{i for i in rows if instances.number[i] == k} for k in range(len(instances))]


@given(seed=st.integers(0, 2000), exact=st.booleans())
@settings(max_examples=60, deadline=None)
def test_panoptic_quality_is_that_of_sets(seed, exact):
    """Kirillov et al., Eq. 1, with the rules on void of section 4.1, over two scenes."""
    rng = np.random.default_rng(seed)
    truths = [drawn(rng, 40, 4) for _ in range(2)]
    found = [blurred(rng, t) if exact else drawn(rng, 40, 4) for t in truths]
    known = [(rng.random(40) < 0.8) | (t.number >= 0) for t in truths]
    for c in (0, 1):
        total, tp, fp, fn = 0.0, 0, 0, 0
        for t, p, sure in zip(truths, found, known, strict=True):
            rows = np.flatnonzero(sure)
            true, guess = sets(t, rows), sets(p, rows)
            matched = set()
            for i in np.flatnonzero(t.label == c):
                ious = {
                    j: len(true[i] & guess[j]) / len(true[i] | guess[j])
                    for j in np.flatnonzero(p.label == c)
                }
                hit = [j for j, iou in ious.items() if iou > 0.5]
                assert len(hit) <= 1
                total, tp, fn = total + sum(ious[j] for j in hit), tp + len(hit), fn + (not hit)
                matched |= set(hit)
            for j in set(np.flatnonzero(p.label == c)) - matched:
                size = (p.number == j).sum()
                fp += (size - len(guess[j])) / size <= 0.5
        result = panoptic_quality(truths, found, known, c)
        if tp + fp + fn == 0:
            assert np.isnan(result["pq"])
        else:
            assert result["pq"] == pytest.approx(total / (tp + fp / 2 + fn / 2))
            assert result["pq"] == pytest.approx(result["sq"] * result["rq"])


@given(seed=st.integers(0, 2000), threshold=st.sampled_from([0.25, 0.5, 0.75]))
@settings(max_examples=60, deadline=None)
def test_average_precision_is_the_sum_over_recalls(seed, threshold):
    """For each recall i / T, the largest precision at that recall or more, by a loop."""
    rng = np.random.default_rng(seed)
    iou = [rng.random((rng.integers(0, 4), rng.integers(0, 6))) for _ in range(3)]
    scores = [rng.permutation(m.shape[1]) + 10 * rng.random() for m in iou]
    there = sum(len(m) for m in iou)
    result = average_precision(iou, scores, threshold)
    if there == 0:
        assert np.isnan(result)
        return
    order = sorted(
        ((s, k, j) for k, of in enumerate(scores) for j, s in enumerate(of)), reverse=True
    )
    taken, hits, curve = set(), 0, []
    for rank, (_, k, j) in enumerate(order, 1):
        best = max(
            ((iou[k][i, j], i) for i in range(len(iou[k])) if (k, i) not in taken),
            default=(-1, None),
        )
        if best[0] >= threshold:
            taken.add((k, best[1]))
            hits += 1
        curve.append((hits / there, hits / rank))
    expected = 0.0
    for i in range(1, there + 1):
        expected += max((p for r, p in curve if r >= i / there - 1e-12), default=0.0) / there
    assert result == pytest.approx(expected)


def test_published_values():
    """Three of four objects found by five guesses: the worked example of the VOC curve."""
    iou = [np.zeros((4, 5))]
    for truth, guess in ((0, 0), (1, 2), (2, 4)):
        iou[0][truth, guess] = 0.8
    scores = [np.array([0.9, 0.8, 0.7, 0.6, 0.5])]
    # precision 1, 1/2, 2/3, 1/2, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4
    assert average_precision(iou, scores, 0.5) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    assert average_precision(iou, scores, 0.9) == 0
    twice = [np.array([[0.9, 0.9]])]
    assert average_precision(twice, [np.array([1.0, 0.5])], 0.5) == 1  # the second is false


@given(seed=st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_overlaps_are_those_of_sets(seed):
    rng = np.random.default_rng(seed)
    t, p, known = drawn(rng, 30, 4), drawn(rng, 30, 5), rng.random(30) < 0.7
    rows = np.flatnonzero(known)
    expected = [[len(a & b) / max(len(a | b), 1) for b in sets(p, rows)] for a in sets(t, rows)]
    np.testing.assert_allclose(
        overlaps(t, p, known), np.array(expected).reshape(len(t), len(p)), atol=1e-12
    )


def with_instances(seed):
    cloud = made_scene(seed)
    return replace(cloud, instance=np.where(cloud.label > 0, cloud.label + 5, -1))


def test_the_truth_scores_one_and_a_union_less():
    clouds = [with_instances(seed) for seed in (0, 1)]
    truths = [true_instances(cloud, (1, 2)) for cloud in clouds]
    assert [t.label.tolist() for t in truths] == [[1, 2], [1, 2]]
    perfect = detection_scores(clouds, truths, (1, 2))
    assert perfect == dict.fromkeys(("pq", "map25", "map50", "box25", "box50"), 1.0)
    joined = [Instances(np.minimum(t.number, 0), np.array([1]), np.ones(1)) for t in truths]
    found = detection_scores(clouds, joined, (1, 2))
    # An object and its like: IoU 150 / 300 is no match of PQ, and is one at 1/4 and 1/2.
    assert found["pq"] == 0 and found["map50"] == 0.5
    none = [Instances(np.full(len(c), -1), np.zeros(0, int), np.zeros(0)) for c in clouds]
    assert set(detection_scores(clouds, none, (1, 2)).values()) == {0.0}

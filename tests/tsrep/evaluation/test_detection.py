"""VUS-PR and F1 of change points against plain loops and cases that can be told by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from tsrep.evaluation.detection import change_point_f1, extended, vus_pr


def by_loops(scores, labels, buffer):
    """The definition, one threshold and one step at a time; thresholds at every score."""
    steps, volumes = len(scores), []
    for length in range(buffer + 1):
        soft = []
        for t in range(steps):
            gaps = [abs(t - s) for s in range(steps) if labels[s]]
            near = 0 < min(gaps) <= length // 2
            soft.append(1.0 if labels[t] else (1 - min(gaps) / length) ** 0.5 if near else 0.0)
        ranges, t = [], 0
        while t < steps:
            if soft[t] > 0:
                stop = t
                while stop < steps and soft[stop] > 0:
                    stop += 1
                ranges.append(range(t, stop))
                t = stop
            t += 1
        positives = sum(labels[t] + soft[t] for t in range(steps)) / 2
        area, before = 0.0, 0.0
        for level in sorted(set(scores), reverse=True):
            above = [score >= level for score in scores]
            hits = sum(s for s, a in zip(soft, above, strict=True) if a)
            found = sum(any(above[t] for t in part) for part in ranges) / len(ranges)
            recall = min(hits / positives, 1) * found
            area += (recall - before) * hits / sum(above)
            before = recall
        volumes.append(area)
    return sum(volumes) / len(volumes)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(4, 25), buffer=st.integers(0, 6), seed=st.integers(0, 999))
def test_vus_is_its_definition(steps, buffer, seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(steps) < 0.3
    labels[0], labels[-1] = True, False
    scores = rng.integers(0, 6, steps) / 5
    assert vus_pr(scores, labels, buffer) == pytest.approx(by_loops(scores, labels, buffer))


def test_without_buffer_and_with_one_anomaly_it_is_average_precision():
    rng = np.random.default_rng(0)
    labels = np.zeros(200, dtype=bool)
    labels[80:95] = True
    scores = rng.normal(size=200) + labels
    expected = average_precision_score(labels, scores)
    assert vus_pr(scores, labels, 0) == pytest.approx(expected, abs=1e-9)


def test_perfect_and_useless_scores():
    labels = np.zeros(1000, dtype=bool)
    labels[300:320] = True
    soft = extended(labels, 20)
    assert vus_pr(soft, labels, 20) > 0.95
    assert vus_pr(np.random.default_rng(0).normal(size=1000), labels, 20) < 0.15
    late = np.roll(soft, 8)
    assert vus_pr(late, labels, 20) > vus_pr(late, labels, 0)  # what buffers are for


def test_soft_labels_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0])
    expected = [0, (1 / 2) ** 0.5, (3 / 4) ** 0.5, 1, 1, (3 / 4) ** 0.5, (1 / 2) ** 0.5, 0, 0]
    np.testing.assert_allclose(extended(labels.astype(bool), 4), expected)


@pytest.mark.parametrize("labels", [np.zeros(9), np.ones(9), np.r_[1, np.zeros(9)]])
def test_labels_that_cannot_be_scored(labels):
    with pytest.raises(ValueError, match="steps of both kinds"):
        vus_pr(np.arange(9.0), labels, 2)


def test_change_points_by_hand():
    assert change_point_f1([100], [100], 0) == 1
    assert change_point_f1([], [], 5) == 1
    assert change_point_f1([], [100], 5) == pytest.approx(2 / 3)  # the start alone: 1, 1/2
    assert change_point_f1([95, 104, 400], [100, 300], 5) == pytest.approx(
        2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3)
    )

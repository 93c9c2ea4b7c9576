"""Over-segmentation against a plain loop over the paper's algorithm, and on shapes and scenes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.cloud import Cloud
from pcrep.preparation import segments
from pcrep.preparation.segments import (
    SegmentConfig,
    _Edges,
    over_segment,
    over_segment_with_normals,
)
from pcrep.procedural import procedural
from tspcrep.common.errors import UserError


def best_iou(segment, label):
    """Mean IoU over labels if each segment took its majority label."""
    table = np.zeros((segment.max() + 1, label.max() + 1))
    np.add.at(table, (segment, label), 1)
    guess = table.argmax(1)[segment]
    scores = [
        ((guess == c) & (label == c)).sum() / ((guess == c) | (label == c)).sum()
        for c in np.unique(label)
    ]
    return np.mean(scores)


def box(seed, low, high, count):
    """Points on the faces of a box, with the face of each."""
    rng = np.random.default_rng(seed)
    low, high = np.asarray(low, float), np.asarray(high, float)
    size = high - low
    area = np.array([size[1] * size[2], size[0] * size[2], size[0] * size[1]]).repeat(2)
    face = rng.choice(6, count, p=area / area.sum())
    points = rng.uniform(low, high, (count, 3))
    axis, side = face // 2, face % 2
    points[np.arange(count), axis] = np.where(side, high[axis], low[axis])
    return points.astype(np.float32), face


def oracle(start, end, weight, count, config):
    """Felzenszwalb and Huttenlocher's Algorithm 1 on sets, as the paper writes it."""
    component = {i: frozenset([i]) for i in range(count)}
    internal = {component[i]: 0.0 for i in range(count)}
    edges = list(zip(start.tolist(), end.tolist(), weight.tolist(), strict=True))

    def join(a, b, difference):
        both = a | b
        internal[both] = difference
        component.update(dict.fromkeys(both, both))

    for i, j, w in edges:
        a, b = component[i], component[j]
        if a != b and w <= min(internal[c] + config.threshold / len(c) for c in (a, b)):
            join(a, b, w)
    for i, j, w in edges:
        a, b = component[i], component[j]
        if a != b and min(len(a), len(b)) < config.smallest:
            join(a, b, w)
    return {component[i] for i in range(count)}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    threshold=st.floats(0, 2),
    smallest=st.integers(1, 6),
)
def test_components_are_the_papers(seed, threshold, smallest):
    rng = np.random.default_rng(seed)
    count = 40
    start, end = np.sort(rng.integers(0, count, (2, 90)), 0).astype(np.int32)
    weight = np.sort(rng.uniform(0, 1, 90)).astype(np.float32)
    config = SegmentConfig(threshold=threshold, smallest=smallest)
    found = segments._graph(_Edges(start, end, weight, count), config)
    parts = {frozenset(np.flatnonzero(found == c).tolist()) for c in np.unique(found)}
    assert parts == oracle(start, end, weight.astype(np.float64), count, config)


def test_the_weight_of_an_edge_is_the_docstrings():
    rng = np.random.default_rng(0)
    coords, colour = rng.uniform(size=(200, 3)), rng.uniform(size=(200, 3)).astype(np.float32)
    cloud = Cloud(coords=coords.astype(np.float32), colour=colour)
    config = SegmentConfig(cell=1e-4, neighbours=6)
    cells = segments.to_cells(cloud.coords, config.cell)
    index, distance = segments.nearest(cells.centre, 6)
    normal = segments.surface(cells.centre, index).normal
    found = segments._edges(cells, index, distance, normal, cells.average(colour), config)
    expected = {}
    x, n, c = cells.centre.astype(float), normal.astype(float), cells.average(colour)
    eye = np.array([*x[:, :2].mean(0), 0.9 * x[:, 2].max()])
    n *= np.where(((eye - x) * n).sum(1) > 0, 1, -1)[:, None]
    density = np.log(7 / distance[:, -1].astype(float) ** 2)
    for i in range(200):
        for j in index[i]:
            way = x[j] - x[i]
            bend = 1 - abs(n[i] @ n[j])
            bend *= config.convex if (n[j] - n[i]) @ way > 0 else 1
            step = max(abs(n[i] @ way), abs(n[j] @ way)) / np.linalg.norm(way)
            tint = np.linalg.norm(c[i] - c[j])
            weight = bend + config.offset * step**2 + config.colour * tint
            weight += config.density * (density[i] - density[j]) ** 2
            expected[min(i, j), max(i, j)] = weight
    pairs = [tuple(sorted(p)) for p in zip(found.start.tolist(), found.end.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs)) == len(expected)
    np.testing.assert_allclose(found.weight, [expected[p] for p in pairs], rtol=1e-3, atol=1e-5)
    assert (np.diff(found.weight) >= 0).all()


def test_a_box_on_a_table_comes_apart():
    top, _ = box(0, (-1, -1, -0.01), (1, 1, 0), 40_000)
    lid, face = box(1, (-0.2, -0.2, 0), (0.2, 0.2, 0.3), 8000)
    lid, face = lid[face != 4], face[face != 4]  # the face that it stands on is not seen
    rng = np.random.default_rng(2)
    coords = np.concatenate([top[top[:, 2] == 0], lid])
    coords += rng.normal(0, 0.001, coords.shape).astype(np.float32)
    label = np.r_[np.zeros(len(coords) - len(lid), int), 1 + face]
    label = np.unique(label, return_inverse=True)[1]
    segment = over_segment(Cloud(coords=coords))
    assert best_iou(segment, label) > 0.95  # every face of the box
    assert best_iou(segment, (label > 0).astype(int)) > 0.98
    assert segment.max() < 200


def test_segments_are_numbered_by_size_and_bounded():
    cloud = procedural(1, 1)[0]
    for most in (1000, 60):
        config = SegmentConfig(cell=0.03, segments=most)
        segment = over_segment(cloud, config)
        cells = segments.to_cells(cloud.coords, 0.03)
        size = np.bincount(segment, 1 / cells.count[cells.member])
        assert segment.dtype == np.int64 and segment.min() == 0
        assert segment.max() + 1 <= most and (size > 0).all()
        assert (np.diff(size) < 1e-6).all()
        assert size.min() > config.smallest - 1e-6


def test_parts_without_an_edge_between_them_are_bounded_too():
    rng = np.random.default_rng(0)
    islands = rng.permutation(40)[:, None, None] * [5.0, 0, 0] + rng.uniform(0, 1, (40, 30, 3))
    cloud = Cloud(coords=islands.reshape(-1, 3).astype(np.float32))
    assert over_segment(cloud, SegmentConfig(segments=7)).max() == 6


def test_procedural_rooms_are_cut_along_their_objects():
    for cloud in procedural(2, 3):
        segment, normal = over_segment_with_normals(cloud)
        assert segment.max() < 1000
        assert best_iou(segment, cloud.label) > 0.95
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-4)
        assert np.array_equal(segment, over_segment(cloud))


def test_planes_and_clusters():
    parts = [box(0, (-1, -1, -0.001), (1, 1, 0), 9000)[0]]
    parts += [box(i, (x, 0, 0.2), (x + 0.2, 0.2, 0.4), 1500)[0] for i, x in ((1, -0.6), (2, 0.4))]
    label = np.arange(3).repeat([len(p) for p in parts])
    segment = over_segment(Cloud(coords=np.concatenate(parts)), SegmentConfig(method="planes"))
    assert segment.max() == 2
    assert best_iou(segment, label) > 0.99


@pytest.mark.parametrize("method", ["graph", "planes"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_points_are_one_segment(method, count):
    coords = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    assert over_segment(Cloud(coords=coords), SegmentConfig(method=method)).tolist() == [0] * count


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"cell": 0.0}, "cell: found 0.0, expected metres above 0"),
        ({"segments": 0}, "segments: found 0, expected at least 1"),
        ({"threshold": -1.0}, "threshold: found -1.0, expected 0 or more"),
    ],
    ids=["cell", "segments", "threshold"],
)
def test_settings_that_cannot_be(option, words):
    with pytest.raises(UserError, match=words):
        SegmentConfig(**option)

"""Segments are joined to objects: against a slow loop over all pairs, and a known truth."""

from dataclasses import replace

import numpy as np
import pytest

from pcrep.cloud import Scenes
from pcrep.evaluation.instances import (
    SMALLEST,
    GroupConfig,
    apart,
    classified,
    clustered,
    find_objects,
    group,
    instance_scores,
)
from pcrep.preparation.neighbours import nearest, to_cells
from tests.pcrep.made_scenes import CLASSES
from tests.pcrep.segmented import segmented
from tspcrep.common.errors import UserError


def scene(seed, objects=(1, 2)):
    """A made scene in segments, with normals that point up or away from an object's middle."""
    cloud = segmented(seed, objects, points=600)
    normal = np.tile(np.float32([0, 0, 1]), (len(cloud), 1))
    for c in objects:
        rows = cloud.label == c
        away = cloud.coords[rows] - cloud.coords[rows].mean(0)
        normal[rows] = away / np.linalg.norm(away, axis=1, keepdims=True)
    instance = np.where(cloud.label > 0, cloud.label, -1)
    return replace(cloud, normal=normal, instance=instance)


def by_class(cloud, noise=0.3):
    """Features that tell the objects apart, with noise."""
    rng = np.random.default_rng(0)
    return (3 * np.eye(3)[cloud.label] + noise * rng.normal(size=(len(cloud), 3))).astype(
        np.float32
    )


def slow(cloud, features, foreground, config):
    """The same agglomeration with sets of segments, from the definition."""
    cells = to_cells(cloud.coords, budget=40_000)
    first = {cell: point for point, cell in enumerate(cells.member)}  # the last point of each
    points = [first[cell] for cell in range(len(cells.centre))]
    rows = [m for m, p in enumerate(points) if cloud.segment[p] >= 0]
    rows = [m for m in rows if foreground[cloud.segment[points[m]]]]
    index, distance = nearest(cells.centre[rows], 12)
    places = []
    for i in range(len(rows)):
        for e in range(index.shape[1]):
            a, b = (points[rows[end]] for end in (i, index[i, e]))
            s, t = cloud.segment[a], cloud.segment[b]
            if s < t and distance[i, e] < 3 * cells.size:
                d = (cells.centre[rows[index[i, e]]] - cells.centre[rows[i]]).astype(float)
                d /= np.linalg.norm(d)
                places.append((s, t, max(abs(cloud.normal[a] @ d), abs(cloud.normal[b] @ d))))
    front = np.flatnonzero(foreground)
    mean = features[np.isin(cloud.segment, front)].mean(0, dtype=float)
    groups = [{s} for s in front]
    while True:
        best = (-np.inf, None)
        for x in range(len(groups)):
            for y in range(x):
                steps = [
                    step
                    for s, t, step in places
                    if (s in groups[x] and t in groups[y]) or (s in groups[y] and t in groups[x])
                ]
                if not steps:
                    continue
                f, g = (
                    features[np.isin(cloud.segment, list(groups[k]))].mean(0, dtype=float) - mean
                    for k in (x, y)
                )
                cosine = f @ g / np.linalg.norm(f) / np.linalg.norm(g)
                best = max(best, (cosine - config.step * np.mean(steps), (x, y)))
        if best[0] < config.affinity:
            break
        x, y = best[1]
        groups[y] |= groups.pop(x)
    found = np.full(len(cloud), -1)
    for members in groups:
        inside = np.isin(cloud.segment, list(members))
        if inside.sum() >= SMALLEST * len(cloud):
            found[inside] = min(members)
    return found


def same_partition(a, b):
    pairs = {(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)}
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize("config", [GroupConfig(), GroupConfig(-0.2), GroupConfig(0.3, 0.5)])
@pytest.mark.parametrize("noise", [0.3, 6.0])
def test_groups_are_those_of_the_definition(config, noise):
    cloud = scene(3)
    rng = np.random.default_rng(1)
    fine = replace(cloud, segment=np.where(cloud.segment < 0, -1, 2 * cloud.segment + rng.integers(
        2, size=len(cloud))), objectness=np.repeat(cloud.objectness, 2))  # fmt: skip
    foreground = fine.objectness > 0.5
    features = by_class(fine, noise)
    found = group(fine, features, foreground, config)
    assert same_partition(found, slow(fine, features, foreground, config))
    assert set(found) == set(range(-1, found.max() + 1))


def test_the_halves_of_an_object_are_joined_and_touching_objects_are_not():
    cloud = scene(0)
    box, ball = (cloud.label == c for c in (1, 2))
    coords = cloud.coords.copy()
    beside = coords[box].mean(0) + np.float32([0.19, 0, 0])
    coords[ball] += beside - coords[ball].mean(0)
    near = replace(cloud, coords=coords)
    foreground = near.objectness > 0.5
    found = group(near, by_class(near), foreground)
    truth = np.where(near.segment >= 0, near.instance, -1)
    assert same_partition(found, truth)
    assert len(np.unique(apart(near, foreground)[box])) == 2
    joined = clustered(near, foreground)
    assert len(np.unique(joined[(box | ball) & (joined >= 0)])) == 1


def test_nothing_and_fragments_are_no_objects():
    cloud = scene(0)
    none = np.zeros(len(cloud.objectness), bool)
    for found in (group(cloud, by_class(cloud), none), apart(cloud, none), clustered(cloud, none)):
        assert (found == -1).all()
    few = cloud.segment.copy()
    few[np.flatnonzero(cloud.label == 1)[:2]] = len(cloud.objectness)
    more = replace(cloud, segment=few, objectness=np.append(cloud.objectness, np.float32(1)))
    found = apart(more, more.objectness > 0.5)
    assert (found[few == len(cloud.objectness)] == -1).all() and found.max() == 3


def test_classes_are_those_of_the_mean_probability():
    number = np.array([0, 0, -1, 1, 1, 1])
    probability = np.array(
        [[0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [1, 0, 0], [0.8, 0.1, 0.1], [0, 0, 1], [0.1, 0.5, 0.4]]
    )
    found = classified(number, probability, np.array([1, 2]))
    assert found.label.tolist() == [1, 2]
    np.testing.assert_allclose(found.score, [0.55, 0.5])
    empty = classified(np.full(6, -1), probability, np.array([1, 2]))
    assert len(empty) == 0 and empty.score.shape == (0,)


class Known:
    """A segmenter that knows the truth of made scenes, by their colours."""

    def described(self, cloud):
        return by_class(cloud), np.eye(3, dtype=np.float32)[cloud.label]


def test_objects_of_whole_scenes(monkeypatch):
    monkeypatch.setattr("pcrep.evaluation.instances.prepare", lambda cloud, config: cloud)
    segmenter = Known()
    scenes = Scenes("made", ("a", "b"), scene, CLASSES, CLASSES[1:])
    found = find_objects(segmenter, scenes[0], (1, 2))
    assert {name: len(objects) for name, objects in found.items()} == {
        "grouped": 2, "segments": 4, "dbscan": 2,
    }  # fmt: skip
    scores = instance_scores(segmenter, scenes)
    assert scores["grouped"] == dict.fromkeys(scores["grouped"], pytest.approx(1))
    assert scores["segments"]["pq"] < 0.5


def test_a_configuration_that_cannot_be_used():
    with pytest.raises(UserError, match="step -1"):
        GroupConfig(step=-1)
    with pytest.raises(UserError, match="affinity nan"):
        GroupConfig(float("nan"))

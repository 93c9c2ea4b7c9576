"""Objects from foreground segments that touch, joined where their features and their form agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pcrep.cloud import Cloud, Scenes
from pcrep.evaluation.detections import Instances, detection_scores, in_turn
from pcrep.evaluation.segmentation import Segmenter
from pcrep.evaluation.smoothing import smoothed
from pcrep.preparation import PrepareConfig, prepare
from pcrep.preparation.neighbours import nearest, to_cells
from tspcrep.common.errors import UserError

_CELLS = 40_000
SMALLEST = 0.0025
"""Share of a cloud's points below which a group is no object but a fragment."""


@dataclass(frozen=True)
class GroupConfig:
    """How segments are joined to objects; chosen on scenes to learn from of mOSD."""

    affinity: float = -1.4
    """Smallest affinity at which two groups of segments are joined."""
    step: float = 1.0
    """Weight of steps of the surface beside the similarity of features."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.affinity) and self.step >= 0):
            raise UserError(
                f"affinity {self.affinity}, step {self.step}: expected a number, and at least 0"
            )


def group(
    cloud: Cloud, features: np.ndarray, foreground: np.ndarray, config: GroupConfig | None = None
) -> np.ndarray:
    """Object (N,) int64 of each point, numbered from 0; -1 outside the foreground.

    Starts with each foreground segment as a group, and joins the two groups of the largest

        affinity = cos(f_a, f_b) - config.step * step

    as long as it is at least ``config.affinity``. f is the mean feature of a group, less the mean
    of the whole foreground. step, in 0 .. 1, is the mean over all places where the two touch of
    max(|n_a . d|, |n_b . d|) for the direction d between them: near 0 within a surface, larger at
    an edge, near 1 where one ends in front of another. Convexity of contacts was tried, and does
    not tell objects apart: between an object and one behind it there is no true contact.

    cloud : with ``segment`` and ``normal``, z up, as from :func:`pcrep.preparation.prepare`.
    features : (N, D). foreground : (S,) bool, the segments that are part of objects.
    """
    config = config or GroupConfig()
    count = len(foreground)
    segment = cloud.known("segment")
    known = segment >= 0
    size = np.bincount(segment[known], minlength=count).astype(np.float64)
    sums = np.stack(
        [np.bincount(segment[known], f, count) for f in features[known].T.astype(np.float64)], 1
    )
    sums[size > 0] -= size[size > 0, None] * (
        sums[foreground].sum(0) / max(size[foreground].sum(), 1)
    )
    parent = _join(sums, _contacts(cloud, foreground), config)
    number = np.where(foreground, parent, -1)
    return _numbered(np.where(known, number[segment], -1))


def apart(cloud: Cloud, foreground: np.ndarray) -> np.ndarray:
    """The control without joining: each foreground segment is an object (N,)."""
    segment = cloud.known("segment")
    return _numbered(np.where((segment >= 0) & foreground[segment], segment, -1))


def clustered(cloud: Cloud, foreground: np.ndarray) -> np.ndarray:
    """The control without segments: DBSCAN of the foreground's cells (Ester et al., KDD 1996).

    eps is twice the median distance of the third neighbour, min_samples 5; noise is no object.
    """
    from sklearn.cluster import DBSCAN

    cells = to_cells(cloud.coords, budget=_CELLS)
    segment = cloud.known("segment")
    kept = (segment >= 0) & foreground[segment]
    rows = np.unique(cells.member[kept])
    number = np.full(len(cells.centre), -1)
    if len(rows) > 3:
        spacing = float(np.median(nearest(cells.centre[rows], 3)[1][:, -1]))
        found = DBSCAN(eps=2 * spacing, min_samples=5).fit_predict(cells.centre[rows])
        number[rows] = found
    return _numbered(np.where(kept, number[cells.member], -1))


def classified(number: np.ndarray, probability: np.ndarray, things: np.ndarray) -> Instances:
    """Objects (N,) with the class, among ``things``, of the largest mean probability, as score.

    probability : (N, C). things : classes that are objects.
    """
    count = int(number.max(initial=-1)) + 1
    inside = number >= 0
    first = np.zeros(count, np.int64)
    first[number[inside]] = np.flatnonzero(inside)
    mean = smoothed(probability[:, things], number)[first]
    return Instances(number, np.asarray(things)[mean.argmax(1)], mean.max(1, initial=0.0))


def find_objects(
    segmenter: Segmenter, cloud: Cloud, things: Sequence[int], config: GroupConfig | None = None
) -> dict[str, Instances]:
    """Objects by :func:`group`, ``grouped``, and by the controls ``segments`` and ``dbscan``.

    All three are of the same foreground, segments whose objectness and probability of a thing are
    above 1/2 on average, and take their classes from the same probabilities.

    cloud : with z up. things : classes that are objects.
    """
    cloud = prepare(cloud, PrepareConfig(upright=False))
    segment, objectness = cloud.known("segment"), cloud.known("objectness")
    chosen = np.asarray(things)
    features, probability = segmenter.described(cloud)
    thing = smoothed(probability[:, chosen].sum(1, keepdims=True), segment)[:, 0]
    known = segment >= 0
    of_segment = np.zeros(len(objectness))
    of_segment[segment[known]] = thing[known]
    foreground = of_segment + objectness > 1
    numbers = {
        "grouped": group(cloud, features, foreground, config),
        "segments": apart(cloud, foreground),
        "dbscan": clustered(cloud, foreground),
    }
    return {name: classified(number, probability, chosen) for name, number in numbers.items()}


def instance_scores(segmenter: Segmenter, scenes: Scenes) -> dict[str, dict[str, float]]:
    """:func:`pcrep.evaluation.detections.detection_scores` of each kind of :func:`find_objects`.

    scenes : with z up, ``things`` and labelled instances.
    """
    things = [scenes.classes.index(name) for name in scenes.things]
    clouds = list(scenes)
    bar = tqdm(clouds, desc="find objects", unit="scene", delay=2, leave=False)
    found = [find_objects(segmenter, cloud, things) for cloud in bar]
    return {
        name: detection_scores(clouds, [kinds[name] for kinds in found], things)
        for name in found[0]
    }


class _Contacts(NamedTuple):
    """Pairs of segments that touch: a < b (P,), number of places and sum of their steps (P,)."""

    a: np.ndarray
    b: np.ndarray
    places: np.ndarray
    steps: np.ndarray


def _contacts(cloud: Cloud, foreground: np.ndarray) -> _Contacts:
    cells = to_cells(cloud.coords, budget=_CELLS)
    first = np.empty(len(cells.centre), np.int64)
    first[cells.member] = np.arange(len(cloud))
    segment = cloud.known("segment")[first]
    normal = cloud.known("normal")[first].astype(np.float64)
    centre = cells.centre.astype(np.float64)
    rows = np.flatnonzero((segment >= 0) & foreground[segment])
    index, distance = nearest(cells.centre[rows], 12)
    i, j = np.repeat(rows, index.shape[1]), rows[index.ravel()]
    touch = (segment[i] < segment[j]) & (distance.ravel() < 3 * cells.size)
    i, j = i[touch], j[touch]
    way = centre[j] - centre[i]
    way /= np.maximum(np.linalg.norm(way, axis=1), 1e-9)[:, None]
    step = np.maximum(*(np.abs((normal[end] * way).sum(1)) for end in (i, j)))
    pairs, number = np.unique(np.stack([segment[i], segment[j]], 1), axis=0, return_inverse=True)
    places = np.bincount(number.ravel(), minlength=len(pairs))
    steps = np.bincount(number.ravel(), step, len(pairs))
    return _Contacts(pairs[:, 0], pairs[:, 1], places, steps)


def _join(sums: np.ndarray, contacts: _Contacts, config: GroupConfig) -> np.ndarray:
    """The group (S,) of each segment, named by one of its segments."""
    parent, sums = np.arange(len(sums)), sums.copy()
    a, b, places, steps = (np.array(part) for part in contacts)
    while len(a):
        length = np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
        cosine = (sums[a] * sums[b]).sum(1) / (length[a] * length[b])
        affinity = cosine - config.step * steps / places
        best = int(affinity.argmax())
        if affinity[best] < config.affinity:
            break
        kept, gone = a[best], b[best]
        sums[kept] += sums[gone]
        parent[parent == gone] = kept
        ends = np.stack([np.where(end == gone, kept, end) for end in (a, b)], 1)
        rest = ends[:, 0] != ends[:, 1]
        pairs, number = np.unique(np.sort(ends[rest], axis=1), axis=0, return_inverse=True)
        places = np.bincount(number.ravel(), places[rest], len(pairs))
        steps = np.bincount(number.ravel(), steps[rest], len(pairs))
        a, b = pairs.T
    return parent


def _numbered(number: np.ndarray) -> np.ndarray:
    """The same objects (N,), numbered 0, 1, ... without gaps, and without those that are small."""
    large = np.bincount(number[number >= 0]) >= SMALLEST * len(number)
    inside = (number >= 0) & np.append(large, False)[number]
    return in_turn(np.where(inside, number, -1))

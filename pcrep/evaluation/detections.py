"""How well predicted objects match the true ones: panoptic quality and average precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import numpy as np

from pcrep.cloud import Cloud
from pcrep.evaluation.boxes import box_iou, fit_boxes


@dataclass(frozen=True, eq=False)
class Instances:
    """K objects among N points.

    number : (N,) int64, the object of each point, -1 for none; each of 0 .. K - 1 has a point.
    label : (K,) int64, class of each object. score : (K,), how sure its prediction is.
    """

    number: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def true_instances(cloud: Cloud, things: Sequence[int]) -> Instances:
    """The labelled objects of a cloud whose class is one of ``things``."""
    label, instance = cloud.known("label"), cloud.known("instance")
    thing = np.isin(label, things) & (instance >= 0)
    number = np.full(len(cloud), -1)
    _, first, number[thing] = np.unique(instance[thing], return_index=True, return_inverse=True)
    return Instances(number, label[thing][first], np.ones(len(first)))


def in_turn(number: np.ndarray) -> np.ndarray:
    """The same objects (N,), -1 for none, numbered 0, 1, ... without those that have no point."""
    inside, found = number >= 0, np.full(len(number), -1)
    found[inside] = np.unique(number[inside], return_inverse=True)[1]
    return found


def overlaps(truth: Instances, found: Instances, known: np.ndarray) -> np.ndarray:
    """IoU (T, P) of the points of true and predicted objects.

    known : (N,) bool. Points of unknown truth count for neither.
    """
    t, p = truth.number[known], found.number[known]
    cells = (t + 1) * (len(found) + 1) + p + 1
    shared = np.bincount(cells, minlength=(len(truth) + 1) * (len(found) + 1))
    shared = shared.reshape(len(truth) + 1, len(found) + 1)
    union = shared.sum(1)[1:, None] + shared.sum(0)[None, 1:] - shared[1:, 1:]
    return shared[1:, 1:] / np.maximum(union, 1)


def panoptic_quality(
    truths: Sequence[Instances], found: Sequence[Instances], known: Sequence[np.ndarray], c: int
) -> dict[str, float]:
    """``pq``, ``sq`` and ``rq`` of class c over scenes (Kirillov et al., CVPR 2019, Eq. 1 and 2).

        PQ = sum of IoU over TP / (|TP| + |FP| / 2 + |FN| / 2)

    An object is found (TP) by the one of its class whose IoU is above 1/2, of which there is at
    most one. Predicted objects of which more than half is of unknown truth count for nothing.
    NaN where the class is neither there nor predicted.
    """
    hits, there, called = [], 0, 0
    for truth, guess, sure in zip(truths, found, known, strict=True):
        iou = overlaps(truth, guess, sure)[truth.label == c][:, guess.label == c]
        matched = iou > 0.5
        hits += iou[matched].tolist()
        size = np.bincount(guess.number[guess.number >= 0], minlength=len(guess))
        seen = np.bincount(guess.number[sure & (guess.number >= 0)], minlength=len(guess))
        counted = (2 * seen >= size)[guess.label == c] | matched.any(0)
        there, called = there + len(iou), called + int(counted.sum())
    if not there + called:
        return dict.fromkeys(("pq", "sq", "rq"), float("nan"))
    sq = fmean(hits) if hits else 0.0
    rq = len(hits) / ((there + called) / 2)  # TP + FP / 2 + FN / 2
    return {"pq": sq * rq, "sq": sq, "rq": rq}


def average_precision(
    iou: Sequence[np.ndarray], scores: Sequence[np.ndarray], threshold: float
) -> float:
    """Area under the interpolated curve of precision over recall, at all points.

    Predictions of all scenes, by falling score, take in turn the true object of the largest IoU
    that none has taken, if it is at least ``threshold`` (COCO's matching); precision is raised to
    its largest value at any larger recall (Everingham et al., IJCV 2010, as of VOC 2010).

    iou : (T, P) of each scene, for objects of one class. scores : (P,) of each scene. NaN without a
    true object.
    """
    there = sum(len(matrix) for matrix in iou)
    if not there:
        return float("nan")
    rows = [(s, scene, p) for scene, of in enumerate(scores) for p, s in enumerate(of)]
    rows.sort(key=lambda row: (-row[0], *row[1:]))
    free = [np.ones(len(matrix), bool) for matrix in iou]
    hit = np.zeros(len(rows), bool)
    for rank, (_, scene, p) in enumerate(rows):
        candidates = np.where(free[scene], iou[scene][:, p], -1.0)
        if len(candidates) and candidates.max() >= threshold:
            free[scene][candidates.argmax()], hit[rank] = False, True
    recall = np.cumsum(hit) / there
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def detection_scores(
    scenes: Sequence[Cloud], found: Sequence[Instances], things: Sequence[int]
) -> dict[str, float]:
    """Scores of predicted objects, each the mean over the classes that are there.

    ``pq`` : panoptic quality. ``map25``, ``map50`` : average precision of masks at an IoU of 1/4
    and 1/2. ``box25``, ``box50`` : of the oriented boxes around them, against those around the
    points of the true objects.
    """
    truths = [true_instances(cloud, things) for cloud in scenes]
    known = [cloud.known("label") >= 0 for cloud in scenes]
    masks = [overlaps(t, p, sure) for t, p, sure in zip(truths, found, known, strict=True)]
    boxes = [
        box_iou(fit_boxes(cloud.coords, t.number), fit_boxes(cloud.coords, p.number))
        for cloud, t, p in zip(scenes, truths, found, strict=True)
    ]
    present = [c for c in things if any((t.label == c).any() for t in truths)]
    scores = {"pq": fmean(panoptic_quality(truths, found, known, c)["pq"] for c in present)}
    for name, iou in (("map", masks), ("box", boxes)):
        for percent in (25, 50):
            scores[f"{name}{percent}"] = fmean(
                average_precision(
                    [
                        m[t.label == c][:, p.label == c]
                        for m, t, p in zip(iou, truths, found, strict=True)
                    ],
                    [p.score[p.label == c] for p in found],
                    percent / 100,
                )
                for c in present
            )
    return scores


def over_seeds(results: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over seeds of :func:`detection_scores` by system, with ``<name>_std`` beside each."""
    return {
        system: {
            name + suffix: reduce(result[system][name] for result in results)
            for name in results[0][system]
            for suffix, reduce in (("", fmean), ("_std", pstdev))
        }
        for system in results[0]
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """:func:`over_seeds` as text: a row per system, in per cent."""
    names = [name for name in next(iter(found.values())) if not name.endswith("_std")]
    lines = [f"{'objects, %':<24}" + "".join(f"{name:>14}" for name in names)]
    for system, values in found.items():
        cells = (f"{100 * values[n]:.1f} +- {100 * values[n + '_std']:.1f}" for n in names)
        lines.append(f"{system:<24}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)

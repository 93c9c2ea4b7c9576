"""Quality, number of segments and speed of over-segmentation and foreground detection.

With default settings, on labelled scenes. ``miou`` is that of labelling each segment by the
majority class of its points, an upper bound for methods that learn from segments. Times are
processor time of one thread, best of three, from points to segments with neighbours and normals.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import fmean

import numpy as np
from suites.files import data_file
from suites.table import Row

from pcrep.cloud import Cloud
from pcrep.datasets import labelled_split, load_points, load_scenes
from pcrep.evaluation.scores import confusion, precision_recall
from pcrep.preparation import prepare
from pcrep.preparation.foreground import foreground
from pcrep.preparation.planes import upright
from pcrep.preparation.segments import SegmentConfig, over_segment
from pcrep.procedural import BACKGROUND, CLASSES

ROOM = "points/s3dis_room/s3dis_room.npz"
STREET = "points/semantickitti/000000.bin"
OBJECTS = range(6, 11)
"""Labels of objects in the room: board, table, chair, sofa, bookcase."""
THINGS = (*range(10, 33), *range(252, 260))
"""Raw SemanticKITTI labels of vehicles and people, static and moving."""
GRAPH, CLUSTERS = "felzenszwalb-graph", "ransac-dbscan"


def rows() -> Iterator[Row]:
    """All rows. Needs ``$TSPCREP_DATA`` for mOSD, the S3DIS room and the SemanticKITTI frame."""
    for config in (SegmentConfig(), SegmentConfig(method="planes")):
        yield from segments(config)
    yield from speed()
    yield from _foregrounds()


def segments(config: SegmentConfig) -> Iterator[Row]:
    system = GRAPH if config.method == "graph" else CLUSTERS
    room = load_points(data_file(ROOM))
    sets: dict[str, list[Cloud]] = {
        "s3dis-room": [room],
        "mosd-3-test": list(labelled_split("mosd").test),
        "procedural-test": list(labelled_split("procedural").test),
    }
    for name, clouds in sets.items():
        found = [over_segment(upright(cloud), config) for cloud in clouds]
        scores = [_majority_miou(s, c.label) for s, c in zip(found, clouds, strict=True)]
        counts = [float(s.max() + 1) for s in found]
        case = f"over-segmentation/{name}"
        yield Row(case, system, "miou", fmean(scores))
        yield Row(case, system, "miou_worst_scene", min(scores))
        yield Row(case, system, "segments", fmean(counts))
        yield Row(case, system, "segments_most", max(counts))


def _majority_miou(segment: np.ndarray, label: np.ndarray) -> float:
    """Mean IoU over present classes if segments take their majority label; -1 is left out."""
    segment, label = segment[label >= 0], label[label >= 0]
    table = np.zeros((segment.max() + 1, label.max() + 1), np.int64)
    np.add.at(table, (segment, label), 1)
    chosen = table.argmax(1)
    won = np.zeros(table.shape[1], np.int64)
    np.add.at(won, chosen, table[np.arange(len(table)), chosen])
    given = np.bincount(chosen, table.sum(1), minlength=table.shape[1])
    present = table.sum(0) > 0
    return float((won / np.maximum(table.sum(0) + given - won, 1))[present].mean())


def speed(rounds: int = 3) -> Iterator[Row]:
    clouds = {
        "s3dis-room": load_points(data_file(ROOM)),
        "mosd-learn0": upright(load_scenes("mosd")[0]),
        "semantickitti": load_points(data_file(STREET)),
    }
    for name, cloud in clouds.items():
        for task, run in (("over-segmentation", over_segment), ("prepare", prepare)):
            seconds = min(_busy(run, cloud) for _ in range(rounds))
            case = f"{task}/{name}"
            yield Row(case, GRAPH, "points_per_second", len(cloud) / seconds, "1/s")


def _busy(run: Callable[[Cloud], object], cloud: Cloud) -> float:
    """Processor time of this process in seconds, summed over threads."""
    start = time.process_time()
    run(cloud)
    return time.process_time() - start


def _foregrounds() -> Iterator[Row]:
    """Precision and recall of foreground points, averaged over scenes."""
    background = [CLASSES.index(name) for name in BACKGROUND]
    mosd = load_scenes("mosd")
    halves = {
        half: [i for i, name in enumerate(mosd.names) if name.startswith(half)]
        for half in ("learn", "test")
    }
    sets: dict[str, list[tuple[Cloud, np.ndarray]]] = {
        f"mosd-{half}": [(mosd[i], mosd[i].instance >= 0) for i in chosen]
        for half, chosen in halves.items()
    }
    room, street = load_points(data_file(ROOM)), load_points(data_file(STREET))
    sets["s3dis-room"] = [(room, np.isin(room.label, OBJECTS))]
    sets["semantickitti-things"] = [(street, np.isin(street.label, THINGS))]
    sets["procedural-test"] = [
        (cloud, ~np.isin(cloud.label, background)) for cloud in labelled_split("procedural").test
    ]
    for name, scenes in sets.items():
        case, system = f"foreground/{name}", "objectness"
        found = [foreground(prepare(replace(cloud, label=None))) for cloud, _ in scenes]
        tables = [confusion(truth, f, 2) for f, (_, truth) in zip(found, scenes, strict=True)]
        pairs = [precision_recall(table, np.array([False, True])) for table in tables]
        precision, recall = zip(*pairs, strict=True)
        yield Row(case, system, "precision", fmean(precision))
        yield Row(case, system, "recall", fmean(recall))
        yield Row(case, system, "recall_worst_scene", min(recall))
        yield Row(case, system, "share_of_points", fmean(float(f.mean()) for f in found))

"""``report.html`` of a segmentation run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.cloud import Cloud, Scenes
from pcrep.encoders.voxelize import thin
from pcrep.evaluation.boxes import fit_boxes, outline
from pcrep.evaluation.detections import Instances, true_instances
from pcrep.evaluation.instances import find_objects
from pcrep.evaluation.segmentation import Segmenter
from pcrep.reports import pictures
from pcrep.reports.pictures import by_number
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.runs import results, scene, write_page
from pcrep.reports.viewer import View
from tspcrep.common import pages
from tspcrep.common.markup import Html, tag
from tspcrep.common.palette import WRONG, class_colours, many_colours

_GREY = (0.75, 0.75, 0.75)
_KINDS = ("right", "wrong")


def write(
    folder: Path,
    result: dict[str, Any],
    segmenter: Segmenter | None = None,
    test: Scenes | None = None,
) -> Path:
    """Write ``report.html`` into the folder of a finished run and return its path.

    Parameters
    ----------
    result : of :func:`pcrep.reports.results.read_result`.
    segmenter, test : trained network and upright labelled scenes, the first of which is drawn with
        prediction and truth; left out for kNN.
    """
    title, mode = f"Segmentation of {result['data']}, {result['mode']}", result["mode"]
    parts = results(result)
    if segmenter is not None and test is not None:
        parts.append(_prediction(segmenter, test, result["seeds"][0]))
        if result.get("instances"):
            parts.append(_objects(segmenter, test, result))
    if mode not in ("linear", "knn"):  # which have no steps
        parts += pages.losses(folder, result["seeds"], mode)
    return write_page(folder, title, parts)


def _prediction(segmenter: Segmenter, test: Scenes, seed: int) -> Html:
    cloud, classes = test[0], test.classes
    predicted = segmenter.predict(cloud)
    colours = class_colours(len(classes))
    label = cloud.known("label")
    wrong = (predicted != label) & (label >= 0)
    thinned = thin(replace(cloud, segment=np.arange(len(cloud))), segmenter.voxel)
    kept = thinned.known("segment")

    def view(title: str, numbers: np.ndarray, shades: np.ndarray, names: Sequence[str]) -> View:
        return View(title, by_number(numbers, shades)[kept], numbers=numbers[kept], names=names)

    views = [
        view("Truth", label, colours, classes),
        view("Prediction", predicted, colours, classes),
        view("Mistakes", wrong.astype(int), np.array([_GREY, WRONG]), _KINDS),
    ]
    if cloud.colour is not None:
        views.append(View("Colour", cloud.colour[kept]))
    known = max(int((label >= 0).sum()), 1)
    there = np.union1d(predicted, label)
    legend = {classes[i]: colours[i] for i in there if i >= 0}
    told = (
        f"{cloud.name}, the first test scene, by the network of seed {seed}: "
        f"{100 * wrong.sum() / known:.1f} % of its labelled points are wrong"
    )
    legend["mistake"] = WRONG
    return scene("Prediction against truth", cloud.coords[kept], views, told, legend=legend)


def _objects(segmenter: Segmenter, test: Scenes, result: dict[str, Any]) -> Html:
    """A table of the scores of objects, and those of the first test scene in their boxes."""
    cloud, things = test[0], [test.classes.index(name) for name in test.things]
    kinds = {
        "True objects": true_instances(cloud, things),
        "Objects found": find_objects(segmenter, cloud, things)["grouped"],
    }
    viewpoint = choose_viewpoint(cloud.coords)
    panels = [
        pictures.panel(name, *_in_boxes(cloud, objects, segmenter.voxel), viewpoint)
        for name, objects in kinds.items()
    ]
    told = f"{cloud.name}, the first test scene; boxes stand upright and are turned to fit"
    image = tag("img", alt=told, src=pages.source(pictures.still(panels)))
    drawn = tag("figure", image, tag("figcaption", told, "."))
    return pages.section("Objects", *_scores_of_objects(result["instances"]), drawn)


def _in_boxes(cloud: Cloud, objects: Instances, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and their colours: one colour for each object, grey elsewhere, and edges of boxes."""
    colours = by_number(objects.number, many_colours(max(len(objects), 1)))
    edges = [outline(box, spacing / 2) for box in fit_boxes(cloud.coords, objects.number)]
    lines = np.concatenate([np.empty((0, 3)), *edges]).astype(np.float32)
    coords = np.concatenate([cloud.coords, lines])
    return coords, np.concatenate([colours, np.tile(WRONG, (len(lines), 1))])


def _scores_of_objects(found: dict[str, dict[str, float]]) -> list[Html]:
    """A row for each score and a column for each way to find objects."""
    names = [name for name in next(iter(found.values())) if not name.endswith("_std")]
    rows = [[name, *(_with_spread(own, name) for own in found.values())] for name in names]
    told = (
        "Means over the classes of things and over seeds. pq is panoptic quality; map and box are "
        "average precisions of masks and of oriented boxes at an IoU of 25 and 50 %. grouped joins "
        "segments whose features and form agree; segments takes each for an object, and dbscan "
        "takes clusters of points, of the same foreground."
    )
    return [pages.table(["%", *found], rows), tag("p", told)]


def _with_spread(scores: dict[str, float], name: str) -> str:
    value, spread = scores.get(name), scores.get(f"{name}_std")
    if value is None:
        return "–"
    return f"{100 * value:.1f} ± {100 * spread:.1f}" if spread else f"{100 * value:.1f}"

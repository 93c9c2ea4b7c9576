"""``report.html`` of a segmentation run."""

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
from tspcrep.common import pages

METRICS = "metrics.jsonl"
_GREY, _WRONG = (0.75, 0.75, 0.75), (0.85, 0.1, 0.15)


def write(
    folder: Path,
    result: dict[str, Any],
    segmenter: Segmenter | None = None,
    test: Scenes | None = None,
) -> Path:
    """Write ``report.html`` into the folder of a finished run and return its path.

    Without plotly the page has still pictures only.

    Parameters
    ----------
    result : ``result.json`` of the run.
    segmenter, test : trained network and upright labelled scenes, the first of which is drawn with
        prediction and truth; left out for kNN.
    """
    title, mode = f"Segmentation of {result['data']}, {result['mode']}", result["mode"]
    parts = results(result)
    if segmenter is not None:
        parts += _prediction(segmenter, test, result["seeds"][0])
        if "instances" in result:
            parts += _objects(segmenter, test, result)
    trained = [s for s in result["seeds"] if (folder / f"seed-{s}" / mode / METRICS).exists()]
    if trained:
        parts += pages.losses(folder, trained, mode)
    return write_page(folder, title, parts)


def _prediction(segmenter: Segmenter, test: Scenes, seed: int) -> list[str]:
    cloud, classes = test[0], test.classes
    predicted = segmenter.predict(cloud)
    colours = pictures.class_colours(len(classes))
    wrong = (predicted != cloud.label) & (cloud.label >= 0)
    colourings = {
        **({} if cloud.colour is None else {"Colour": cloud.colour}),
        "Truth": by_number(cloud.label, colours),
        "Prediction": by_number(predicted, colours),
        "Mistakes": np.where(wrong[:, None], _WRONG, _GREY),
    }
    kept = thin(replace(cloud, segment=np.arange(len(cloud))), segmenter.voxel).segment
    coords = cloud.coords[kept]
    colourings = {name: values[kept] for name, values in colourings.items()}
    known = max(int((cloud.label >= 0).sum()), 1)
    there = np.union1d(predicted, cloud.label)
    legend = {classes[i]: colours[i] for i in there if i >= 0}
    told = (
        f"{cloud.name}, the first test scene, by the network of seed {seed}: "
        f"{100 * wrong.sum() / known:.1f} % of its labelled points are wrong, drawn red"
    )
    return scene("Prediction against truth", coords, colourings, told, legend=legend)


def _objects(segmenter: Segmenter, test: Scenes, result: dict[str, Any]) -> list[str]:
    """A table of the scores of objects, and those of the first test scene in their boxes."""
    cloud, things = test[0], [test.classes.index(name) for name in test.things]
    drawn = {
        "True objects": true_instances(cloud, things),
        "Objects found": find_objects(segmenter, cloud, things)["grouped"],
    }
    viewpoint = choose_viewpoint(cloud.coords)
    panels = [
        pictures.panel(name, *_in_boxes(cloud, objects, segmenter.voxel), viewpoint)
        for name, objects in drawn.items()
    ]
    told = f"{cloud.name}, the first test scene; boxes stand upright and are turned to fit"
    return [*_scores_of_objects(result["instances"]), pages.figure(pictures.still(panels), told)]


def _in_boxes(cloud: Cloud, objects: Instances, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and their colours: one colour for each object, grey elsewhere, and edges of boxes."""
    colours = by_number(objects.number, pictures.many_colours(max(len(objects), 1)))
    edges = [outline(box, spacing / 2) for box in fit_boxes(cloud.coords, objects.number)]
    lines = np.concatenate([np.empty((0, 3)), *edges]).astype(np.float32)
    coords = np.concatenate([cloud.coords, lines])
    return coords, np.concatenate([colours, np.tile(_WRONG, (len(lines), 1))])


def _scores_of_objects(found: dict[str, dict[str, float]]) -> list[str]:
    names = [name for name in next(iter(found.values())) if not name.endswith("_std")]
    header = "".join(f"<th>{name}</th>" for name in names)
    rows = [
        f"<tr><td>{system}</td>"
        + "".join(f"<td>{100 * v[n]:.1f} ± {100 * v[n + '_std']:.1f}</td>" for n in names)
        + "</tr>"
        for system, v in found.items()
    ]
    return [
        "<h2>Objects</h2>",
        f'<div class="wide"><table><tr><th>%</th>{header}</tr>{"".join(rows)}</table></div>',
        "<p>Means over the classes of things and over seeds. <em>pq</em> is panoptic quality; "
        "<em>map</em> and <em>box</em> are average precisions of masks and of oriented boxes at an "
        "IoU of 25 and 50 %. <em>grouped</em> joins segments whose features and form agree; "
        "<em>segments</em> takes each for an object, and <em>dbscan</em> takes clusters of points, "
        "of the same foreground.</p>",
    ]

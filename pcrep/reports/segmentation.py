"""``report.html`` of a segmentation run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.cloud import Scenes
from pcrep.encoders.voxelize import thin
from pcrep.evaluation.segmentation import Segmenter
from pcrep.reports import pictures
from pcrep.reports.pictures import by_number
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

"""Parts shared by the reports of runs on point clouds; report.html needs no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.evaluation.scores import columns
from pcrep.reports.pictures import panel, still
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.viewer import SCRIPT, Cloud, Figure, View, to_turn
from tspcrep.common import pages
from tspcrep.common.markup import Html, tag
from tspcrep.common.runs import write_text
from tspcrep.common.verdicts import Measure, System, systems_table, verdict

_MIOU = Measure("mIoU", max, percent=True)
_TOLD = {
    "auto": "the pretrained encoder, tuned as far as cross-validation over labelled scenes says",
    "finetune": "the pretrained encoder, tuned with care on the labels",
    "full": "the pretrained encoder, trained on the labels as if from scratch",
    "linear": "a logistic regression on features of the pretrained encoder, which is frozen",
    "knn": "the nearest neighbours among features of the pretrained encoder, which is frozen",
    "frozen": "a linear head on features of the pretrained encoder, which is frozen",
    "scratch": "the same network trained from random weights, on those labels",
    "random_encoder_probe": "a probe of the same network before training",
}
_NAMES = {
    **{
        "auto": "tuned",
        "finetune": "tuned",
        "full": "tuned",
        "linear": "pretrained",
        "knn": "pretrained",
    },
    "random_encoder_probe": "untrained",
}
"""What systems are called on a page, where ``result.json`` says how they were made."""


def write_page(folder: Path, title: str, parts: Sequence[Html]) -> Path:
    """Write ``report.html`` into a run's folder and return its path.

    parts : HTML below the title, in order; the configuration is printed at the end.
    """
    path = folder / "report.html"
    write_text(path, pages.page(title, [*parts, *pages.details(folder)], SCRIPT))
    return path


def results(result: dict[str, Any]) -> list[Html]:
    """The verdict of a run, a table of its systems, and one of its classes."""
    mode, seeds = result["mode"], len(result["seeds"])
    scores: dict[str, dict[str, Any]] = {mode: result}
    scores |= {n: s for n, s in result["controls"].items() if n != mode}
    systems = [
        System(
            _NAMES.get(name, name),
            _TOLD.get(name, ""),
            found["miou"],
            found["miou_std"] if seeds > 1 else None,
        )
        for name, found in scores.items()
    ]
    drawn = f" over {result['spread']}" if "spread" in result and seeds > 1 else ""
    told = "On every point of the test scenes. mIoU is the mean over classes of intersection over "
    told += "union, more is better."
    if seeds > 1:
        told += f" ± is the standard deviation{drawn}; marked is what leads all others by more."
    if {"labelled_scenes", "labelled_fraction"} <= result.keys():
        share = 100 * result["labelled_fraction"]
        told += f" Scenes with labels: {result['labelled_scenes']}, {share:.3g} % of all labels."
    return [
        tag("section", *verdict(_MIOU, systems[0], systems[1:], seeds)),
        pages.section("Results", systems_table(_MIOU, "system", systems, seeds), tag("p", told)),
        pages.section("Classes", *_classes(scores)),
    ]


def _classes(scores: Mapping[str, dict[str, Any]]) -> list[Html]:
    """The mean first, then each class, and foreground where it is known; a column per system."""
    values = {name: columns(found) for name, found in scores.items()}
    own = next(iter(values.values()))
    names = ["mIoU", *(name for name in own if name != "mIoU")]
    rows = [[n, *(_percent(column.get(n)) for column in values.values())] for n in names]
    told = "Intersection over union of each class, means over seeds"
    if any("foreground" in found for found in scores.values()):
        told += "; precision and recall are those of points of any thing, against the rest"
    head = ["%", *(_NAMES.get(name, name) for name in scores)]
    return [pages.table(head, rows), tag("p", f"{told}.")]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def scene(
    heading: str,
    coords: np.ndarray,
    views: Sequence[View],
    told: str,
    legend: Mapping[str, Sequence[float]] | None = None,
    score: tuple[str, float, float] | None = None,
) -> Html:
    """A cloud (N, 3) in several colourings, to turn, from the camera of its still.

    told : caption. legend, score : of :func:`pcrep.reports.pictures.still`.
    """
    viewpoint = choose_viewpoint(coords)
    coloured = ((v.title, v.colours) for v in views if v.colours is not None)
    panels = [panel(title, coords, colours, viewpoint) for title, colours in coloured]
    figure = Figure([Cloud(coords, viewpoint)], views, legend=legend or {})
    return pages.section(heading, to_turn(figure, still(panels, legend, score), told))

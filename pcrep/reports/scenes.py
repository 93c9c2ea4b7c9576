"""A page of scenes: each in its colours and, where it has labels, by class."""

from collections.abc import Sequence

import numpy as np

from pcrep.cloud import Cloud
from pcrep.reports.pictures import Panel, by_number, by_score, class_colours, panel, still
from pcrep.reports.render import choose_viewpoint


def page(clouds: Sequence[Cloud], classes: Sequence[str] = ()) -> bytes:
    """A PNG with two panels for each cloud: colour, intensity or height, and classes or height.

    classes : names of the labels; without any, or without labels, the height is on the right.
    """
    colours = class_colours(len(classes)) if classes else np.zeros((0, 3))
    panels = [one for cloud in clouds for one in _pair(cloud, colours)]
    numbers = [np.unique(c.label) for c in clouds if classes and c.label is not None]
    shown = np.unique(np.concatenate([np.empty(0, np.int64), *numbers]))
    legend = {classes[k]: colours[k] for k in shown if k >= 0}
    return still(panels, legend or None)


def _pair(cloud: Cloud, colours: np.ndarray) -> list[Panel]:
    viewpoint, height = choose_viewpoint(cloud.coords), _shade(cloud.coords[:, 2])
    if cloud.colour is not None:
        left = cloud.colour
    else:
        left = height if cloud.intensity is None else _shade(cloud.intensity)
    labelled = cloud.label is not None and len(colours)
    right = by_number(cloud.label, colours) if labelled else height
    told = "classes" if labelled else "height"
    return [
        panel(cloud.name, cloud.coords, left, viewpoint),
        panel(f"{cloud.name}: {told}", cloud.coords, right, viewpoint),
    ]


def _shade(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.02, 0.98])
    return by_score(values, float(low), float(max(high, low + 1e-9)))

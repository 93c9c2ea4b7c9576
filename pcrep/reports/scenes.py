"""Pictures of scenes in their colours and by class, and a page of one to turn."""

from collections.abc import Sequence

import numpy as np

from pcrep.cloud import Cloud
from pcrep.reports.pictures import Panel, by_number, by_score, panel, still
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.runs import scene
from pcrep.reports.viewer import SCRIPT, View
from tspcrep.common import pages
from tspcrep.common.palette import class_colours

_DRAWN = 300_000  # points of which a still is drawn
_LEGEND = 12  # labels that a legend has


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


def page_to_turn(cloud: Cloud, title: str) -> str:
    """An HTML page of a cloud to turn: by colour, intensity or height, and by label if it has any.

    Of a large cloud, points drawn at random are shown. Labels are told by their numbers.
    """
    count = len(cloud)
    if count > _DRAWN:
        cloud = cloud.take(np.random.default_rng(0).choice(count, _DRAWN, replace=False))
    views, legend = [View(*_own(cloud))], {}
    if cloud.label is not None:
        known = np.unique(cloud.label[cloud.label >= 0])
        index = np.where(cloud.label < 0, -1, np.searchsorted(known, cloud.label))
        colours, names = class_colours(len(known)), [f"label {number}" for number in known]
        views.append(View("Label", by_number(index, colours), numbers=index, names=names))
        legend = dict(zip(names[:_LEGEND], colours, strict=False))
    size = " x ".join(f"{length:.3g}" for length in np.ptp(cloud.coords, axis=0))
    told = f"{count:,} points, {size} m"
    return pages.page(title, [scene("Points", cloud.coords, views, told, legend=legend)], SCRIPT)


def _own(cloud: Cloud) -> tuple[str, np.ndarray]:
    """What a cloud is coloured by, and the colours (N, 3)."""
    if cloud.colour is not None:
        return "Colour", cloud.colour
    if cloud.intensity is not None:
        return "Intensity", _shade(cloud.intensity)
    return "Height", _shade(cloud.coords[:, 2])


def _pair(cloud: Cloud, colours: np.ndarray) -> list[Panel]:
    viewpoint, height = choose_viewpoint(cloud.coords), _shade(cloud.coords[:, 2])
    _, left = _own(cloud)
    right, told = height, "height"
    if cloud.label is not None and len(colours):
        right, told = by_number(cloud.label, colours), "classes"
    return [
        panel(cloud.name, cloud.coords, left, viewpoint),
        panel(f"{cloud.name}: {told}", cloud.coords, right, viewpoint),
    ]


def _shade(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.02, 0.98])
    return by_score(values, float(low), float(max(high, low + 1e-9)))

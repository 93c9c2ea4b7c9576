"""``report.html`` of a pretraining run on point clouds."""

from pathlib import Path
from typing import Any

import numpy as np

from pcrep.augment import AugmentConfig, augmented
from pcrep.cloud import Cloud
from pcrep.embedding import principal_colours
from pcrep.encoders.encoding import encode, untrained, voxel_size
from pcrep.encoders.unet import SparseUNet
from pcrep.encoders.voxelize import thin
from pcrep.preparation import prepare
from pcrep.preparation.foreground import foreground
from pcrep.reports import pictures
from pcrep.reports.pictures import by_number, by_score, panel, still
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.runs import results, scene, write_page
from pcrep.reports.viewer import Cloud as Shown
from pcrep.reports.viewer import Figure, View, to_turn
from tspcrep.common import pages
from tspcrep.common.markup import Html
from tspcrep.common.palette import many_colours


def write(
    folder: Path,
    result: dict[str, Any],
    title: str,
    cloud: Cloud,
    encoder: SparseUNet,
    augment: AugmentConfig,
) -> Path:
    """Write ``report.html`` into the folder of a finished run and return its path.

    Parameters
    ----------
    result : of :func:`pcrep.reports.results.read_result`.
    title : title of the page.
    cloud : scene to draw, as it was read.
    encoder : the trained encoder, compared with the same before training.
    augment : augmentation of the two views of the activation maps.
    """
    before = untrained(encoder, result["seeds"][0])
    cloud = thin(prepare(cloud), voxel_size(encoder))
    parts = [
        *(results(result) if "miou" in result else []),
        _scene(encoder, cloud),
        *_activation(encoder, before, cloud, augment),
        *pages.losses(folder, result["seeds"]),
    ]
    return write_page(folder, title, parts)


def _scene(encoder: SparseUNet, cloud: Cloud) -> Html:
    features, segment = _features(encoder, cloud), cloud.known("segment")
    numbers = many_colours(int(segment.max()) + 1)
    objectness = np.append(cloud.known("objectness"), np.nan)[segment]
    views = [
        *([] if cloud.colour is None else [View("Colour", cloud.colour)]),
        View("Segments", by_number(segment, numbers)),
        View("Foreground score", by_score(objectness), numbers=objectness),
        View("Features", principal_colours(features) / 255),
    ]
    told = (
        f"{cloud.name}: {len(np.unique(segment))} segments; the foreground score, 0 to 1, "
        "says how much a segment looks like an object; the encoder's features by their first three "
        "principal components"
    )
    score = ("foreground score", 0, 1)
    return scene("A scene", cloud.coords, views, told, score=score)


def _activation(
    encoder: SparseUNet, before: SparseUNet, cloud: Cloud, augment: AugmentConfig
) -> list[Html]:
    """Activation maps of two views by both encoders, for a query point of the foreground."""
    a, b = (augmented(cloud, augment, seed) for seed in (0, 1))
    query = _query_point(a, b)
    if query is None:
        return []
    clouds = [Shown(view.coords, choose_viewpoint(view.coords)) for view in (a, b)]
    panels, views = [], []
    for name, network in (("trained", encoder), ("untrained", before)):
        features = [_features(network, view) for view in (a, b)]
        for index, (which, shown, own) in enumerate(
            zip(("First", "Second"), clouds, features, strict=True)
        ):
            title = f"{which} view, {name}"
            colours = by_score(pictures.correlation(features[0][query], own))
            marked = None if index else query
            panels.append(panel(title, shown.coords, colours, shown.viewpoint, marked))
            views.append(View(title, cloud=index, features=own, group=name))
    told = (
        "Cosine of the features of the circled point with those of every point of both views, by "
        "the trained encoder and by the same before training; below 0 is drawn as 0"
    )
    drawn = to_turn(Figure(clouds, views, (0, query)), still(panels, score=("cosine", 0, 1)), told)
    return [pages.section("Activation maps", drawn)]


def _query_point(a: Cloud, b: Cloud) -> int | None:
    """Query point, a row of ``a``: the centre of the largest foreground segment in both views.

    The size of a segment is the smaller of its point counts in the two views. None where no
    foreground segment is in both.
    """
    segments = len(a.known("objectness"))
    inside = (view.known("segment")[foreground(view)] for view in (a, b))
    common = np.minimum(*(np.bincount(s, minlength=segments)[:segments] for s in inside))
    if not common.any():
        return None
    rows = np.flatnonzero(a.known("segment") == common.argmax())
    own = a.coords[rows]
    return int(rows[np.square(own - np.median(own, 0)).sum(1).argmin()])


def _features(encoder: SparseUNet, cloud: Cloud) -> np.ndarray:
    """Of the decoder's end, which is what pretraining compares."""
    features, point_to_voxel = encode(encoder, cloud, voxel_size(encoder), levels="decoder")
    return features[point_to_voxel]

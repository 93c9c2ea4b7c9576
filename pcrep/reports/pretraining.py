"""``report.html`` of a pretraining run on point clouds."""

from pathlib import Path
from typing import Any

import numpy as np

from pcrep.augment import AugmentConfig, augmented
from pcrep.cloud import Cloud
from pcrep.embedding import principal_colours
from pcrep.encoders.encoding import encode, untrained
from pcrep.encoders.unet import SparseUNet
from pcrep.encoders.voxelize import thin
from pcrep.preparation import prepare
from pcrep.preparation.foreground import foreground
from pcrep.reports import pictures
from pcrep.reports.pictures import by_number, by_score, panel, still
from pcrep.reports.render import choose_viewpoint
from pcrep.reports.runs import results, scene, to_turn, write_page
from tspcrep.common import pages


def write(
    folder: Path,
    result: dict[str, Any],
    title: str,
    cloud: Cloud,
    encoder: SparseUNet,
    augment: AugmentConfig,
) -> Path:
    """Write ``report.html`` into the folder of a finished run and return its path.

    Without plotly the page has still pictures only.

    Parameters
    ----------
    result : ``result.json`` of the run.
    title : title of the page.
    cloud : scene to draw, as it was read.
    encoder : the trained encoder, compared with the same before training.
    augment : augmentation of the two views of the activation maps.
    """
    before = untrained(encoder, result["seeds"][0])
    cloud = thin(prepare(cloud), encoder.voxel)
    parts = [
        *(results(result) if "miou" in result else []),
        *_scene(encoder, cloud),
        *_activation(encoder, before, cloud, augment),
        *pages.losses(folder, result["seeds"]),
    ]
    return write_page(folder, title, parts)


def _scene(encoder: SparseUNet, cloud: Cloud) -> list[str]:
    features = _features(encoder, cloud)
    numbers = pictures.many_colours(int(cloud.segment.max()) + 1)
    objectness = np.append(cloud.objectness, np.nan)[cloud.segment]
    colourings = {
        **({} if cloud.colour is None else {"Colour": cloud.colour}),
        "Segments": by_number(cloud.segment, numbers),
        "Foreground score": by_score(objectness),
        "Features": principal_colours(features) / 255,
    }
    told = (
        f"{cloud.name}: {len(np.unique(cloud.segment))} segments; the foreground score, 0 to 1, "
        "says how much a segment looks like an object; the encoder's features by their first three "
        "principal components"
    )
    score = ("foreground score", 0, 1)
    return scene("A scene", cloud.coords, colourings, told, score=score)


def _activation(
    encoder: SparseUNet, before: SparseUNet, cloud: Cloud, augment: AugmentConfig
) -> list[str]:
    """Activation maps of two views by both encoders, for a query point of the foreground."""
    a, b = (augmented(cloud, augment, seed) for seed in (0, 1))
    query = _query_point(a, b)
    if query is None:
        return []
    viewpoints = [choose_viewpoint(view.coords) for view in (a, b)]
    panels, colourings = [], {}
    for name, network in (("trained", encoder), ("untrained", before)):
        of_a, of_b = (_features(network, view) for view in (a, b))
        maps = [by_score(pictures.correlation(of_a[query], f)) for f in (of_a, of_b)]
        panels += [
            panel(f"First view, {name}", a.coords, maps[0], viewpoints[0], query),
            panel(f"Second view, {name}", b.coords, maps[1], viewpoints[1]),
        ]
        colourings[name.capitalize()] = maps
    told = (
        "Cosine of the features of the circled point with those of every point of both views, by "
        "the trained encoder and by the same before training; below 0 is drawn as 0"
    )
    if a.colour is not None:
        colourings["Colour"] = [a.colour, b.colour]
    return [
        "<h2>Activation maps</h2>",
        pages.figure(still(panels, score=("cosine", 0, 1)), told),
        *to_turn([a.coords, b.coords], colourings),
    ]


def _query_point(a: Cloud, b: Cloud) -> int | None:
    """Query point, a row of ``a``: the centre of the largest foreground segment in both views.

    The size of a segment is the smaller of its point counts in the two views. None where no
    foreground segment is in both.
    """
    segments = len(a.objectness)
    shown = [np.bincount(v.segment[foreground(v)], minlength=segments)[:segments] for v in (a, b)]
    common = np.minimum(*shown)
    if not common.any():
        return None
    rows = np.flatnonzero(a.segment == common.argmax())
    own = a.coords[rows]
    return int(rows[np.square(own - np.median(own, 0)).sum(1).argmin()])


def _features(encoder: SparseUNet, cloud: Cloud) -> np.ndarray:
    features, point_to_voxel = encode(encoder, cloud, encoder.voxel)
    return features[point_to_voxel]

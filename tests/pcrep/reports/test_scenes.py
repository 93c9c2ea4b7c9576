"""A page of scenes: its panels, and the colours in them."""

import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from pcrep.procedural.endless import KINDS, Endless
from pcrep.reports.scenes import page
from tests.pcrep.made_scenes import CLASSES, made_scene
from tspcrep.common.palette import class_colours


def share(png, colour):
    """Share of the right half's pixels that have the hue of a colour, dark or bright."""
    image = matplotlib.image.imread(io.BytesIO(png))[:, :, :3]
    right = image[: int(0.8 * len(image)), image.shape[1] // 2 :].reshape(-1, 3)
    cosine = right @ colour / np.maximum(np.linalg.norm(right, axis=1), 1e-6)
    return float((cosine / np.linalg.norm(colour) > 0.9995).mean())


def test_classes_are_drawn_where_there_are_any():
    cloud = made_scene(0)
    colours = class_colours(len(CLASSES))
    with_classes, without = page([cloud], CLASSES), page([replace(cloud, label=None)], CLASSES)
    unnamed = page([cloud])
    for colour in colours:
        assert share(with_classes, colour) > 0.003
    for png in (without, unnamed):  # heights, from purple over green to yellow
        assert share(png, colours[1]) < 0.001


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_of_every_kind_are_drawn(kind):
    source = Endless(kind, 1)
    picture = page([source[0], replace(source[0], colour=None, name="by intensity")])
    image = matplotlib.image.imread(io.BytesIO(picture))
    rows = np.array_split(image[:, :, :3], 2)
    assert all(0.02 < (row.min(2) < 0.9).mean() < 0.9 for row in rows)

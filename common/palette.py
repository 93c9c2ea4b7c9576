"""Colours of classes, and of parts without a name, with colour-blind readers in mind."""

import colorsys

import numpy as np
from matplotlib.colors import to_rgb

WRONG = (1.0, 0.0, 0.4)
"""Colour of mistakes, which no class has."""
_CLASSES = (
    *("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#f0e442"),
    *("#d55e00", "#a56ad6", "#7f5539", "#b5c99a", "#1b3a6b"),
    *("#c9c3d6", "#4d6600"),
)
"""Colours of up to twelve classes: six of Okabe and Ito's for colour-blind readers, without the
purple that is close to that of mistakes, and others that differ in brightness too."""
LARGEST_PALETTE = len(_CLASSES)
"""Classes that can be told by their colour alone; more of them need their names beside."""
_HUES = (0.04, 0.8)
"""Hues where there are more than twelve; the others are near :data:`WRONG`."""


def class_colours(count: int) -> np.ndarray:
    """Colours (C, 3) in 0 .. 1 of classes; up to twelve differ in hue or brightness."""
    if count <= LARGEST_PALETTE:
        return np.array([to_rgb(colour) for colour in _CLASSES[:count]]).reshape(count, 3)
    return many_colours(count)


def many_colours(count: int) -> np.ndarray:
    """Distinct colours (S, 3) in 0 .. 1 of segments, with hues a golden angle apart."""
    steps = np.arange(count)
    hues = _HUES[0] + 0.618034 * steps % 1 * (_HUES[1] - _HUES[0])
    values, saturations = (0.95, 0.65, 0.8), (0.55, 0.75, 0.95, 0.4)
    return np.array(
        [colorsys.hsv_to_rgb(h, saturations[i % 4], values[i % 3]) for i, h in enumerate(hues)]
    ).reshape(count, 3)

"""Colours of classes are of their own, and none is that of mistakes."""

import numpy as np
import pytest

from tspcrep.common.palette import WRONG, class_colours, many_colours


@pytest.mark.parametrize("count", [0, 1, 12, 13, 20, 300])
def test_classes_have_colours_of_their_own(count):
    for colours in (class_colours(count), many_colours(count)):
        assert colours.shape == (count, 3)
        assert count == 0 or 0 <= colours.min() <= colours.max() <= 1
        assert len(np.unique(colours, axis=0)) == count


def test_no_class_and_no_segment_has_the_colour_of_mistakes():
    for count in (3, 12, 13, 20, 300):
        for colours in (class_colours(count), many_colours(count)):
            apart = np.sqrt(np.square(colours - WRONG).sum(1))
            assert apart.min() > 0.4, colours[apart.argmin()]

"""Figures take the text of users as it is."""

import io

import pytest
from matplotlib.image import imread

from tspcrep.common.figures import axes_grid, themed


@pytest.mark.parametrize("name", ["price in $", "$a_{$", r"\frac", "x^y_z", "<b> & Straße"])
def test_text_of_users_is_no_markup(name):
    def draw(theme):
        figure, axes = axes_grid(1, 1, 1.9)
        axes[0].plot([0, 1], label=name)
        axes[0].set_title(name)
        axes[0].legend()
        return figure

    for png in themed(draw):
        assert imread(io.BytesIO(png)).ndim == 3

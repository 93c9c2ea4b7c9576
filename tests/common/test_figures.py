"""Figures take the text of users as it is."""

import io

import pytest
from matplotlib.image import imread

from tspcrep.common.figures import axes_grid, legend, themed


@pytest.mark.parametrize(
    "name", ["price in $", "$a_{$", r"\frac", "x^y_z", "<b> & Straße", "_x", "__", "椅子", ""]
)
def test_text_of_users_is_no_markup(name):
    def draw(theme):
        figure, axes = axes_grid(1, 1, 1.9)
        lines = axes[0].plot([0, 1])
        axes[0].set_title(name)
        shown = legend(axes[0], lines, [name])
        assert [text.get_text() for text in shown.get_texts()] == [name]
        return figure

    for png in themed(draw):
        assert imread(io.BytesIO(png)).ndim == 3

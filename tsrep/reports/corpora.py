"""A picture of a corpus: a page of its series."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tspcrep.common.figures import axes_grid, on_paper


def page(series: Sequence[np.ndarray], columns: int = 6) -> bytes:
    """Series (T, C) in a grid, one small plot each, as PNG."""

    def draw(theme: dict) -> Figure:
        figure, axes = axes_grid(-(-len(series) // columns), columns, 0.6)
        for ax, values in zip(axes, series, strict=False):
            ax.plot(values, color=theme["colours"][0], lw=0.5)
        for ax in axes:
            ax.set_axis_off()
        return figure

    return on_paper(draw)

"""Still pictures of point clouds for a report, and the colours of points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from pcrep.reports.render import Viewpoint, render
from tspcrep.common import figures
from tspcrep.common.figures import WIDTH

_PIXELS = 375
"""Width of a panel in pixels; two side by side are as wide as a figure."""
_UNKNOWN = (0.55, 0.55, 0.55)
"""Colour of points without label, segment or score."""
_SCALE = "viridis"
"""Matplotlib colour map of scores."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel of a still figure: image (H, W, 4) uint8, and a marked pixel (x, y) or None."""

    title: str
    image: np.ndarray
    mark: tuple[float, float] | None = None


def panel(
    title: str,
    coords: np.ndarray,
    colours: np.ndarray,
    viewpoint: Viewpoint,
    query: int | None = None,
) -> Panel:
    """Render a cloud (N, 3) in ``colours`` (N, 3) in 0 .. 1, with its point ``query`` marked."""
    image = render(coords, colours, viewpoint, _PIXELS)
    if query is None:
        return Panel(title, image)
    (place,), _ = viewpoint.project(np.asarray(coords[query : query + 1], np.float64))
    x, y = place * _PIXELS + np.array([_PIXELS, image.shape[0]]) / 2
    return Panel(title, image, (float(x), float(y)))


def still(
    panels: Sequence[Panel],
    legend: Mapping[str, Sequence[float]] | None = None,
    score: tuple[str, float, float] | None = None,
) -> bytes:
    """Panels in two columns as PNG, for light and dark pages alike.

    legend : colour by name. score : name, minimum and maximum of a colour bar.
    """
    rows = -(-len(panels) // 2)
    height = WIDTH / 2 * max(p.image.shape[0] for p in panels) / _PIXELS + 0.35

    def draw(theme: dict) -> Figure:
        across = 3 if max(map(len, legend or ""), default=0) > 12 else 4
        lines = -(-len(legend or ()) // across)
        below = 0.22 * lines + (0.45 if score else 0)
        space = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.08, wspace=0, hspace=0)
        figure = Figure((WIDTH, rows * height + below), layout=space)
        axes = np.ravel(figure.subplots(rows, 2))
        for ax in axes:
            ax.set_axis_off()
        for ax, one in zip(axes, panels, strict=False):
            ax.imshow(one.image)
            ax.set_title(one.title, loc="left", fontsize=9)
            if one.mark:
                for width, colour in ((4.0, "white"), (2.0, "#e11d48")):
                    ax.plot(*one.mark, "o", ms=11, mfc="none", mec=colour, mew=width)
        if legend:
            patches = [Patch(color=(red, green, blue)) for red, green, blue in legend.values()]
            place = {"loc": "outside lower left", "ncols": across, "fontsize": 8}
            figures.legend(figure, patches, list(legend), **place)
        if score:
            name, low, high = score
            bar = ScalarMappable(matplotlib.colors.Normalize(low, high), _SCALE)
            figure.colorbar(bar, ax=axes, location="bottom", label=name, shrink=0.5, aspect=30)
        return figure

    return figures.on_either(draw)


def correlation(query: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Cosine (N,) of ``query`` (D,) with each of ``features`` (N, D), in -1 .. 1.

    FAC's paper draws these as activation maps (Liu et al., CVPR 2023, figure 1).
    """
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
    return (features @ query / np.maximum(norms, 1e-12)).clip(-1, 1)


def by_number(numbers: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours (N, 3) of labels or segments (N,); negative ones are grey."""
    return np.vstack([colours, _UNKNOWN])[np.where(numbers < 0, len(colours), numbers)]


def by_score(scores: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Colours (N, 3) of scores (N,), from dark at ``low`` to bright at ``high``; NaN is grey."""
    shade = (np.nan_to_num(scores, nan=low) - low) / (high - low)
    colours = matplotlib.colormaps[_SCALE](shade.clip(0, 1))[:, :3]
    return np.where(np.isnan(scores)[:, None], _UNKNOWN, colours)

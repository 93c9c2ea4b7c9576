"""Figures of point clouds for a report: still pictures, and interactive ones through plotly."""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pcrep.reports.render import Viewpoint, render
from tspcrep.common.figures import WIDTH, themed

_PIXELS = 375
"""Width of a panel in pixels; two side by side are as wide as a figure."""
_MOST = 10_000
"""Largest number of points in an interactive figure."""
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
) -> tuple[bytes, bytes]:
    """Panels in two columns as PNG, for a light and for a dark page.

    legend : colour by name. score : name, minimum and maximum of a colour bar.
    """
    rows = -(-len(panels) // 2)
    height = WIDTH / 2 * max(p.image.shape[0] for p in panels) / _PIXELS + 0.35

    def draw(theme: dict) -> Figure:
        across = 3 if max(map(len, legend or ""), default=0) > 12 else 4
        lines = -(-len(legend or ()) // across)
        below = 0.22 * lines + (0.45 if score else 0)
        figure = Figure((WIDTH, rows * height + below), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.02, h_pad=0.08, wspace=0, hspace=0)
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
            patches = [Patch(color=tuple(c), label=name) for name, c in legend.items()]
            figure.legend(
                handles=patches, loc="outside lower left", ncols=across, frameon=False, fontsize=8
            )
        if score:
            name, low, high = score
            bar = ScalarMappable(matplotlib.colors.Normalize(low, high), _SCALE)
            figure.colorbar(bar, ax=axes, location="bottom", label=name, shrink=0.5, aspect=30)
        return figure

    return themed(draw)


def turnable(clouds: Sequence[np.ndarray], colourings: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Interactive HTML figure of clouds side by side, with a menu of colourings.

    clouds : (N, 3) metres each; a random subset of 10,000 points in all is drawn.
    colourings : name -> colours (N, 3) in 0 .. 1, for each cloud.

    The page needs :func:`script` once before it. Raises ImportError without plotly.
    """
    import plotly.graph_objects as go
    import plotly.io

    random = np.random.default_rng(0)
    most = _MOST // len(clouds)
    kept = [np.sort(random.permutation(len(c))[:most]) for c in clouds]
    choices = {
        name: [_hex(colours[rows]) for colours, rows in zip(each, kept, strict=True)]
        for name, each in colourings.items()
    }
    first = next(iter(choices.values()))
    traces, start = [], 0.0
    for cloud, rows, colours in zip(clouds, kept, first, strict=True):
        low = cloud.min(0)
        x, y, z = np.round(cloud[rows] - low + (start, 0, 0), 3).astype(np.float32).T
        marker = {"size": 2, "color": colours}
        traces.append(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker))
        start += 1.1 * float((cloud.max(0) - low)[0])
    menu = {
        "buttons": [
            {"label": name, "method": "restyle", "args": [{"marker.color": colours}]}
            for name, colours in choices.items()
        ],
        **{"x": 0, "y": 1, "xanchor": "left", "yanchor": "top"},
        **{"bgcolor": "#f3f4f6", "font": {"color": "#1f2328"}},
    }
    hidden = {"visible": False}
    figure = go.Figure(
        traces,
        go.Layout(
            scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
            margin={"l": 0, "r": 0, "t": 0, "b": 0},
            updatemenus=[menu],
            showlegend=False,
            hovermode=False,
            paper_bgcolor="rgba(0,0,0,0)",
            template="none",
            height=420,
        ),
    )
    options = {"displaylogo": False, "responsive": True}
    return plotly.io.to_html(figure, options, include_plotlyjs=False, full_html=False)


def script() -> str:
    """The script that draws :func:`turnable` in a browser. Raises ImportError without plotly."""
    import plotly.offline

    return f"<script>{plotly.offline.get_plotlyjs()}</script>"


def correlation(query: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Cosine (N,) of ``query`` (D,) with each of ``features`` (N, D), in -1 .. 1.

    FAC's paper draws these as activation maps (Liu et al., CVPR 2023, figure 1).
    """
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
    return (features @ query / np.maximum(norms, 1e-12)).clip(-1, 1)


def class_colours(count: int) -> np.ndarray:
    """Colours (C, 3) in 0 .. 1 of classes, from matplotlib's tab10 or tab20 up to 20 classes."""
    if count <= 20:
        name = "tab10" if count <= 10 else "tab20"
        return np.array(matplotlib.colormaps[name].colors)[:count]
    return many_colours(count)


def many_colours(count: int) -> np.ndarray:
    """Distinct colours (S, 3) in 0 .. 1 of segments, with hues a golden angle apart."""
    steps = np.arange(count)
    hues, values = 0.618034 * steps % 1, (0.95, 0.65, 0.8)
    saturations = (0.55, 0.75, 0.95, 0.4)
    return np.array(
        [colorsys.hsv_to_rgb(h, saturations[i % 4], values[i % 3]) for i, h in enumerate(hues)]
    ).reshape(count, 3)


def by_number(numbers: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours (N, 3) of labels or segments (N,); negative ones are grey."""
    return np.vstack([colours, _UNKNOWN])[np.where(numbers < 0, len(colours), numbers)]


def by_score(scores: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Colours (N, 3) of scores (N,), from dark at ``low`` to bright at ``high``; NaN is grey."""
    shade = (np.nan_to_num(scores, nan=low) - low) / (high - low)
    colours = matplotlib.colormaps[_SCALE](shade.clip(0, 1))[:, :3]
    return np.where(np.isnan(scores)[:, None], _UNKNOWN, colours)


def _hex(colours: np.ndarray) -> list[str]:
    bytes_ = (255 * np.asarray(colours).clip(0, 1) + 0.5).astype(np.uint8)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in bytes_]

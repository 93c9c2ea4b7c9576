"""Figures for light and dark pages, as PNG bytes. Needs no display."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

Curves = dict[int, tuple[list[int], list[float]]]
"""A logged value by seed: (steps, values)."""

WIDTH = 5.0  # inches: text of 9 points stays readable when a phone shrinks the figure
_LIGHT = {"ink": "#1f2328", "faint": "#8a929a", "colours": ("#0b62b8", "#c2410c", "#15803d")}
_EITHER = {"ink": "#757d85", "faint": "#8a929a", "colours": _LIGHT["colours"]}
_DARK = {"ink": "#e6e8ea", "faint": "#868e96", "colours": ("#6cb6ff", "#ff9e64", "#73d68b")}


def themed(draw: Callable[[dict], Figure]) -> tuple[bytes, bytes]:
    """Render ``draw(theme)`` as PNG for light and dark pages, with transparent background."""
    return _png(draw, _LIGHT), _png(draw, _DARK)


def on_either(draw: Callable[[dict], Figure]) -> bytes:
    """Render ``draw(theme)`` as one PNG that light and dark pages can show, half the bytes."""
    return _png(draw, _EITHER)


def on_paper(draw: Callable[[dict], Figure]) -> bytes:
    """Render ``draw(theme)`` as PNG on white, for a separate image file."""
    return _png(draw, _LIGHT, "white")


def axes_grid(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``rows`` x ``columns`` axes, each ``height`` inches high."""
    figure = Figure((WIDTH, height * rows + 0.3), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def legend(
    place: Figure | Axes, handles: Sequence[Artist], names: Sequence[str], **options
) -> Legend:
    """A legend of what is drawn, with names of users as they are.

    Matplotlib leaves out names that begin with an underscore, so they are set afterwards.
    """
    drawn = place.legend(handles, [str(i) for i in range(len(names))], frameon=False, **options)
    for text, name in zip(drawn.get_texts(), names, strict=True):
        text.set_text(name)
    return drawn


def above(ax: Axes, handles: Sequence[Artist], names: Sequence[str]) -> Legend:
    """A legend in a row above the title of an axes."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.12)}
    return legend(ax, handles, names, ncols=3, fontsize=8, **place)


def curves(values: dict[str, Curves]) -> tuple[bytes, bytes]:
    """Plot ``{title: curves}``: one plot per title, one line per seed."""

    order = sorted({seed for seeds in values.values() for seed in seeds})

    def draw(theme: dict) -> Figure:
        rows = -(-len(values) // 2)
        figure, axes = axes_grid(rows, 2, 1.5)
        shown: dict[int, Artist] = {}
        for ax, (title, seeds) in zip(axes, values.items(), strict=False):
            for seed, (steps, means) in seeds.items():
                marker = "." if len(steps) == 1 else None
                colour = theme["colours"][order.index(seed) % len(theme["colours"])]
                (shown[seed],) = ax.plot(steps, means, color=colour, lw=1.2, marker=marker)
            ax.set_title(title, loc="left", fontsize=9)
            ax.set_xlabel("step")
        for ax in axes[len(values) :]:
            ax.set_axis_off()
        if len(order) > 1:
            above(axes[0], [shown[seed] for seed in order], [f"seed {seed}" for seed in order])
        return figure

    return themed(draw)


def score_histograms(counts: Mapping[str, Sequence[float]]) -> tuple[bytes, bytes]:
    """Plot ``{name: counts in equal bins from -1 to 1}``, each normalised to sum 1."""

    def draw(theme: dict) -> Figure:
        figure, (ax,) = axes_grid(1, 1, 2.2)
        shown = {}
        for (name, values), colour in zip(counts.items(), theme["colours"], strict=False):
            shares = np.asarray(values) / max(np.sum(values), 1e-12)
            edges = np.linspace(-1, 1, len(shares) + 1)
            shown[name] = ax.stairs(shares, edges, color=colour, fill=True, alpha=0.6)
        ax.set_xlabel("cosine")
        above(ax, list(shown.values()), list(shown))
        return figure

    return themed(draw)


def _png(draw: Callable[[dict], Figure], theme: dict, back: str = "none") -> bytes:
    ink = theme["ink"]
    style = matplotlib.rc_context(
        {
            "font.size": 9,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": theme["faint"],
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": ink,
            "ytick.color": ink,
            "text.parse_math": False,  # names of columns and classes may hold a $
        }
    )
    with style, io.BytesIO() as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names in any script
        # Figure without pyplot: no window, no global state, the Agg renderer.
        draw(theme).savefig(file, format="png", dpi=150, facecolor=back)
        return file.getvalue()

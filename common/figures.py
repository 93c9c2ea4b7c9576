"""Figures for light and dark pages, as PNG bytes. Needs no display."""

import io
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 5.0  # inches: text of 9 points stays readable when a phone shrinks the figure
_LIGHT = {"ink": "#1f2328", "faint": "#8a929a", "colours": ("#0b62b8", "#c2410c", "#15803d")}
_DARK = {"ink": "#e6e8ea", "faint": "#868e96", "colours": ("#6cb6ff", "#ff9e64", "#73d68b")}


def themed(draw: Callable[[dict], Figure]) -> tuple[bytes, bytes]:
    """Render ``draw(theme)`` as PNG for light and dark pages, with transparent background."""
    return _png(draw, _LIGHT), _png(draw, _DARK)


def on_paper(draw: Callable[[dict], Figure]) -> bytes:
    """Render ``draw(theme)`` as PNG on white, for a separate image file."""
    return _png(draw, _LIGHT, "white")


def axes_grid(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``rows`` x ``columns`` axes, each ``height`` inches high."""
    figure = Figure((WIDTH, height * rows + 0.3), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def losses(curves: dict[str, dict[int, tuple[list[int], list[float]]]]) -> tuple[bytes, bytes]:
    """Plot ``{loss: {seed: (steps, values)}}``: one plot per loss, one line per seed."""

    def draw(theme: dict) -> Figure:
        rows = -(-len(curves) // 2)
        figure, axes = axes_grid(rows, 2, 1.5)
        for ax, (part, seeds) in zip(axes, curves.items(), strict=False):
            for i, (seed, (steps, values)) in enumerate(seeds.items()):
                marker = "." if len(steps) == 1 else None
                colour = theme["colours"][i % len(theme["colours"])]
                ax.plot(steps, values, color=colour, lw=1.2, marker=marker, label=f"seed {seed}")
            ax.set_title(part, loc="left", fontsize=9)
            ax.set_xlabel("step")
        for ax in axes[len(curves) :]:
            ax.set_axis_off()
        axes[0].legend(
            frameon=False, ncols=3, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.2)
        )
        return figure

    return themed(draw)


def score_histograms(counts: dict[str, Sequence[float]]) -> tuple[bytes, bytes]:
    """Plot ``{name: counts in equal bins from -1 to 1}``, each normalised to sum 1."""

    def draw(theme: dict) -> Figure:
        figure, (ax,) = axes_grid(1, 1, 2.2)
        for (name, values), colour in zip(counts.items(), theme["colours"], strict=False):
            shares = np.asarray(values) / max(np.sum(values), 1e-12)
            edges = np.linspace(-1, 1, len(shares) + 1)
            ax.stairs(shares, edges, color=colour, fill=True, alpha=0.6, label=name)
        ax.set_xlabel("cosine")
        ax.legend(frameon=False, fontsize=8)
        return figure

    return themed(draw)


def _png(draw: Callable[[dict], Figure], theme: dict, back: str = "none") -> bytes:
    ink = theme["ink"]
    style = {
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
    with matplotlib.rc_context(style), io.BytesIO() as file:
        # Figure without pyplot: no window, no global state, the Agg renderer.
        draw(theme).savefig(file, format="png", dpi=150, facecolor=back)
        return file.getvalue()

"""Figures of a run, drawn for a light and for a dark page, as PNG bytes. Needs no display."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 5.0  # inches: text of 9 points stays readable when a phone shrinks the figure
LIGHT = {"ink": "#1f2328", "faint": "#8a929a", "colours": ("#0b62b8", "#c2410c", "#15803d")}
DARK = {"ink": "#e6e8ea", "faint": "#868e96", "colours": ("#6cb6ff", "#ff9e64", "#73d68b")}


@dataclass(frozen=True, eq=False)
class ForecastExample:
    """One origin, in the data's units. Steps count from the origin, the last value seen is 0.

    seen: (L,), the values up to the origin. truth: (H,). forecasts: {name: (H,)}. title: the time.
    """

    title: str
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]


def themed(draw: Callable[[dict], Figure]) -> tuple[bytes, bytes]:
    """The figure that ``draw(theme)`` returns as PNG, light and dark, on a clear background."""
    return _png(draw, LIGHT), _png(draw, DARK)


def forecasts(examples: Sequence[ForecastExample], unit: str) -> tuple[bytes, bytes]:
    """Forecasts at a few origins, one below the other, between what came before and after."""

    def draw(theme: dict) -> Figure:
        figure, axes = _axes(len(examples), 1, 1.9)
        for ax, example in zip(axes, examples, strict=True):
            before = np.arange(1 - len(example.seen), 1)
            after = np.arange(1, len(example.truth) + 1)
            ax.plot(before, example.seen, color=theme["faint"], lw=1)
            ax.plot(after, example.truth, color=theme["ink"], lw=1.4, label="test series")
            for (name, values), colour in zip(
                example.forecasts.items(), theme["colours"], strict=False
            ):
                ax.plot(after, values, color=colour, lw=1.4, label=name)
            ax.axvline(0, color=theme["faint"], lw=0.6, ls=":")
            ax.set_title(example.title, loc="left", fontsize=9)
            ax.set_ylabel(unit)
        axes[-1].set_xlabel("steps after the origin")
        axes[0].legend(
            frameon=False, ncols=3, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.12)
        )
        return figure

    return themed(draw)


def losses(curves: dict[str, dict[int, tuple[list[int], list[float]]]]) -> tuple[bytes, bytes]:
    """``{part: {seed: (steps, values)}}``, a small plot a part, a line a seed."""

    def draw(theme: dict) -> Figure:
        rows = -(-len(curves) // 2)
        figure, axes = _axes(rows, 2, 1.5)
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
    """``{name: counts in equal bins over -1 to 1}``, each as shares of its own sum."""

    def draw(theme: dict) -> Figure:
        figure, (ax,) = _axes(1, 1, 2.2)
        for (name, values), colour in zip(counts.items(), theme["colours"], strict=False):
            shares = np.asarray(values) / max(np.sum(values), 1e-12)
            edges = np.linspace(-1, 1, len(shares) + 1)
            ax.stairs(shares, edges, color=colour, fill=True, alpha=0.6, label=name)
        ax.set_xlabel("cosine")
        ax.legend(frameon=False, fontsize=8)
        return figure

    return themed(draw)


def augmentation(
    series: np.ndarray, keep: np.ndarray, gain: np.ndarray, view: np.ndarray
) -> tuple[bytes, bytes]:
    """A window (T,) and what the augmentation network makes of it: mask h, gain g, view."""

    def draw(theme: dict) -> Figure:
        figure, axes = _axes(4, 1, 1.2)
        lines = {"series x": series, "keep mask h": keep, "gain g": gain, "view g h x": view}
        colours = (theme["ink"], *theme["colours"])
        for ax, (name, values), colour in zip(axes, lines.items(), colours, strict=True):
            style = "steps-mid" if name.startswith("keep") else "default"
            ax.plot(values, color=colour, lw=1.1, drawstyle=style)
            ax.set_title(name, loc="left", fontsize=9)
        axes[1].set_ylim(-0.1, 1.1)
        axes[3].plot(series, color=theme["faint"], lw=0.8)
        axes[3].set_xlabel("step of the window")
        return figure

    return themed(draw)


def _axes(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure((WIDTH, height * rows + 0.3), layout="constrained")
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def _png(draw: Callable[[dict], Figure], theme: dict) -> bytes:
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
    }
    with matplotlib.rc_context(style), io.BytesIO() as file:
        # Figure without pyplot: no window, no global state, the Agg renderer.
        draw(theme).savefig(file, format="png", dpi=150, transparent=True)
        return file.getvalue()

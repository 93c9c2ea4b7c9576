"""Figures of a run on series, as PNG bytes for a light and for a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from common.figures import axes_grid, themed


@dataclass(frozen=True, eq=False)
class ForecastExample:
    """One origin, in the data's units. Steps count from the origin, the last value seen is 0.

    seen: (L,), the values up to the origin. truth: (H,). forecasts: {name: (H,)}. title: the time.
    """

    title: str
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]


def forecasts(examples: Sequence[ForecastExample], unit: str) -> tuple[bytes, bytes]:
    """Forecasts at a few origins, one below the other, between what came before and after."""

    def draw(theme: dict) -> Figure:
        figure, axes = axes_grid(len(examples), 1, 1.9)
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


def augmentation(
    series: np.ndarray, keep: np.ndarray, gain: np.ndarray, view: np.ndarray
) -> tuple[bytes, bytes]:
    """A window (T,) and what the augmentation network makes of it: mask h, gain g, view."""

    def draw(theme: dict) -> Figure:
        figure, axes = axes_grid(4, 1, 1.2)
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

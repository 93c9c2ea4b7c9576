"""Figures of runs on series, as PNG bytes for a light and for a dark page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from tspcrep.common.figures import WIDTH, above, axes_grid, legend, themed
from tspcrep.common.palette import LARGEST_PALETTE, class_colours

_MARKERS = "os^DvPX"


@dataclass(frozen=True, eq=False)
class ForecastExample:
    """Forecasts from one origin, in the data's units.

    title: time of the origin. times: (L + H,), of all values, or their numbers. seen: (L,), values
    up to the origin. truth: (H,). forecasts: {name: (H,)}. interval: (H, 2), where the .1 and .9
    quantiles of the first forecast are, None where it has none.
    """

    title: str
    times: np.ndarray
    seen: np.ndarray
    truth: np.ndarray
    forecasts: dict[str, np.ndarray]
    interval: np.ndarray | None = None


def forecast_examples(examples: Sequence[ForecastExample], unit: str) -> tuple[bytes, bytes]:
    """Forecasts from a few origins, one below the other, with the series before and after."""

    def draw(theme: dict) -> Figure:
        figure, axes = axes_grid(len(examples), 1, 1.9)
        for ax, example in zip(axes, examples, strict=True):
            before, after = np.split(example.times, [len(example.seen)])
            ax.plot(before, example.seen, color=theme["faint"], lw=1)
            shown: dict[str, Artist] = {}
            (shown["test series"],) = ax.plot(after, example.truth, color=theme["ink"], lw=1.4)
            if example.interval is not None:
                low, high = example.interval.T
                colour = theme["colours"][0]
                shown[".1 to .9"] = ax.fill_between(
                    after, low, high, color=colour, alpha=0.25, lw=0
                )
            for (name, values), colour in zip(
                example.forecasts.items(), theme["colours"], strict=False
            ):
                (shown[name],) = ax.plot(after, values, color=colour, lw=1.4)
            ax.axvline(before[-1], color=theme["faint"], lw=0.6, ls=":")
            ax.set_title(example.title, loc="left", fontsize=9)
            ax.set_ylabel(unit)
            if example.times.dtype.kind == "M":
                locator = AutoDateLocator(maxticks=6)
                ax.xaxis.set_major_locator(locator)
                ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        if axes[-1].xaxis.get_major_formatter().__class__ is not ConciseDateFormatter:
            axes[-1].set_xlabel("step of the series")
        above(axes[0], list(shown.values()), list(shown))
        return figure

    return themed(draw)


def embeddings(
    places: dict[str, np.ndarray], labels: np.ndarray, classes: Sequence[str]
) -> tuple[bytes, bytes]:
    """Places (N, 2) side by side, by name; labels (N,) are positions in ``classes``.

    A class has a colour and a marker. They are named where they are no more than the palette has.
    """
    there = np.unique(labels)
    colours = class_colours(len(classes))

    def draw(theme: dict) -> Figure:
        figure, axes = axes_grid(1, len(places), WIDTH / len(places))
        for ax, (name, own) in zip(axes, places.items(), strict=True):
            shown = [
                ax.scatter(
                    own[labels == number, 0],
                    own[labels == number, 1],
                    s=16,
                    color=colours[number],
                    marker=_MARKERS[number % len(_MARKERS)],
                    edgecolor=theme["faint"],
                    linewidth=0.4,
                )
                for number in there
            ]
            ax.set_title(name, loc="left", fontsize=9)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_box_aspect(1)
        if len(there) <= LARGEST_PALETTE:
            below = {"loc": "outside lower left", "ncols": 4, "fontsize": 8}
            legend(figure, shown, [classes[number] for number in there], **below)
        return figure

    return themed(draw)


def augmentation(
    series: np.ndarray, keep: np.ndarray, gain: np.ndarray, view: np.ndarray
) -> tuple[bytes, bytes]:
    """A window (T,) and its learned augmentation: mask h, gain g and view, (T,) each."""

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


def receptive_field(field: np.ndarray, period: int | None = None) -> Callable[[dict], Figure]:
    """Heat map of a receptive field (H, L), lag 0 on the right, for ``themed`` or ``on_paper``.

    Ticks are at multiples of the period.
    """
    horizon, lags = field.shape

    def draw(theme: dict) -> Figure:
        figure, (ax,) = axes_grid(1, 1, 3.0)
        clear = (*to_rgb(theme["colours"][0]), 0.0)
        colours = LinearSegmentedColormap.from_list("field", [clear, theme["colours"][0]])
        # A forecast that starts from the last value depends on it far more than on others.
        most = max(float(np.quantile(field, 0.995)), 1e-12)
        image = ax.imshow(
            field[:, ::-1],
            extent=(-lags + 0.5, 0.5, 0.5, horizon + 0.5),
            norm=PowerNorm(0.5, 0, most),
            cmap=colours,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
        if period:
            for axis, length, most in ((ax.xaxis, lags, 7), (ax.yaxis, horizon, 5)):
                axis.set_major_locator(MultipleLocator(period * -(-length // (period * most))))
        ax.set_xlim(-lags + 0.5, 0.5)
        ax.set_ylim(0.5, horizon + 0.5)
        ax.set_xlabel("input step, 0 is the last value seen")
        ax.set_ylabel("forecast step")
        figure.colorbar(image, ax=ax, extend="max", label="mean |dy / dx|")
        return figure

    return draw

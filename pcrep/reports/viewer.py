"""Scenes to turn in a browser: clouds and their colourings for ``viewer.js``, no library.

The figure opens from the camera of its still, and all its views share that camera. Without a
script the still is shown.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from pcrep.reports.render import Viewpoint, spacing
from tspcrep.common.markup import Html, tag
from tspcrep.common.pages import source

SCRIPT = (Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")
"""Draws every figure of :func:`to_turn` on a page."""

MOST = 24_000
"""Largest number of points in a figure."""
_DIMENSIONS = 16
"""Numbers that are kept of the features of a point."""
_UNKNOWN = -(2**15)
"""Stands for a score that is not known."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """A cloud of a figure: coords (N, 3), metres, and the viewpoint that its still has."""

    coords: np.ndarray
    viewpoint: Viewpoint


@dataclass(frozen=True, eq=False)
class View:
    """A panel of a figure: a colouring of one of its clouds.

    colours : (N, 3) in 0 .. 1. numbers : (N,), what is told of a point where the pointer is: its
    class, an index of ``names``, negative for none; or without names its score. features : (N, D),
    for a panel that is coloured by the cosine with the features of the point clicked on, among
    those of the same ``group``; ``colours`` are left out then.
    """

    title: str
    colours: np.ndarray | None = None
    cloud: int = 0
    numbers: np.ndarray | None = None
    names: Sequence[str] = ()
    features: np.ndarray | None = None
    group: str = ""


@dataclass(frozen=True, eq=False)
class Figure:
    """Views of clouds. query : (cloud, row) whose features colour the views at first."""

    clouds: Sequence[Cloud]
    views: Sequence[View]
    query: tuple[int, int] | None = None
    legend: Mapping[str, Sequence[float]] = field(default_factory=dict)


def to_turn(figure: Figure, still: bytes, told: str) -> Html:
    """A figure with its still, a PNG, and the caption ``told``.

    At most :data:`MOST` points are kept, drawn at random; the page needs :data:`SCRIPT` at its end.
    """
    canvases = [
        tag(
            "div",
            tag("span", view.title),
            tag("canvas", tabindex="0", role="img", aria_label=f"{view.title}, to turn"),
        )
        for view in figure.views
    ]
    click = " Click on a point for the cosines with it." if figure.query else ""
    hint = f"Drag or use the arrow keys to turn, + and - to come nearer, 0 to go back.{click}"
    parts = [
        tag("img", alt=told, src=source(still)),
        tag("div", *canvases, class_="views"),
        _tools(),
        _legend(figure.legend),
        tag("figcaption", told, ". ", hint),
        tag("script", Html(_json(_payload(figure))), type="application/json"),
    ]
    return tag("figure", *parts, class_="scene")


def _tools() -> Html:
    buttons = [
        tag("button", name, type="button", data_does=name.lower())
        for name in ("Nearer", "Farther", "Reset")
    ]
    return tag("div", *buttons, tag("output"), class_="tools")


def _legend(colours: Mapping[str, Sequence[float]]) -> Html:
    if not colours:
        return Html()
    items = [
        tag("li", tag("i", style=f"background:{_hex(colour)}"), name)
        for name, colour in colours.items()
    ]
    return tag("ul", *items, class_="legend")


def _payload(figure: Figure) -> dict[str, Any]:
    most = MOST // len(figure.clouds)
    kept = []
    for index, cloud in enumerate(figure.clouds):
        query = [figure.query[1]] if figure.query and figure.query[0] == index else []
        rows = np.random.default_rng(0).permutation(cloud.viewpoint.shown)[:most]
        kept.append(np.union1d(rows, query).astype(np.int64))
    groups = {view.group for view in figure.views if view.features is not None}
    bases = {group: _basis([v for v in figure.views if v.group == group]) for group in groups}
    shown: dict[str, Any] = {
        "clouds": [_cloud(c, rows) for c, rows in zip(figure.clouds, kept, strict=True)],
        "views": [_view(view, kept[view.cloud], bases.get(view.group)) for view in figure.views],
    }
    if figure.query is not None:
        place, row = figure.query
        scale = np.array(matplotlib.colormaps["viridis"](np.linspace(0, 1, 256)))[:, :3]
        shown["query"] = {"cloud": place, "row": int(np.searchsorted(kept[place], row))}
        shown["scale"] = _bytes(_levels(scale))
    return shown


def _cloud(cloud: Cloud, rows: np.ndarray) -> dict[str, Any]:
    """Coordinates in 65,536 steps of the longest side, and the camera."""
    coords, view = np.asarray(cloud.coords[rows], np.float64), cloud.viewpoint
    low = coords.min(0)
    step = max(float(np.ptp(coords, axis=0).max()) / (2**16 - 1), 1e-9)
    return {
        "coords": _bytes(np.round((coords - low) / step).astype("<u2")),
        **{"low": low.tolist(), "step": step, "middle": coords.mean(0).tolist()},
        **{"origin": view.origin.tolist(), "axes": view.axes.tolist()},
        **{"focal": float(view.focal), "aspect": float(view.aspect), "gap": spacing(coords)},
    }


def _view(view: View, rows: np.ndarray, basis: np.ndarray | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": view.title, "cloud": view.cloud}
    if view.features is not None and basis is not None:
        own = _unit(view.features[rows]) @ basis
        most = max(float(np.abs(own).max()), 1e-12)
        shown |= {"group": view.group, "dims": own.shape[1]}
        shown["features"] = _bytes(np.round(127 * own / most).astype(np.int8))
    elif view.colours is not None:
        shown["colours"] = _bytes(_levels(view.colours[rows]))
    if view.numbers is not None:
        own = np.asarray(view.numbers)[rows]
        if view.names:
            shown["names"] = list(view.names)
        else:
            own = np.where(np.isnan(own), _UNKNOWN, 1000 * np.nan_to_num(own))
        shown["numbers"] = _bytes(own.astype("<i2"))
    return shown


def _basis(views: Sequence[View]) -> np.ndarray:
    """Directions (D, k) that keep the cosines of all features of a group best, at most 16."""
    rows = np.concatenate(
        [_unit(view.features)[::7] for view in views if view.features is not None]
    )
    _, _, axes = np.linalg.svd(rows.T @ rows)
    return axes[:_DIMENSIONS].T


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _levels(colours: np.ndarray) -> np.ndarray:
    return (255 * np.asarray(colours).clip(0, 1) + 0.5).astype(np.uint8)


def _hex(colour: Sequence[float]) -> str:
    red, green, blue = _levels(np.asarray(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _bytes(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _json(value: dict[str, Any]) -> str:
    """JSON that can stand inside an element of a page, whatever names are in it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")

"""Parts shared by the reports of runs on point clouds; report.html needs no network."""

import html
from pathlib import Path
from typing import Any

import numpy as np

from pcrep.evaluation.scores import columns
from pcrep.reports.pictures import panel, script, still, turnable
from pcrep.reports.render import choose_viewpoint
from tspcrep.common import pages
from tspcrep.common.runs import write_text

_TOLD = {
    "auto": "<em>auto</em> starts from the frozen features and is tuned as far as cross-validation "
    "over the labelled scenes says.",
    "finetune": "<em>finetune</em> starts from the pretrained encoder.",
    "scratch": "",
    "linear": "<em>linear</em> is a logistic regression on frozen features.",
    "knn": "<em>knn</em> asks the nearest neighbours among frozen features.",
}


def write_page(folder: Path, title: str, parts: list[str]) -> Path:
    """Write ``report.html`` into a run's folder and return its path.

    parts : HTML below the title, in order; the configuration is printed at the end.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", *parts, *pages.details(folder)]
    path = folder / "report.html"
    write_text(path, pages.page(title, parts))
    return path


def results(result: dict[str, Any]) -> list[str]:
    """Results table of a run: one row per system, with the standard deviation of mIoU."""
    mode = result["mode"]
    systems = {mode: result} | result["controls"] | {mode: result}  # scratch is its own control
    values = {name: columns(found) for name, found in systems.items()}
    names = list(values[mode])
    best = {c: max(row.get(c, 0.0) for row in values.values()) for c in names}
    lines = []
    for name, row in values.items():
        cells = "".join(_cell(row.get(c), best[c]) for c in names)
        spread = f"± {100 * systems[name]['miou_std']:.1f}"
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}<td>{spread}</td></tr>")
    header = "".join(f"<th>{html.escape(c)}</th>" for c in (*names, "mIoU over seeds"))
    labels, scratch, frozen = "", "", ""
    spread = f" over {result['spread']}" if "spread" in result else ""
    if "frozen" in result["controls"]:
        frozen = "<em>frozen</em> is a linear head on the features of the pretrained encoder. "
    if "scratch" in result["controls"]:
        scratch = (
            "<em>scratch</em> is the same network trained from random weights, on those labels. "
        )
    if "labelled_scenes" in result:
        share = 100 * result["labelled_fraction"]
        labels = f" Scenes with labels: {result['labelled_scenes']}, {share:.3g} % of all labels."
    return [
        "<h2>Results</h2>",
        f'<div class="wide"><table><tr><th>IoU, %</th>{header}</tr>',
        *lines,
        f"</table></div><p>On every point of the test scenes, means over seeds, ± the "
        f"standard deviation{spread}; precision and "
        f"recall are those of the foreground, of points of any thing. The greatest of each "
        f"column is marked. {_TOLD[mode]} {frozen}{scratch}<em>random_encoder_probe</em> is a "
        f"probe of the same network before training.{labels}</p>",
    ]


def _cell(value: float | None, best: float) -> str:
    if value is None:
        return "<td>–</td>"
    marked = ' class="best"' if value == best else ""
    return f"<td{marked}>{100 * value:.1f}</td>"


def scene(
    heading: str, coords: np.ndarray, colourings: dict[str, np.ndarray], told: str, **below: Any
) -> list[str]:
    """The first scene of a page: a cloud (N, 3) in several colourings (N, 3), by name.

    Drawn as a still and as an interactive figure. told : caption. below : ``legend`` or ``score``
    of :func:`pcrep.reports.pictures.still`.
    """
    viewpoint = choose_viewpoint(coords)
    panels = [panel(name, coords, colours, viewpoint) for name, colours in colourings.items()]
    return [
        f"<h2>{heading}</h2>",
        pages.figure(still(panels, **below), told),
        *to_turn([coords], {name: [c] for name, c in colourings.items()}, first=True),
    ]


def to_turn(
    clouds: list[np.ndarray], colourings: dict[str, list[np.ndarray]], first: bool = False
) -> list[str]:
    """An interactive figure of clouds, or a line on how to install plotly where it is missing.

    first : whether it is the first figure of its page, which then includes plotly's script.
    """
    try:
        drawn = turnable(clouds, colourings)
        told = "<p>Drag to turn, scroll to come nearer; the menu picks the colours.</p>"
        return [*([script()] if first else []), drawn, told]
    except ImportError:
        told = "To turn scenes with the mouse: pip install 'tspcrep[points]', then tools/report.py."
        return [f"<p>{told}</p>"] if first else []

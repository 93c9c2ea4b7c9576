"""Building blocks of ``report.html``: one self-contained file that needs no network."""

import base64
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tspcrep.common import figures
from tspcrep.common.errors import UserError
from tspcrep.common.markup import Html, join, tag
from tspcrep.common.metrics_log import Logged, read_metrics
from tspcrep.common.typed_json import read_json

_STYLE = (Path(__file__).parent / "pages.css").read_text()
_USED = ("torch", "numpy", "scikit-learn", "lightning-fabric", "tspcrep")

_DIAGNOSTICS = {
    "alignment": ("↓", "squared distance of the two views of a sample, 0 at best"),
    "uniformity": ("↓", "the lower, the more evenly vectors fill the sphere; 0 is a collapse"),
    "tolerance": ("↑", "cosine of samples of one label"),
    "effective_rank": ("↑", "how many directions the vectors use; 1 is a collapse"),
    "positive_score": ("↑", "mean cosine of two views of a sample"),
    "negative_score": ("↓", "mean cosine of different samples"),
    "positive_var_score": ("", "its variance"),
    "negative_var_score": ("", "its variance"),
    "hard_negative_weight": ("", "share of the gradient that comes from the hardest negatives"),
}
"""What is logged and not minimised: the good direction, and what it is (``common/metrics.py``)."""


def page(title: str, parts: Iterable[Html], script: str = "") -> str:
    """A complete HTML page: a heading, and its ``parts`` in order. script: JavaScript at its end.

    ``</script>`` must not occur in the script.
    """
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(_STYLE)),
    )
    body = [tag("main", tag("h1", title), Html("\n"), *(join(part, Html("\n")) for part in parts))]
    if script:
        body.append(tag("script", Html(script)))
    whole = tag("html", tag("head", head), Html("\n"), tag("body", *body), lang="en")
    return f"<!doctype html>\n{whole}\n"


def section(heading: str, *parts: Html) -> Html:
    """A part of a page under its heading."""
    return tag("section", tag("h2", heading), *parts)


def missing(told: str) -> Html:
    """A line that says what a run lacks and the page cannot show."""
    return tag("p", "Missing: ", told, class_="missing")


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    best: Callable[[int, int], bool] = lambda row, column: False,
) -> Html:
    """A table whose first column names the rows; ``best(row, column)`` marks cells, from 0 on."""
    top = tag("tr", *(tag("th", one, scope="col") for one in head))
    lines = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(
                tag("td", one, class_="best" if best(i, j) else None)
                for j, one in enumerate(row[1:])
            ),
        )
        for i, row in enumerate(rows)
    ]
    drawn = tag("table", tag("thead", top), tag("tbody", *lines))
    return tag("div", drawn, class_="wide", tabindex="0", role="group", aria_label="table")


def named(name: str, told: str) -> Html:
    """A name with its explanation below it."""
    return join(name, tag("small", told)) if told else join(name)


def losses(folder: Path, seeds: Sequence[int], under: str = ".") -> list[Html]:
    """Losses, diagnostics and score histograms of ``metrics.jsonl``, and what of it is missing.

    under : subfolder of each seed's folder that holds ``metrics.jsonl``.
    """
    logged: dict[int, Logged] = {}
    lacking = []
    for seed in seeds:
        path = folder / f"seed-{seed}" / under / "metrics.jsonl"
        try:
            logged[seed] = read_metrics(path)
        except OSError as error:
            lacking.append(missing(f"{path.relative_to(folder)}, {error.strerror}."))
            continue
        if logged[seed].damaged:
            told = f"{logged[seed].damaged} damaged lines of {path.relative_to(folder)}."
            lacking.append(missing(told))
    curves: dict[str, figures.Curves] = {}
    for seed, found in logged.items():
        for name, curve in found.curves.items():
            curves.setdefault(name, {})[seed] = curve
    counts = next((found.counts for found in logged.values() if found.counts), {})
    losses = {n: c for n, c in curves.items() if _plain(n) not in _DIAGNOSTICS}
    others = {n: c for n, c in curves.items() if _plain(n) in _DIAGNOSTICS}
    drawn = []
    if losses:
        told = "Losses and their parts, lower is better: means over an epoch, by training step"
        drawn.append(figure(figures.curves({f"{n} ↓": c for n, c in losses.items()}), told))
    sections = [section("Losses", *drawn, *lacking)] if drawn or lacking else []
    if others or counts:
        sections.append(section("Diagnostics", *_diagnostics(others), *_scores(counts)))
    return sections


def _diagnostics(curves: dict[str, figures.Curves]) -> list[Html]:
    """Curves of what is not minimised, each with its good direction, and what it is."""
    if not curves:
        return []
    arrows = {name: f"{name} {_DIAGNOSTICS[_plain(name)][0]}".strip() for name in curves}
    told = "Watched, not minimised; an arrow is the good direction, where there is one"
    words = {_plain(name): _DIAGNOSTICS[_plain(name)][1] for name in curves}
    explained = [join(tag("dt", name), tag("dd", text)) for name, text in words.items()]
    drawn = figures.curves({arrows[name]: curve for name, curve in curves.items()})
    return [figure(drawn, told), tag("dl", *explained)]


def _scores(counts: dict[str, list[float]]) -> list[Html]:
    if not counts:
        return []
    told = (
        "Cosine similarity of positive and negative pairs in the last epoch, as shares; the "
        "further apart the better"
    )
    return [figure(figures.score_histograms(counts), told)]


def _plain(name: str) -> str:
    """``encoder/alignment`` without its phase."""
    return name.rpartition("/")[2]


def details(folder: Path) -> list[Html]:
    """The run's configuration and environment, in collapsed sections."""
    try:
        known = read_json(folder / "env.json", dict[str, Any])
    except UserError as error:
        environment = missing(f"{error}.")
    else:
        packages = known.pop("packages", {})
        packages = packages if isinstance(packages, dict) else {}
        rows = {**known, **{name: packages[name] for name in _USED if name in packages}}
        environment = table(("what", "value"), rows.items())
    configured = tag("pre", (folder / "config.toml").read_text(), tabindex="0")
    parts = {"config.toml": configured, "env.json": environment}
    opened = [tag("details", tag("summary", name), part) for name, part in parts.items()]
    return [section("Configuration and environment", *opened)]


def figure(pair: tuple[bytes, bytes], told: str) -> Html:
    """A figure in light and dark PNG with the caption ``told``; the browser picks the theme."""
    light, dark = map(source, pair)
    picture = tag(
        "picture",
        tag("source", media="(prefers-color-scheme: dark)", srcset=dark),
        tag("img", alt=told, src=light),
    )
    return tag("figure", picture, tag("figcaption", told, "."))


def source(png: bytes) -> str:
    """A PNG as the address of a picture that is inside the page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

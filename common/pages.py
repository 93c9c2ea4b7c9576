"""Building blocks of ``report.html``: one self-contained file that needs no network."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from tspcrep.common import figures
from tspcrep.common.runs import read_json

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --faint: #646c75; --line: #d8dce0; --back: #fff;
  --mark: #e6f0fb }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --faint: #9aa2aa; --line: #3a4048;
  --back: #15181b; --mark: #17324d } }
body { margin: 0 auto; max-width: 46rem; padding: 1rem; background: var(--back); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
p, figcaption, summary { color: var(--faint) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th:first-child, td:first-child { text-align: left }
td.best { background: var(--mark); font-weight: 600 }
figure { margin: 0 } img { width: 100%; max-width: 40rem; height: auto }
pre { overflow-x: auto; font-size: .8rem }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A complete HTML page from its ``parts``, in order."""
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
    )
    return "\n".join([head, "<body>", *parts, "</body></html>", ""])


def losses(folder: Path, seeds: Sequence[int], under: str = ".") -> list[str]:
    """Curves of all logged losses in ``metrics.jsonl``, and the last score histograms.

    under : subfolder of each seed's folder that holds ``metrics.jsonl``.
    """
    curves: dict[str, dict[int, tuple[list[int], list[float]]]] = {}
    counts: dict[str, list[float]] = {}
    for seed in seeds:
        lines = (folder / f"seed-{seed}" / under / "metrics.jsonl").read_text().splitlines()
        for line in map(json.loads, lines):
            for name, value in line.items():
                if isinstance(value, list):
                    counts[name] = value
                elif "/" in name:
                    steps, values = curves.setdefault(name, {}).setdefault(seed, ([], []))
                    steps.append(line["step"])
                    values.append(value)
    told = "Mean of each logged loss over an epoch, against the training step"
    drawn = ["<h2>Losses</h2>", figure(figures.losses(curves), told)]
    if counts:
        told = "Cosine similarity of positive and negative pairs in the last epoch, as shares"
        drawn += ["<h2>Scores</h2>", figure(figures.score_histograms(counts), told)]
    return drawn


def details(folder: Path) -> list[str]:
    """The run's configuration and environment, in collapsed sections."""
    known = read_json(folder / "env.json")
    packages = known.pop("packages", {})
    used = ("torch", "numpy", "scikit-learn", "lightning-fabric", "tspcrep")
    rows = {**known, **{name: packages[name] for name in used if name in packages}}
    table = "".join(
        f"<tr><td>{html.escape(str(n))}</td><td>{html.escape(str(v))}</td></tr>"
        for n, v in rows.items()
    )
    configured = f"<pre>{html.escape((folder / 'config.toml').read_text())}</pre>"
    environment = f'<div class="wide"><table>{table}</table></div>'
    return [
        "<h2>Configuration</h2>",
        f"<details><summary>config.toml</summary>{configured}</details>",
        "<h2>Environment</h2>",
        f"<details><summary>env.json</summary>{environment}</details>",
    ]


def figure(pair: tuple[bytes, bytes], told: str) -> str:
    """A figure in light and dark PNG with the caption ``told``; the browser picks the theme."""
    light, dark = (base64.b64encode(png).decode() for png in pair)
    told = html.escape(told)
    return (
        "<figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">'
        f'<img alt="{told}" src="data:image/png;base64,{light}"></picture>'
        f"<figcaption>{told}.</figcaption></figure>"
    )

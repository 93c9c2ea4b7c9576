"""A downstream task, as tables, reports and tools see it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from tsrep.datasets.series import Panel, Series

Readout = Literal["product", "probe"]
Columns = dict[str, dict[str, float]]
"""Numbers ``{column: {system: number}}`` of a summary, in the order to show."""


@dataclass(frozen=True)
class Task:
    """A downstream task of an encoder. ``result`` is the content of a ``result.json``.

    name : ``result["task"]``. measure, heading, numbers : what a table holds, for its first column
    in the terminal and in a report, and for the sentence below it. best : min or max of a column.
    reads : Series or Panel. evaluate : ``(encoder, data, **options) -> result`` of an encoder that
    is already trained, beside the same encoder untrained and the controls. options : those of
    ``tools/evaluate.py`` that it takes. columns : ``(result, mode) -> Columns``, where ``mode``
    names the only readout to show, None for all. spreads : ``result -> {system: deviation}`` over
    seeds.
    """

    name: str
    measure: str
    heading: str
    numbers: str
    best: Callable[[Iterable[float]], float]
    reads: type[Series] | type[Panel]
    evaluate: Callable[..., dict[str, Any]]
    columns: Callable[[dict[str, Any], Readout | None], Columns]
    spreads: Callable[[dict[str, Any]], dict[str, float]]
    options: tuple[str, ...] = ()

    def table(self, result: dict[str, Any], mode: Readout | None = None) -> str:
        """A summary as text: one row per system, the best number of each column marked."""
        columns, spreads = self.columns(result, mode), self.spreads(result)
        lines = [f"{self.measure:<24}" + "".join(f"{c:>10}" for c in columns)]
        for name in next(iter(columns.values())):
            cells = [
                f"{v[name]:>9.4f}" + ("*" if v[name] == self.best(v.values()) else " ")
                for v in columns.values()
            ]
            spread = f"  +- {spreads[name]:.4f}" if spreads.get(name) else ""
            lines.append(f"{name:<24}" + "".join(cells) + spread)
        return "\n".join(lines)

    def best_seed(self, seeds: Sequence[int], results: Sequence[dict[str, Any]]) -> int:
        """The seed whose result is best on validation."""
        found = [result["validation"] for result in results]
        return seeds[found.index(self.best(found))]


def mean_timing(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean seconds over seeds, by what took them."""
    return {name: fmean(r["timing"][name] for r in results) for name in results[0]["timing"]}

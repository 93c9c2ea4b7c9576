"""What a run is worth, in a sentence and its deciding number: a system beside its controls.

A system is said to differ from another where the difference of their means is larger than the sum
of their standard deviations over seeds. That is no test of significance, with three seeds there is
none; it keeps noise from being read as a result.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tspcrep.common import pages
from tspcrep.common.markup import Html, tag


@dataclass(frozen=True)
class Measure:
    """What a number is: its name, min or max as what is best, and how it is printed."""

    name: str
    best: Callable[[Iterable[float]], float]
    percent: bool = False

    def text(self, value: float) -> str:
        """A number as in a table, without its unit."""
        return f"{100 * value:.1f}" if self.percent else f"{value:.4f}"

    def with_unit(self, value: float) -> str:
        return f"{self.text(value)} %" if self.percent else self.text(value)

    def lead(self, value: float, other: float) -> float:
        """By how much ``value`` is better than ``other``; negative where it is worse."""
        return value - other if self.best is max else other - value


@dataclass(frozen=True)
class System:
    """A row of a table of results.

    told : what it is. spread : standard deviation over seeds, None where nothing is drawn or there
    is one seed. more : further numbers, by column.
    """

    name: str
    told: str
    value: float
    spread: float | None = None
    more: dict[str, str] = field(default_factory=dict)


def apart(measure: Measure, one: System, other: System) -> bool:
    """Whether two systems differ by more than their spreads, in what is printed too."""
    gap = abs(one.value - other.value)
    printed = measure.text(one.value) != measure.text(other.value)
    return printed and gap > (one.spread or 0.0) + (other.spread or 0.0)


def winner(measure: Measure, systems: Sequence[System], seeds: int) -> int | None:
    """The index of the system that is better than all others by more than the spreads.

    None where there is none, and with one seed, whose spread is not known.
    """
    if seeds < 2:
        return None
    values = [system.value for system in systems]
    best = values.index(measure.best(values))
    others = [system for i, system in enumerate(systems) if i != best]
    return best if all(apart(measure, systems[best], other) for other in others) else None


def verdict(
    measure: Measure, ours: System, controls: Sequence[System], seeds: int, noun: str = "seed"
) -> list[Html]:
    """The first lines of a page: a sentence, and our number beside that of the best control.

    seeds : over how many ``noun`` the numbers are means.
    """
    own = _number(measure, ours, seeds, noun, first=True)
    if not controls:
        told = f"{ours.name}: {measure.name} {measure.with_unit(ours.value)}; no control to compare"
        return [tag("p", told, ".", class_="verdict"), tag("dl", own, class_="numbers")]
    best = measure.best(control.value for control in controls)
    rival = next(control for control in controls if control.value == best)
    numbers = tag("dl", own, _number(measure, rival, seeds, noun), class_="numbers")
    return [tag("p", _sentence(measure, ours, rival, seeds), class_="verdict"), numbers]


def _sentence(measure: Measure, ours: System, rival: System, seeds: int) -> str:
    gap = measure.lead(ours.value, rival.value)
    difference = f"{100 * abs(gap):.1f} points" if measure.percent else f"{abs(gap):.4f}"
    same = measure.text(ours.value) == measure.text(rival.value)
    against = f"the best control, {rival.name}"
    if same:
        return f"No gain: {ours.name} is as good as {against}, in {measure.name}."
    better = "better" if gap > 0 else "worse"
    compared = f"{ours.name} is {difference} {better} in {measure.name} than {against}"
    if seeds < 2:
        return f"By one seed, {compared}; how much of that is chance, it cannot tell."
    if not apart(measure, ours, rival):
        return f"No clear difference: {compared}, which is within the spread over seeds."
    return f"{'A gain' if gap > 0 else 'No gain'}: {compared}, more than the spread over seeds."


def _number(measure: Measure, system: System, seeds: int, noun: str, first: bool = False) -> Html:
    if seeds < 2:
        spread = f"one {noun}, no spread" if first else ""
    else:
        spread = f"± {measure.text(system.spread)}, {seeds} {noun}s" if system.spread else ""
    told = f"{measure.name}, {system.name}" + (f" ({spread})" if spread else "")
    number = tag("dd", measure.with_unit(system.value))
    return tag("div", tag("dt", told), number, class_="first" if first else None)


def systems_table(measure: Measure, heading: str, systems: Sequence[System], seeds: int) -> Html:
    """A table of systems, each with what it is; what stands out is marked, noise and ties never."""
    best = winner(measure, systems, seeds)
    more = list(systems[0].more)
    unit = ", %" if measure.percent else ""
    rows = []
    for system in systems:
        shown = f"± {measure.text(system.spread)}" if system.spread else ""
        cells = [measure.text(system.value), shown] if seeds > 1 else [measure.text(system.value)]
        own = pages.named(system.name, system.told)
        rows.append([own, *cells, *(system.more.get(name, "–") for name in more)])
    spread = [f"over {seeds} seeds"] if seeds > 1 else []
    head = [heading, f"{measure.name}{unit}", *spread, *more]
    return pages.table(head, rows, lambda row, column: row == best and column == 0)

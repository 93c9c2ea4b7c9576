"""Several systems over several sets: average ranks, wins, and who differs from whom."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata, wilcoxon


@dataclass(frozen=True)
class Comparison:
    """Systems over sets, best rank first.

    systems: their names. ranks: average rank of each, 1 the best; equals share a rank. wins:
    ``wins[i][j]`` sets where i is better than j. p_values: ``p_values[i][j]``, Holm's correction
    included. cliques: first and last position of groups in which no two differ at ``level``; a
    group inside another is left out.
    """

    systems: tuple[str, ...]
    ranks: np.ndarray
    wins: np.ndarray
    p_values: np.ndarray
    cliques: list[tuple[int, int]]


def compare(scores: dict[str, np.ndarray], level: float = 0.05) -> Comparison:
    """Compare the scores ``{system: (sets,)}``, the larger the better, on the same sets.

    Two-sided Wilcoxon signed-rank tests of all pairs with Holm's correction, which do not depend on
    which other systems are there but by the number of tests (Benavoli, Corani & Mangili, JMLR 2016,
    recommend them over Nemenyi's test). Demsar (JMLR 2006) draws ranks and groups in this way.
    """
    names = list(scores)
    table = np.array([scores[name] for name in names])  # (systems, sets)
    ranks = rankdata(-table, axis=0).mean(axis=1)
    order = np.argsort(ranks, kind="stable")
    table, ranks = table[order], ranks[order]
    count = len(names)
    p_values = np.ones((count, count))
    for (i, j), p in holm({pair: _p(*table[list(pair)]) for pair in _pairs(count)}).items():
        p_values[i, j] = p_values[j, i] = p
    wins = (table[:, None] > table[None]).sum(axis=2)
    ordered = tuple(names[k] for k in order)
    return Comparison(ordered, ranks, wins, p_values, _cliques(p_values >= level))


def holm(p_values: dict) -> dict:
    """Holm's step-down correction (1979): the k-th smallest of m is multiplied by m - k + 1."""
    found, largest = {}, 0.0
    for k, key in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, p_values[key] * (len(p_values) - k)))
        found[key] = largest
    return found


def _pairs(count: int) -> combinations:
    return combinations(range(count), 2)


def _p(first: np.ndarray, second: np.ndarray) -> float:
    if (first == second).all():  # the test is not defined
        return 1.0
    return float(wilcoxon(first, second).pvalue)


def _cliques(alike: np.ndarray) -> list[tuple[int, int]]:
    """First and last position of the largest runs in which all pairs are alike, of two or more."""
    found: list[tuple[int, int]] = []
    for first in range(len(alike)):
        last = first
        while last + 1 < len(alike) and alike[first : last + 1, last + 1].all():
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found

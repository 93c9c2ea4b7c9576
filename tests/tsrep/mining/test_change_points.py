"""Change points against all ways to cut a series."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tsrep.mining.raw_windows import RawWindow
from tsrep.mining import ChangePoints
from tsrep.mining.change_points import partition, partition_into, segment_costs


def ways(count, least):
    """All rising cuts of ``count`` rows into segments of at least ``least``."""
    for number in range(count):
        for cuts in combinations(range(1, count), number):
            if min(np.diff([0, *cuts, count])) >= least:
                yield list(cuts)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(3, 10), least=st.integers(1, 3), seed=st.integers(0, 99))
def test_cuts_are_the_best_of_all(rows, least, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 3)) + 3 * (np.arange(rows) > rows // 2)[:, None]

    def cost(cuts):
        parts = np.split(vectors, cuts)
        return sum(np.square(part - part.mean(0)).sum() for part in parts)

    costs = segment_costs(vectors)
    assert costs[0, rows] == pytest.approx(cost([]))
    by_number = {}
    for cuts in ways(rows, least):
        by_number.setdefault(len(cuts), []).append(cost(cuts))
    for number, totals in by_number.items():
        found = partition_into(costs, least, number + 1)
        assert len(found) == number and cost(found) == pytest.approx(min(totals))
    for penalty in (0.1, 5.0, 1e6):
        found = partition(costs, least, penalty)
        best = min(min(totals) + penalty * (n + 1) for n, totals in by_number.items())
        assert cost(found) + penalty * (len(found) + 1) == pytest.approx(best)


def regimes(seed=0):
    """Noise around 0, 3 and -2, changing at 150 and 260."""
    level = np.repeat([0.0, 3.0, -2.0], [150, 110, 140])
    return level + 0.3 * np.random.default_rng(seed).normal(size=400)


@pytest.mark.parametrize("changes", [None, 2])
def test_regimes_are_found(changes):
    found = ChangePoints(20, encoder=RawWindow(), changes=changes).predict(regimes())
    assert len(found) == 2
    np.testing.assert_allclose(found, [150, 260], atol=6)


def test_noise_has_no_changes():
    noise = np.random.default_rng(0).normal(size=400)
    assert len(ChangePoints(20, encoder=RawWindow()).predict(noise)) == 0
    assert len(ChangePoints(20, encoder=RawWindow()).predict(np.full(400, 0.1))) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": 40}, "changes: found 40, expected from 0 to"),
        ({"changes": -1}, "changes: found -1"),
        ({"penalty": 0}, "penalty: found 0"),
        ({"window": 500}, "has 400 steps, expected at least a window of 500"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        ChangePoints(**{"window": 20, "encoder": RawWindow(), **options}).predict(regimes())

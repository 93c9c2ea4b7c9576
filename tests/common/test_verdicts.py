"""A verdict says no more than the numbers and their spreads do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tspcrep.common.verdicts import Measure, System, systems_table, verdict, winner

MSE, MIOU = Measure("MSE", min), Measure("mIoU", max, percent=True)
NUMBERS = st.floats(0, 1).map(lambda x: round(x, 3))


def text(parts):
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", " ".join(parts)))


@pytest.mark.parametrize(
    ("measure", "ours", "control", "seeds", "said"),
    [
        (MIOU, (0.40, 0.01), (0.30, 0.01), 3, "A gain: ours is 10.0 points better in mIoU"),
        (MIOU, (0.400, 0.02), (0.411, 0.01), 3, "No clear difference: ours is 1.1 points worse"),
        (MIOU, (0.30, 0.01), (0.40, 0.01), 3, "No gain: ours is 10.0 points worse"),
        (MIOU, (0.4001, 0.01), (0.4, 0.0), 3, "No gain: ours is as good as"),
        (MIOU, (0.40, None), (0.30, None), 1, "By one seed, ours is 10.0 points better"),
        (MSE, (0.30, 0.01), (0.40, None), 3, "A gain: ours is 0.1000 better in MSE"),
        (MSE, (0.40, 0.01), (0.30, None), 3, "No gain: ours is 0.1000 worse in MSE"),
    ],
)
def test_the_sentence(measure, ours, control, seeds, said):
    found = verdict(measure, System("ours", "", *ours), [System("other", "", *control)], seeds)
    assert said in text(found) and "the best control, other" in text(found)
    assert measure.with_unit(ours[0]) in text(found)


def test_the_best_control_is_the_one_compared_with():
    controls = [System(name, "", value) for name, value in (("a", 0.3), ("b", 0.5), ("c", 0.4))]
    for measure, best in ((MIOU, "b"), (MSE, "a")):
        assert f"control, {best}" in text(verdict(measure, System("x", "", 0.4), controls, 1))
    assert "no control" in text(verdict(MSE, System("x", "", 0.4), [], 1))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=5), st.sampled_from([MSE, MIOU]))
def test_only_what_leads_all_others_by_more_than_the_spreads_is_marked(rows, measure):
    systems = [System(str(i), "", value, spread / 10) for i, (value, spread) in enumerate(rows)]
    leads = [
        i
        for i, a in enumerate(systems)
        if all(
            (a.value - b.value if measure.best is max else b.value - a.value) > a.spread + b.spread
            and measure.text(a.value) != measure.text(b.value)
            for j, b in enumerate(systems)
            if j != i
        )
    ]
    found = winner(measure, systems, 3)
    assert ([] if found is None else [found]) == leads
    assert winner(measure, systems, 1) is None
    assert systems_table(measure, "system", systems, 3).count('class="best"') == len(leads)


def test_one_seed_has_no_spread():
    systems = [System("a", "", 0.3, None), System("b", "", 0.4, None)]
    assert "±" not in systems_table(MSE, "system", systems, 1)
    assert "±" not in text(verdict(MSE, systems[0], systems[1:], 1))
    assert "± 0.0100" in systems_table(MSE, "system", [System("a", "", 0.3, 0.01)], 3)

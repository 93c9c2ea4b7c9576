"""Ranks, wins and corrected tests against plain counts and the rules by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from tsrep.evaluation.ranks import compare, holm
from tsrep.reports.ranks import rank_picture


def test_ranks_by_hand():
    """Equals share the mean of their places."""
    found = compare({"a": np.array([0.9, 0.5]), "b": np.array([0.9, 0.7]), "c": np.zeros(2)})
    assert found.systems == ("b", "a", "c")
    np.testing.assert_allclose(found.ranks, [(1.5 + 1) / 2, (1.5 + 2) / 2, 3])


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


@settings(max_examples=20, deadline=None)
@given(systems=st.integers(2, 5), sets=st.integers(6, 20), seed=st.integers(0, 99))
def test_wins_and_p_values_by_loops(systems, sets, seed):
    rng = np.random.default_rng(seed)
    scores = {str(k): (rng.integers(0, 9, sets) + 3 * (k == 0)) / 10 for k in range(systems)}
    found = compare(scores)
    names = found.systems
    raw = {}
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            pairs = zip(scores[first], scores[second], strict=True)
            assert found.wins[i, j] == sum(a > b for a, b in pairs)
            if i < j:
                same = (scores[first] == scores[second]).all()
                raw[i, j] = 1.0 if same else wilcoxon(scores[first], scores[second]).pvalue
    for (i, j), p in holm(raw).items():
        assert found.p_values[i, j] == found.p_values[j, i] == pytest.approx(p)
    assert (np.diff(found.ranks) >= 0).all()
    assert found.ranks.sum() == pytest.approx(systems * (systems + 1) / 2)
    for first, last in found.cliques:
        inside = found.p_values[first : last + 1, first : last + 1]
        assert (inside[~np.eye(len(inside), dtype=bool)] >= 0.05).all()


def test_cliques():
    rng = np.random.default_rng(0)
    level = rng.uniform(0.3, 0.6, 40)
    scores = {
        "best": level + 0.3,
        "also best": level + 0.3 + 0.001 * rng.normal(size=40),
        "worse": level + 0.1,
        "worst": level,
    }
    found = compare(scores)
    assert found.cliques == [(0, 1)]
    assert set(found.systems[:2]) == {"best", "also best"}
    assert compare({"a": level, "b": level}).cliques == [(0, 1)]


def test_the_picture_is_a_png():
    scores = np.random.default_rng(0).random((5, 14))
    picture = rank_picture(compare(dict(zip("abcde", scores, strict=True))), "14 sets")
    assert picture.startswith(b"\x89PNG") and len(picture) > 5_000

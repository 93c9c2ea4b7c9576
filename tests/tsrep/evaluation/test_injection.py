"""Injected anomalies: where they are, and what each kind does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsrep.evaluation.injection import KINDS, inject


def clean(steps=200):
    rng = np.random.default_rng(0)
    return np.sin(2 * np.pi * np.arange(steps) / 24) + 0.1 * rng.normal(size=steps)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)),
    start=st.integers(0, 150),
    length=st.integers(8, 50),
    seed=st.integers(0, 9),
)
def test_only_the_place_changes(kind, start, length, seed):
    series = clean()
    before = series.copy()
    found, labels = inject(series, kind, start, length, np.random.default_rng(seed))
    np.testing.assert_array_equal(series, before)
    np.testing.assert_array_equal(found[~labels], series[~labels])
    assert np.abs(found - series)[labels].max() > 0.05
    places = np.flatnonzero(labels)
    assert start <= places[0] and places[-1] < start + length
    assert len(places) == (1 if kind == "spike" else length)
    again, _ = inject(series, kind, start, length, np.random.default_rng(seed))
    np.testing.assert_array_equal(found, again)


def test_kinds_by_hand():
    series, place = clean(), slice(60, 100)
    x = series[place]

    def of(kind):
        return inject(series, kind, 60, 40, np.random.default_rng(1))[0][place]

    np.testing.assert_array_equal(of("flip"), x[::-1])
    np.testing.assert_allclose(of("upside down") + x, 2 * x.mean())
    assert np.ptp(of("cutoff")) == 0 and of("cutoff")[0] in x
    assert np.corrcoef(of("scale"), x)[0, 1] == pytest.approx(1)
    slope = np.diff(of("wander") - x)
    np.testing.assert_allclose(slope, slope[0])
    assert of("average")[20] == pytest.approx(x[15:25].mean())
    assert of("speedup")[10] in (pytest.approx(x[20]), pytest.approx(x[5]))


def test_bad_input():
    with pytest.raises(ValueError, match="kind: found 'dip', expected one of spike"):
        inject(clean(), "dip", 0, 9, np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected to lie in a series of 200"):
        inject(clean(), "flip", 195, 9, np.random.default_rng(0))

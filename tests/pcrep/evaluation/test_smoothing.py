"""Averages over segments against a loop, and what they leave alone."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.evaluation.smoothing import smoothed, with_segments
from pcrep.preparation.segments import over_segment
from tests.pcrep.made_scenes import made_scene


@given(segment=st.lists(st.integers(-1, 4), min_size=1, max_size=30), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_each_segment_has_its_mean(segment, seed):
    segment = np.array(segment)
    values = np.random.default_rng(seed).random((len(segment), 3)).astype(np.float32)
    before, found = values.copy(), smoothed(values, segment)
    assert np.array_equal(values, before) and found.dtype == np.float32
    for row in range(len(segment)):
        alike = values[segment == segment[row]].astype(np.float64)
        expected = values[row] if segment[row] < 0 else alike.mean(0)
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_segments_are_found_where_there_are_none():
    cloud = made_scene(0)
    assert np.array_equal(with_segments(cloud).segment, over_segment(cloud))
    own = replace(cloud, segment=np.zeros(len(cloud), np.int64))
    assert with_segments(own) is own

"""The visiting order against Morton codes whose bits are interleaved one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.sparse.engines.order import morton_order


def codes(coordinates: np.ndarray, left_out: int = 0) -> list[tuple[int, int]]:
    """(batch, Morton code) of each row; the last axis has the highest of each group of bits."""
    axes = coordinates[:, 1:].astype(np.int64)
    axes = (axes - axes.min(0, initial=1 << 20)) >> left_out
    found = []
    for batch, row in zip(coordinates[:, 0], axes, strict=True):
        places = [(b, a) for b in range(20) for a in range(len(row))]
        bits = [(int(row[a]) >> b & 1) << (len(row) * b + a) for b, a in places]
        found.append((int(batch), sum(bits)))
    return found


@pytest.mark.parametrize("axes", [2, 3, 4])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(0, 200), extent=st.sampled_from([1, 5, 900]))
def test_order(axes, seed, rows, extent):
    rng = np.random.default_rng(seed)
    batch = np.sort(rng.integers(0, 3, rows))
    coordinates = np.column_stack([batch, rng.integers(-extent, extent, (rows, axes)) // 2])
    coordinates = coordinates.astype(np.int32)
    expected = sorted(range(rows), key=lambda i: (*codes(coordinates)[i], i))
    assert morton_order(coordinates).tolist() == expected


def test_wide_clouds_leave_out_low_bits():
    rng = np.random.default_rng(0)
    coordinates = np.column_stack([np.zeros(300), rng.integers(-100_000, 100_000, (300, 3))])
    coordinates = coordinates.astype(np.int32)
    extent = int(np.ptp(coordinates, axis=0).max())
    wide = codes(coordinates, extent.bit_length() - 10)
    expected = sorted(range(300), key=lambda i: (*wide[i], i))
    assert morton_order(coordinates).tolist() == expected

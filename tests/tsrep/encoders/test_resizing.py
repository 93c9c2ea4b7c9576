"""Resizing by plain loops over steps and cells in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tsrep.encoders.resizing import filled, known_span, resized, spread


def on_lines(x, place):
    """x (T,) at a fractional place, on straight lines; constant beyond the ends."""
    return np.interp(place, np.arange(len(x)), x)


def cell_mean(x, start, stop):
    """The mean over [start, stop) of the function that is x[t] on [t, t + 1)."""
    total = sum(x[t] * max(0.0, min(stop, t + 1) - max(start, t)) for t in range(len(x)))
    return total / (stop - start)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 40),
    length=st.integers(1, 24),
    around=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=st.integers(0, 1000),
)
def test_resized_equals_loops(steps, length, around, seed):
    x = np.random.default_rng(seed).standard_normal((steps, 2))
    padded = np.pad(x, (around, (0, 0)), constant_values=np.pi)  # never read
    first = torch.tensor([around[0]])
    found = resized(torch.from_numpy(padded)[None], first, first + steps - 1, length)[0]
    for cell in range(length):
        for c in range(2):
            if steps > length:
                edges = cell * steps / length, (cell + 1) * steps / length
                expected = cell_mean(x[:, c], *edges)
            else:
                expected = on_lines(x[:, c], (cell + 0.5) * steps / length - 0.5)
            np.testing.assert_allclose(found[cell, c], expected, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 30), cells=st.integers(1, 12), seed=st.integers(0, 1000))
def test_spread_equals_loops(steps, cells, seed):
    z = np.random.default_rng(seed).standard_normal((cells, 1))
    first, after = seed % 4, seed % 3
    last = torch.tensor([first + steps - 1])
    whole = first + steps + after
    found = spread(torch.from_numpy(z)[None], torch.tensor([first]), last, whole)[0, :, 0]
    for t in range(whole):
        inside = min(max(t - first, 0), steps - 1)
        expected = on_lines(z[:, 0], (inside + 0.5) / steps * cells - 0.5)
        np.testing.assert_allclose(found[t], expected, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(known=st.lists(st.booleans(), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_missing_steps_lie_on_lines(known, seed):
    known = np.array(known)
    x = np.random.default_rng(seed).standard_normal(len(known))
    holes = torch.from_numpy(np.where(known, x, np.nan))[None, :, None]
    found = filled(holes, torch.from_numpy(known)[None])[0, :, 0].numpy()
    there = np.flatnonzero(known)
    expected = np.interp(np.arange(len(x)), there, x[there]) if len(there) else np.zeros(len(x))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    span = [int(edge) for edge in known_span(torch.from_numpy(known)[None])]
    assert span == ([there[0], there[-1]] if len(there) else [0, 0])


def test_a_large_level_costs_no_precision():
    """Of a million steps at a level of a million, cell means are exact to single precision."""
    x = torch.full((1, 1_000_000, 1), 1e6)
    x[0, ::2] += 1
    zero = torch.zeros(1, dtype=torch.int64)
    found = resized(x, zero, zero + 999_999, 500)
    assert (found - 1_000_000.5).abs().max() <= 0.0625  # a unit in the last place
    with pytest.raises(AssertionError):  # a running sum in single precision does not
        sums = x[0, :, 0].cumsum(0)
        assert abs(float(sums[-1] - sums[-2001]) / 2000 - 1_000_000.5) <= 0.0625

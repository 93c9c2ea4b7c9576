"""Both sides of the kernels against loops over plain numbers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tsrep.augment import kernels
from tsrep.augment.kernels import (
    _curves_torch,
    _remap_torch,
    _resample_torch,
    compiled,
    curves,
    remap,
    resample,
)

SIDES = pytest.mark.parametrize("side", ["numba", "torch"])
sizes = st.integers(1, 9)


def loop_resample(x, positions):
    batch, length, channels = x.shape
    y = np.empty((*positions.shape, channels))
    for b in range(batch):
        for t, p in enumerate(positions[b]):
            p = 0.0 if np.isnan(p) else min(max(p, 0.0), length - 1.0)
            i = int(np.floor(p))
            for c in range(channels):
                y[b, t, c] = x[b, i, c]
                if p > i:
                    y[b, t, c] = x[b, i, c] * (1 - (p - i)) + x[b, i + 1, c] * (p - i)
    return y


def loop_piecewise(starts, sources, slopes, length):
    positions = np.empty((len(starts), length))
    for b in range(len(starts)):
        for t in range(length):
            s = max([s for s in range(starts.shape[1]) if starts[b, s] <= t], default=0)
            positions[b, t] = sources[b, s] + slopes[b, s] * (t - starts[b, s])
    return positions


def some_series(random, *shape, missing=0.2):
    x = random.normal(size=shape)
    x[random.random(shape) < missing] = np.nan
    return x


def some_positions(random, batch, length, last):
    """Fractional, whole, out of range and missing ones."""
    positions = random.uniform(-1, last + 1, (batch, length))
    whole = random.random((batch, length)) < 0.5
    positions[whole] = positions[whole].round()
    positions[random.random((batch, length)) < 0.05] = np.nan
    return positions


@SIDES
@settings(deadline=None)
@given(batch=sizes, length=sizes, channels=sizes, out=sizes, seed=st.integers(0, 99))
def test_resample_equals_a_loop(side, batch, length, channels, out, seed):
    random = np.random.default_rng(seed)
    x = some_series(random, batch, length, channels)
    positions = some_positions(random, batch, out, length - 1)
    read = resample if side == "numba" else _resample_torch
    y = read(torch.from_numpy(x), torch.from_numpy(positions))
    np.testing.assert_allclose(y, loop_resample(x, positions), rtol=1e-12, atol=1e-12)


@SIDES
@settings(deadline=None)
@given(batch=sizes, pieces=sizes, length=sizes, whole=st.booleans(), seed=st.integers(0, 99))
def test_remap_equals_a_loop(side, batch, pieces, length, whole, seed):
    random = np.random.default_rng(seed)
    x = some_series(random, batch, length, 2)
    # Pieces of slope 1 at whole steps are copied as blocks; some leave the series at either end.
    starts = np.sort(
        random.integers(-1, length + 1, (batch, pieces)) / (1 if whole else 1.5), axis=1
    )
    sources = random.integers(-1, length + 1, (batch, pieces)) * (1.0 if whole else 0.7)
    slopes = random.choice([1.0, 0.0, -1.0, 1.7], (batch, pieces), p=[0.7, 0.1, 0.1, 0.1])
    read = remap if side == "numba" else _remap_torch
    y = read(*map(torch.from_numpy, (x, starts, sources, slopes)))
    positions = loop_piecewise(starts, sources, slopes, length)
    np.testing.assert_allclose(y, loop_resample(x, positions), rtol=1e-12, atol=1e-12)


@SIDES
@settings(deadline=None)
@given(batch=sizes, length=st.integers(0, 9), knots=sizes, channels=sizes, seed=st.integers(0, 99))
def test_curves_equal_a_loop(side, batch, length, knots, channels, seed):
    random = np.random.default_rng(seed)
    basis = random.normal(size=(length, knots))
    weights = random.normal(size=(batch, knots, channels))
    found = (curves if side == "numba" else _curves_torch)(*map(torch.from_numpy, (basis, weights)))
    for b, t, c in np.ndindex(batch, length, channels):
        expected = 1 + sum(basis[t, k] * weights[b, k, c] for k in range(knots))
        assert found[b, t, c].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numba_equals_torch(dtype):
    basis, weights = torch.rand(200, 6, dtype=dtype), torch.rand(16, 6, 7, dtype=dtype) - 0.5
    torch.testing.assert_close(
        curves(basis, weights), _curves_torch(basis, weights), rtol=0, atol=1e-6
    )
    random = np.random.default_rng(0)
    x = torch.from_numpy(some_series(random, 16, 200, 7)).to(dtype)
    positions = torch.from_numpy(some_positions(random, 16, 300, 199))
    assert compiled(x)
    torch.testing.assert_close(
        resample(x, positions), _resample_torch(x, positions), rtol=0, atol=1e-6, equal_nan=True
    )


@SIDES
def test_whole_positions_copy_bit_by_bit(side):
    x = torch.randn(3, 20, 2)
    x[0, 3], x[1, 5], x[2, 6] = torch.nan, torch.inf, -0.0
    positions = torch.arange(20, dtype=torch.float64).expand(3, -1)
    y = (resample if side == "numba" else _resample_torch)(x, positions)
    assert torch.equal(y.view(torch.int32), x.view(torch.int32))


def test_a_gap_reaches_no_further_than_its_neighbours():
    x = torch.tensor([0.0, 1, torch.nan, 3, 4]).view(1, 5, 1)
    positions = torch.tensor([[0.0, 1.0, 1.001, 2.0, 2.999, 3.0, 3.5]], dtype=torch.float64)
    missing = resample(x, positions).isnan().flatten().tolist()
    assert missing == [False, False, True, True, True, False, False]


def test_positions_of_long_series_keep_their_fraction():
    # In float32 the fraction of a position near 10 million would be lost.
    x = torch.arange(10_000_000, dtype=torch.float64).view(1, -1, 1)
    positions = torch.tensor([[9_999_998.25]], dtype=torch.float64)
    assert resample(x, positions).item() == _resample_torch(x, positions).item() == 9_999_998.25


def test_differentiable_in_x():
    random = np.random.default_rng(1)
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    positions = torch.from_numpy(some_positions(random, 2, 8, 5))
    assert not compiled(x)
    torch.autograd.gradcheck(lambda x: resample(x, positions), x)
    with torch.no_grad():
        assert compiled(x)


def test_gaps_do_not_poison_gradients():
    x = torch.tensor([1.0, torch.nan, 2.0]).view(1, 3, 1).requires_grad_()
    positions = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    resample(x, positions).sum().backward()
    assert x.grad.flatten().tolist() == [1, 0, 1]


def test_any_layout_and_any_float():
    random = np.random.default_rng(2)
    positions = torch.from_numpy(some_positions(random, 4, 9, 9))
    x = torch.randn(10, 3, 4).permute(2, 0, 1)
    torch.testing.assert_close(
        resample(x, positions.t().contiguous().t()), _resample_torch(x, positions)
    )
    for dtype in (torch.float16, torch.bfloat16):
        y = resample(x.to(dtype), positions)
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), resample(x, positions), rtol=0, atol=0.05)


@pytest.mark.parametrize("shape", [(0, 5, 2), (3, 5, 0)])
def test_empty_batches(shape):
    positions = torch.zeros(shape[0], 4, dtype=torch.float64)
    for read in (resample, _resample_torch):
        assert read(torch.zeros(shape), positions).shape == (shape[0], 4, shape[2])


def test_threads_change_no_bit_and_are_put_back(monkeypatch):
    random = np.random.default_rng(3)
    x = torch.randn(37, 50, 3)
    positions = torch.from_numpy(some_positions(random, 37, 50, 49))
    before, found = torch.get_num_threads(), []
    monkeypatch.setattr(kernels, "GRAIN", 1)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(resample(x, positions))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_the_first_kernel_leaves_the_threads_of_torch_alone():
    script = """
import torch
from tsrep.augment.kernels import resample
torch.set_num_threads(1)
resample(torch.randn(4, 9, 2), torch.zeros(4, 9, dtype=torch.float64))
raise SystemExit(torch.get_num_threads() - 1)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_forked_worker_survives():
    # GNU OpenMP kills a forked child that uses threads after its parent did.
    script = """
import os, torch
from tsrep.augment.kernels import resample
x, positions = torch.randn(4, 9, 2), torch.rand(4, 9, dtype=torch.float64) * 8
here = resample(x, positions)
child = os.fork()
if child == 0:
    torch.set_num_threads(1)  # as a DataLoader's workers do
    os._exit(0 if torch.allclose(resample(x, positions), here) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()

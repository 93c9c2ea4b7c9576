"""Numba's cache and threads: beside other libraries, in forks, under several Python threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from numba import prange

from tspcrep.common.jit import jit, parallel

CONV = """
import torch
from pcrep import voxelize
from pcrep.sparse import Conv, SparseTensor

torch.manual_seed(0)
conv, points = Conv(3, 8), torch.rand(4000, 3)
voxels = voxelize(points, 0.05)

def run():
    x = torch.ones(len(voxels), 3).cumsum(0).sin().requires_grad_()
    y = conv(SparseTensor(voxels.coordinates, x, engine="numba")).features
    conv.zero_grad()
    y.square().sum().backward()
    return torch.cat([t.flatten() for t in (y.detach(), x.grad, conv.weight.grad)])
"""
TOY = """
import torch
from numba import prange
from tspcrep.common.jit import parallel

@parallel
def cube(x, y):
    for i in prange(len(x)):
        y[i] = x[i] ** 3

def run():
    x = torch.arange(10_000.0)
    y = torch.empty_like(x)
    cube(x.numpy(), y.numpy())
    return y
"""


def run(script: str, **environment: str) -> str:
    """The output of a script in a process of its own, with two threads unless said otherwise."""
    threads = {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        cwd=Path(__file__).parents[2],
        env=os.environ | threads | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
    return done.stdout


def test_an_old_tbb_of_open3d_is_no_warning():
    pytest.importorskip("open3d", reason="open3d brings the library")
    layer = run("""
import warnings
import open3d
warnings.simplefilter("error")
import numba
import torch
from tsrep.augment import TimeWarp
TimeWarp()(torch.zeros(64, 64, 32), torch.Generator())
print(numba.threading_layer())
""")
    assert layer.split()[-1] != "tbb"


def test_one_thread_starts_none():
    run(f"""{TOY}
import numba
run()
try:
    raise SystemExit(f"started {{numba.threading_layer()}}")
except ValueError:  # it is not initialised
    pass
torch.set_num_threads(2)
run()
print(numba.threading_layer())
""", OMP_NUM_THREADS="1")  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_forked_worker_computes_as_its_parent_did(layer):
    run(f"""{CONV}
import os
here = run()
child = os.fork()
if child == 0:
    torch.set_num_threads(1)  # as a DataLoader's workers do; torch's own threads would hang
    os._exit(0 if torch.equal(run(), here) else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""", NUMBA_THREADING_LAYER=layer)  # fmt: skip


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_compute_at_once(layer):
    run(f"""{TOY}
from concurrent.futures import ThreadPoolExecutor
expected = run()
def work(_):
    return all(torch.equal(run(), expected) for _ in range(100))
with ThreadPoolExecutor(4) as pool:
    assert all(pool.map(work, range(4)))
""", NUMBA_THREADING_LAYER=layer)  # fmt: skip


def test_without_a_place_for_a_cache_everything_is_imported_and_runs():
    # Numba tries each place by a file without name. (A test that runs as root can write anywhere.)
    run(f"""
import tempfile
def refuse(*_, **__):
    raise PermissionError("read-only")
tempfile.TemporaryFile = refuse
import pcrep, pcrep.augment, pcrep.preparation, pcrep.procedural, tsrep, tsrep.augment
{TOY}
assert run().isfinite().all()
from pcrep.sparse.engines import hashing
assert hashing.unpack_rows._cache.cache_path is None
""", OMP_NUM_THREADS="1")  # fmt: skip


def test_a_function_is_cached_by_both_of_its_names():
    """The versions with and without threads must not read each other's file."""
    folder = Path(__file__).parents[2] / "pcrep/sparse/engines/__pycache__"
    if "NUMBA_CACHE_DIR" in os.environ or not os.access(folder, os.W_OK):
        pytest.skip("the cache is elsewhere")
    run(f"{CONV}\nrun()\ntorch.set_num_threads(1)\nrun()")
    for name in ("gather_product", "gather_product_serial"):
        assert list(folder.glob(f"gemm.{name}-*.nbi"))


@parallel
def _cubes(x, y):
    for i in prange(len(x)):
        y[i] = x[i] ** 3


@jit(error_model="numpy")
def _quotient(a, b):
    return a / b


def test_options_and_limits_are_handed_on():
    assert _quotient(1.0, 0.0) == float("inf")
    x, before = torch.arange(1000.0), torch.get_num_threads()
    try:
        for threads, most in ((1, None), (2, None), (2, 1), (2, 8)):
            torch.set_num_threads(threads)
            y = torch.empty(1000)
            _cubes(x.numpy(), y.numpy(), most=most)
            assert torch.equal(y, x**3)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert _cubes.__name__ == "_cubes"

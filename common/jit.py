"""Compiled functions: where numba caches them, and on how many threads they run."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import FunctionType
from typing import Any

import numba
import torch

# Numba tries TBB first, and warns where another library, such as open3d, has loaded an old one. A
# choice that the user made in the environment stays.
if not {"NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"} & os.environ.keys():
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]

_PROCESS = os.getpid()
_LOCK = threading.Lock()


def jit(function: Callable | None = None, **options: Any) -> Callable:
    """``numba.njit``, cached on disk where there is a place for it; ``@jit`` or ``@jit(...)``.

    Numba tries ``$NUMBA_CACHE_DIR``, the folder of the source and the user's cache. Where none can
    be written, as in a container without a home, each process compiles anew.
    """
    if function is None:
        return partial(jit, **options)
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no place to write
        return numba.njit(**options)(function)


def parallel(function: Callable | None = None, **options: Any) -> Callable:
    """A compiled function whose ``prange`` loops run on torch's number of threads.

    The limits set by ``OMP_NUM_THREADS``, torchrun and DataLoader workers then hold for numba too.
    With one thread, and in a forked process, which must not use the threads of its parent (GNU
    OpenMP would end it), a version without threads runs and none is started. Calls of several
    Python threads take turns: one of numba's thread pools ends the process if they do not. Loops
    that sum across their turns are not allowed, so both versions give the same bits.

    Called with ``most``, it takes no more threads than that.
    """
    if function is None:
        return partial(parallel, **options)
    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__, function.__globals__, function.__name__)
    copy.__qualname__ = f"{function.__qualname__}_serial"  # numba's cache knows it by its name
    serial, threaded = jit(copy, **options), jit(function, parallel=True, **options)

    @wraps(function)
    def call(*args: Any, most: int | None = None) -> Any:
        threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
        if most is not None:
            threads = min(threads, most)
        if threads == 1 or os.getpid() != _PROCESS:
            return serial(*args)
        with _LOCK, _threads(threads):
            return threaded(*args)

    return call


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set numba's number of threads; restore it, and torch's.

    If the two libraries share one OpenMP runtime, starting numba changes torch's count.
    """
    torchs, numbas = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(numbas)
        if torch.get_num_threads() != torchs:
            torch.set_num_threads(torchs)

"""Run numba's parallel loops with the number of threads that torch uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch

# Numba tries TBB first, and warns where another library, such as open3d, has loaded an old one. A
# choice that the user made in the environment stays.
if not {"NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"} & os.environ.keys():
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]


@contextmanager
def torchs_threads(most: int | None = None) -> Iterator[None]:
    """Give numba as many threads as torch has, or ``most`` if that is less; also a decorator.

    The limits set by torchrun and by DataLoader workers then hold for numba as well. Both thread
    counts are restored afterwards: if the two libraries share one OpenMP runtime, starting numba
    changes torch's count.
    """
    torchs, numbas = torch.get_num_threads(), numba.get_num_threads()
    wanted = min(torchs, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(wanted if most is None else min(wanted, most))
    try:
        yield
    finally:
        numba.set_num_threads(numbas)
        if torch.get_num_threads() != torchs:
            torch.set_num_threads(torchs)

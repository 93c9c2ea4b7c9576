"""numba's parallel loops on the threads of torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch


@contextmanager
def torchs_threads(most: int | None = None) -> Iterator[None]:
    """Inside, numba has as many threads as torch, or ``most`` where that is less.

    So the limits of torchrun and of a DataLoader's workers hold for numba too. Both counts are put
    back afterwards: where the two share one OpenMP library, numba's start sets its number for both.
    Serves as a decorator too.
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

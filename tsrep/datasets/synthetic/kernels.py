"""Draws from Gaussian processes whose kernels are put together from a bank.

The bank is CauKer's (Xie et al. 2025, sec. 3), which goes back to Chronos' KernelSynth (Ansari et
al. 2024, sec. 4.2): periodic, linear, squared-exponential, rational-quadratic and white kernels on
a grid of [0, 1], one to seven of them joined by sums and products.
"""

from functools import lru_cache

import numpy as np

PERIODS = (4, 6, 7, 10, 12, 14, 24, 26, 30, 40, 48, 52, 60, 96, 168, 336, 365, 672, 730)
"""Periods in steps of a series of 512: hours, days, weeks and years at the usual rates."""
COUNT = 256
"""Composite kernels of a bank. Each is factorised once; a draw is then one product."""
_MOST_JOINED = 7
_JITTER = 1e-5  # of the mean variance, added to the diagonal


def _bank(steps: int) -> list[np.ndarray]:
    """The single kernels, (T, T) float64 each."""
    x = np.arange(steps) / steps
    distance = np.abs(x[:, None] - x)
    squared = distance**2
    periodic = [np.exp(-2 * np.sin(np.pi * distance * 512 / p) ** 2) for p in PERIODS]
    linear = [sigma**2 + x[:, None] * x for sigma in (0, 1, 10)]
    smooth = [np.exp(-squared / (2 * length**2)) for length in (0.1, 1, 10)]
    rational = [(1 + squared / (2 * alpha)) ** -alpha for alpha in (0.1, 1, 10)]
    white = [variance * np.eye(steps) for variance in (0.1, 1)]
    return [*periodic, *linear, *smooth, *rational, *white]


@lru_cache(maxsize=2)
def factors(seed: int, steps: int) -> np.ndarray:
    """Lower Cholesky factors (COUNT, T, T), float32, of composite kernels drawn with ``seed``.

    Each composite has a mean variance of 1: CauKer's have those of their parts, up to 100, and a
    few large ones would rule every sum.
    """
    bank, rng = _bank(steps), np.random.default_rng((seed, steps))
    found = np.empty((COUNT, steps, steps), np.float32)
    for factor in found:
        parts = rng.choice(len(bank), rng.integers(1, _MOST_JOINED + 1))
        kernel = bank[parts[0]].copy()
        for part in parts[1:]:
            kernel = kernel + bank[part] if rng.random() < 0.5 else kernel * bank[part]
        kernel /= np.trace(kernel) / steps
        kernel[np.diag_indices(steps)] += _JITTER
        factor[:] = np.linalg.cholesky(kernel)
    return found


def draw(rng: np.random.Generator, seed: int, steps: int) -> np.ndarray:
    """One draw (T,) of one of the bank's processes, with a mean function.

    The mean is the sum or the product of two of: nothing, a line, an exponential, a few spikes.
    """
    bank = factors(seed, steps)
    sample = bank[rng.integers(len(bank))] @ rng.standard_normal(steps, np.float32)
    first, second = _mean(rng, steps), _mean(rng, steps)
    return sample + (first + second if rng.random() < 0.5 else first * second)


def _mean(rng: np.random.Generator, steps: int) -> np.ndarray:
    x = np.arange(steps) / steps
    kind = rng.integers(4)
    if kind == 0:
        return np.zeros(steps)
    if kind == 1:
        a, b = rng.uniform(-1, 1, 2)
        return a * x + b
    if kind == 2:
        a, b = rng.uniform(0.5, 1.5, 2)
        return a * np.exp(b * x)
    spikes = np.zeros(steps)
    count = rng.integers(1, 6)
    spikes[rng.integers(0, steps, count)] = rng.uniform(-5, 5, count)
    return spikes

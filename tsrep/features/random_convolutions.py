"""Features of whole series by random convolutions, without training: MiniRocket's idea."""

from itertools import combinations

import numba
import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from tspcrep.common.errors import UserError
from tspcrep.common.jit import jit, parallel
from tsrep.features.ragged import Ragged, SeriesEstimator, check_channels, checked_panel

LENGTH = 9
KERNELS = np.array(list(combinations(range(LENGTH), 3)))
"""(84, 3): where each kernel has the weight 2; its other six weights are -1."""
MAX_DILATIONS = 32
MAX_CHANNELS = 9
GOLDEN = (np.sqrt(5) - 1) / 2


class RandomConvolutions(
    SeriesEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Share of positive values of many random convolutions: series -> (N, ``n_features_out_``).

    Dempster, Schmidt & Webb, "MiniRocket" (KDD 2021), Section 3: all 84 kernels of length 9 with
    three weights 2 and six weights -1, each at up to 32 dilations that are spread evenly on a log
    scale up to the length of the series; half of these pairs pad the series with zeros. Each pair
    gives a few features ``mean_t [(x * kernel)_t > bias]``, whose biases are quantiles of the
    convolution of one training series drawn at random.

    Where we depart: a pair reads the sum over a random subset of at most 9 channels (the paper has
    one channel; sizes are drawn on a log scale, as ROCKET's are). A series keeps its own length, so
    one that is shorter than a kernel's reach is padded by that kernel, and no other padding is
    seen. Missing values inside a series are interpolated.

    Parameters
    ----------
    n_features : number of features, rounded down to a multiple of 84.
    differences : convolve the first differences of the series, as MultiRocket does beside the
        series itself (Tan et al., DMKD 2022).
    random_state : seed of the subsets and of the series that give the biases.

    Attributes
    ----------
    dilations_ : (P,) of each pair, in steps; pair p has kernel ``p % 84``.
    biases_ : list of P arrays, the biases of each pair.
    channels_ : list of P arrays, the channels that each pair reads.
    n_features_out_ : number of features.

    X is (N, T, C), NaN where missing and behind the end of a shorter series; any T in
    ``transform``. The same on any number of threads. Raises ``ValueError`` for an infinite value,
    no series or step, and for other channels than were fitted.
    """

    def __init__(self, n_features=10_000, *, differences=False, random_state=0):
        self.n_features = n_features
        self.differences = differences
        self.random_state = random_state

    def fit(self, X, y=None):
        """Draw subsets of channels and biases; y is ignored."""
        if self.n_features < len(KERNELS):
            raise UserError(
                f"n_features: found {self.n_features}, expected at least {len(KERNELS)}, one for "
                "each kernel"
            )
        series = self._series(checked_panel(X, self))
        rng = np.random.default_rng(self.random_state)
        dilations, counts = _dilations(self.n_features // len(KERNELS), series.longest)
        pairs = len(dilations) * len(KERNELS)
        self.n_channels_ = series.channels
        self.dilations_ = np.repeat(dilations, len(KERNELS))
        self.channels_ = [_subset(rng, series.channels) for _ in range(pairs)]
        sources = rng.integers(len(series), size=pairs)
        counts = np.repeat(counts, len(KERNELS))
        # Quantiles of a low-discrepancy sequence, as in the paper.
        levels = np.split(np.arange(1, counts.sum() + 1) * GOLDEN % 1, counts.cumsum()[:-1])
        self.biases_ = [
            np.quantile(self._convolve(series.one(n), pair), levels[pair]).astype(np.float32)
            for pair, n in enumerate(sources)
        ]
        self.n_features_out_ = self._n_features_out = int(counts.sum())
        return self

    def transform(self, X):
        """Features (N, ``n_features_out_``) of ``X (N, T, C)``, float32 from 0 to 1."""
        check_is_fitted(self)
        values = checked_panel(X, self)
        check_channels(values, self.n_channels_, self)
        series = self._series(values)
        out = np.empty((len(series), self.n_features_out_), dtype=np.float32)
        _transform(series.values, series.starts, *self._flat(), out)
        return out

    def _series(self, values: np.ndarray) -> Ragged:
        series = Ragged.of(values)
        return series.differences() if self.differences else series

    def _convolve(self, x: np.ndarray, pair: int) -> np.ndarray:
        """The values (L,) of pair ``pair`` on ``x (T, C)`` that its biases are compared with."""
        found = np.empty(len(x), dtype=np.float32)
        dilation = int(self.dilations_[pair])
        channels = self.channels_[pair]
        padded = np.zeros((len(channels), len(x) + 8 * dilation), dtype=np.float32)
        padded[:, 4 * dilation : 4 * dilation + len(x)] = x[:, channels].T
        _convolution(padded, np.arange(len(channels)), dilation, KERNELS[pair % 84], found)
        return found[slice(*_range(len(x), dilation, pair))]

    def _flat(self):
        sizes = np.cumsum([0, *map(len, self.channels_)])
        ends = np.cumsum([0, *map(len, self.biases_)])
        return (
            self.dilations_,
            np.concatenate(self.channels_),
            sizes,
            np.concatenate(self.biases_),
            ends,
        )


def _dilations(features: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Dilations of each kernel, and how many of its ``features`` each of them has.

    At most 32, spread evenly on a log scale from 1 to where a kernel spans ``steps``; those that
    rounding makes equal share their features.
    """
    number = min(features, MAX_DILATIONS)
    top = np.log2(max(steps - 1, LENGTH - 1) / (LENGTH - 1))
    dilations, counts = np.unique(
        np.floor(2 ** np.linspace(0, top, number)).astype(np.int64), return_counts=True
    )
    shares = counts * features // number
    shares[: features - shares.sum()] += 1
    return dilations, shares


def _subset(rng: np.random.Generator, channels: int) -> np.ndarray:
    size = int(2 ** rng.uniform(0, np.log2(min(channels, MAX_CHANNELS) + 1)))
    return np.sort(rng.choice(channels, size, replace=False))


@jit
def _range(steps, dilation, pair):
    """First and last step, exclusive, of a pair's values: every other pair reads no padding."""
    margin = (LENGTH // 2) * dilation
    padded = (pair + pair // len(KERNELS)) % 2 == 0 or steps <= 2 * margin
    return (0, steps) if padded else (margin, steps - margin)


@jit(fastmath=True)
def _convolution(padded, channels, dilation, kernel, out):
    """``padded (C, T + 8 dilation)``, summed over ``channels``; out: (T,).

    As the weights are -1 and 2, the sum is 3 times the three chosen taps less all nine.
    """
    steps = len(out)
    out[:] = 0
    for c in channels:
        x = padded[c]
        for j in range(LENGTH):
            weight = np.float32(-1)
            for k in kernel:
                if k == j:
                    weight = np.float32(2)
            start = j * dilation
            for t in range(steps):
                out[t] += weight * x[start + t]


@parallel(fastmath=True)
def _transform(values, starts, dilations, channels, sizes, biases, ends, out):
    """values: (C, all steps); series n has the steps ``starts[n] : starts[n + 1]``."""
    for n in numba.prange(len(starts) - 1):
        first, steps = starts[n], starts[n + 1] - starts[n]
        conv = np.empty(steps, dtype=np.float32)
        all_taps = np.empty((len(values), steps), dtype=np.float32)
        padded = np.zeros((len(values), steps), dtype=np.float32)
        dilation = 0
        for pair in range(len(dilations)):
            if dilations[pair] != dilation:
                dilation = dilations[pair]
                margin = (LENGTH // 2) * dilation
                padded = np.zeros((len(values), steps + 2 * margin), dtype=np.float32)
                padded[:, margin : margin + steps] = values[:, first : first + steps]
                all_taps[:] = 0
                for c in range(len(values)):
                    for j in range(LENGTH):
                        for t in range(steps):
                            all_taps[c, t] -= padded[c, j * dilation + t]
            kernel = KERNELS[pair % len(KERNELS)]
            for i in range(sizes[pair], sizes[pair + 1]):
                x, base = padded[channels[i]], all_taps[channels[i]]
                # Slices, so that the loop has no index that could be negative.
                a = x[kernel[0] * dilation :]
                b = x[kernel[1] * dilation :]
                d = x[kernel[2] * dilation :]
                if i == sizes[pair]:
                    conv[:] = 0
                for t in range(steps):
                    conv[t] += base[t] + np.float32(3) * (a[t] + b[t] + d[t])
            start, stop = _range(steps, dilation, pair)
            for f in range(ends[pair], ends[pair + 1]):
                bias, above = biases[f], np.int32(0)
                for value in conv[start:stop]:
                    above += np.int32(value > bias)
                out[n, f] = np.float32(above) / np.float32(stop - start)

"""Periods of a series, from its spectrum, with a significance test."""

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d

from tsrep.datasets.series import filled

_LEVEL = 0.001
"""Chance of a false candidate in a series without any period."""
_ROWS = 10000
"""Last rows that are looked at."""
_WORTH = 0.05
"""Least share of the seasons that a period must explain."""
_ALIKE = 0.02
"""Difference of such shares that means nothing."""
_PEAKS = 8
"""Frequencies that are looked at, the strongest."""


def find_periods(values: np.ndarray, longest: int, most: int = 3) -> tuple[int, ...]:
    """Periods of a series in steps, the one that explains most first, at most ``most``.

    A frequency of the first differences, which have no trend, is significant if its power stands
    out of its surroundings: noise of a smooth spectrum has exponentially distributed power, so the
    largest of n frequencies passes ``log(n / .001)`` times their mean once in a thousand series
    (Fisher 1929, with a local mean in place of the global one). Without such a frequency there is
    no period. Of the whole numbers of steps near them, and of the lags at which the series is most
    alike, the one is kept whose means by phase in every other season explain most of the seasons
    between, or the shortest that explains about as much; they are taken off, and the rest is
    searched again, until none explains anything.

    values: (T, C), NaN where missing; channels share their periods. longest: in steps.
    """
    levels = filled(values)[-_ROWS:]
    size = np.sqrt(np.square(np.diff(levels, axis=0)).mean(axis=0))
    levels = levels[:, size > 0] / size[size > 0]
    if len(levels) < 8 or levels.shape[1] == 0:
        return ()
    candidates = _candidates(np.diff(levels, axis=0), longest)
    found: list[int] = []
    while candidates and len(found) < most:
        worth = [_explained(levels, period) for period in candidates]
        if max(worth) < _WORTH:
            break
        best = int(np.argmax(worth))
        for k, period in enumerate(candidates):  # multiples of a period explain as much
            if worth[k] > worth[best] - _ALIKE and candidates[best] % period == 0:
                best = k
                break
        found.append(candidates.pop(best))
        seasons = _seasons(levels, found[-1]).mean(axis=0)
        levels = levels[len(levels) % found[-1] :]
        levels = levels - np.resize(seasons, levels.shape)
    return tuple(found)


def _candidates(moves: np.ndarray, longest: int) -> list[int]:
    """Whole periods next to the frequencies whose power stands out, and lags most alike.

    None of either if no frequency does. A pattern may have most of its power at multiples of its
    own frequency; the series is alike at its period all the same.
    """
    moves = moves - moves.mean(axis=0)
    rows = len(moves)
    tapered = moves * np.hanning(rows)[:, None]  # a period between two frequencies leaks less
    power = np.square(np.abs(np.fft.rfft(tapered, axis=0)))[1:].mean(axis=1)
    # Medians of exponential variables are log(2) of their means.
    around = median_filter(power, size=2 * max(25, len(power) // 50) + 1)
    around = np.maximum(around / np.log(2), 1e-12 * power.max())
    peaks = np.flatnonzero(power > around * np.log(len(power) / _LEVEL)) + 1
    if len(peaks) == 0:
        return []
    whole = np.square(np.abs(np.fft.rfft(moves, 2 * rows, axis=0)))
    alike = np.fft.irfft(whole.sum(axis=1))[2 : longest + 1]
    found = {int(lag) + 2 for lag in np.argsort(-alike)[: 2 * _PEAKS]}
    for k in peaks[np.argsort(-power[peaks - 1])[:_PEAKS]]:
        low, high = rows / (k + 0.6), rows / max(k - 0.6, 0.5)
        near = np.linspace(np.ceil(low), np.floor(high), 5).round().astype(int)
        found |= {int(p) for p in (*near, round(rows / k))}
    return sorted(p for p in found if 2 <= p <= longest)


def _seasons(levels: np.ndarray, period: int) -> np.ndarray:
    """The last whole seasons, less their running mean: (seasons, period, C)."""
    levels = levels - uniform_filter1d(levels, period, axis=0, mode="nearest")
    return levels[len(levels) % period :].reshape(-1, period, levels.shape[1])


def _explained(levels: np.ndarray, period: int) -> float:
    """Share of every other season that the phase means of the seasons between explain."""
    if len(levels) < 2 * period:
        return 0.0
    seasons = _seasons(levels, period)
    even, odd = seasons[0::2], seasons[1::2]
    left = np.square(even - odd.mean(axis=0)).sum() + np.square(odd - even.mean(axis=0)).sum()
    total = np.square(seasons).sum()
    # Rounding alone explains a straight line.
    return float(1 - left / total) if total > 1e-9 * np.square(levels).sum() else 0.0

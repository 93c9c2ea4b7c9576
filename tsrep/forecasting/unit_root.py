"""Whether a series has a level that it returns to: the test of Dickey and Fuller."""

from collections.abc import Sequence

import numpy as np

_CRITICAL = -2.86
"""A random walk has a smaller statistic once in twenty series (Fuller 1976, table 8.5.2)."""
_ROWS = 10000
"""Last rows that are looked at."""


def returns_to_its_level(values: np.ndarray, periods: Sequence[int] = ()) -> bool:
    """Whether the channels of a series, on average, are no random walks around a season.

    ``dy_t = a + g y_{t-1} + sum_j b_j dy_{t-j}``; the statistic is g over its standard error (Said
    and Dickey 1984), with Schwert's ``12 (T / 100)^{1/4}`` lags, or a season if that is more. Of a
    series that fails, a mean of past values says nothing of the future, however well it did for a
    while.

    values: (T, C), without NaN. periods: of the series, in steps.
    """
    values = np.asarray(values, dtype=np.float64)[-_ROWS:]
    rows = len(values)
    season = max((p for p in periods if p <= min(200, rows // 8)), default=0)
    lags = min(max(int(12 * (rows / 100) ** 0.25), season), rows // 4)
    if rows - lags < lags + 10:
        return False
    found = [_statistic(own, lags) for own in values.T if np.ptp(own) > 0]
    return bool(found) and float(np.mean(found)) < _CRITICAL


def _statistic(own: np.ndarray, lags: int) -> float:
    moves = np.diff(own)
    windows = np.lib.stride_tricks.sliding_window_view(moves, lags + 1)  # oldest first
    x = np.concatenate([np.ones((len(windows), 1)), own[lags:-1, None], windows[:, :-1]], axis=1)
    y = windows[:, -1]
    gram = x.T @ x
    found = np.linalg.lstsq(gram, np.stack([*np.eye(len(gram))[:2], x.T @ y], 1), rcond=1e-12)[0]
    coefficients = found[:, 2]
    left = y - x @ coefficients
    variance = left @ left / max(1, len(y) - len(gram)) * found[1, 1]
    return float(coefficients[1] / np.sqrt(max(variance, 1e-30)))

"""Moments of all windows of a series, at a cost that hardly depends on how many there are.

The rows of the fit are ``x = [beside (K), lags (look-back)]`` of an origin, raw values with the
last one at the end, and ``y``, the values that follow.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import correlate

from tspcrep.common.probes import Moments

_MANY = 4096
"""Windows from which on it is cheaper not to cut them one by one."""


def window_moments(
    values: np.ndarray, beside: np.ndarray, starts: np.ndarray, look_back: int, horizon: int
) -> Moments:
    """Moments of x = [beside, lags] and y = next values over consecutive origins and channels.

    values: (T, C) without NaN, beside: (T, K). starts: (n,), consecutive. The windows of all
    channels count as rows. Costs O((look-back + horizon)^2) beside a few correlations.
    """
    first, stop = int(starts[0]) - look_back + 1, int(starts[-1]) + horizon + 1
    size, (_, channels), k = look_back + horizon, values.shape, beside.shape[1]
    part, when = values[first:stop], beside[starts]  # windows start at rows 0 ... n - 1 of part
    sums, gram = np.empty(k + size), np.empty((k + size, k + size))
    sums[:k] = channels * when.sum(axis=0)
    sums[k:] = sliding_window_view(part.sum(axis=1), len(starts)).sum(axis=1)
    gram[:k, :k] = channels * when.T @ when
    for column in range(k):
        cross = correlate(part.sum(axis=1), when[:, column], mode="valid", method="fft")
        gram[column, k:] = gram[k:, column] = cross
    gram[k:, k:] = _window_gram(part, len(starts))
    n, split = len(starts) * channels, k + look_back
    mean = sums / n
    gram -= np.outer(sums, mean)
    return Moments(
        n,
        mean[:split],
        mean[split:],
        gram[:split, :split],
        gram[:split, split:],
        np.diagonal(gram)[split:],
    )


def summed_moments(
    series: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], look_back: int, horizon: int
) -> Moments | None:
    """:func:`window_moments` of several series together, as moments add up; None without any.

    series: (values, beside, starts) of each. Windows of short series are cut one by one.
    """
    total: Moments | None = None
    few: list[np.ndarray] = []
    rows = 0

    def add(own: Moments) -> None:
        nonlocal total
        total = own if total is None else total + own

    def flush() -> None:
        nonlocal few, rows
        if few:
            windows = np.concatenate(few)
            add(Moments.of(windows[:, :-horizon], windows[:, -horizon:]))
            few, rows = [], 0

    for values, beside, starts in series:
        count = len(starts) * values.shape[1]
        if count >= _MANY:
            add(window_moments(values, beside, starts, look_back, horizon))
        elif count:
            few.append(_windows(values, beside, starts, look_back + horizon, look_back))
            rows += count
            if rows >= _MANY:
                flush()
    flush()
    return total


def since_last(moments: Moments, look_back: int) -> Moments:
    """Moments of the same windows, the last value subtracted from lags and labels."""
    last = len(moments.x_mean) - 1
    lags = np.zeros(last + 1)
    lags[last + 1 - look_back :] = 1.0
    own, square = moments.xx[last], moments.xx[last, last]
    shift = np.outer(lags, own - 0.5 * square * lags)
    return Moments(
        moments.rows,
        moments.x_mean - lags * moments.x_mean[last],
        moments.y_mean - moments.x_mean[last],
        moments.xx - shift - shift.T,
        moments.xy - np.outer(lags, moments.xy[last] - square) - own[:, None],
        moments.yy - 2 * moments.xy[last] + square,
    )


def part(moments: Moments, columns: np.ndarray | slice, targets: np.ndarray | slice) -> Moments:
    """Moments of some columns of x and of some targets."""
    return replace(
        moments,
        x_mean=moments.x_mean[columns],
        y_mean=moments.y_mean[targets],
        xx=moments.xx[columns][:, columns],
        xy=moments.xy[columns][:, targets],
        yy=moments.yy[targets],
    )


def _windows(
    values: np.ndarray, beside: np.ndarray, starts: np.ndarray, size: int, look_back: int
) -> np.ndarray:
    """Rows [beside, lags, next values] (n C, K + S) of all origins and channels."""
    cut = sliding_window_view(values, size, axis=0)[starts - look_back + 1]  # (n, C, S)
    n, channels, _ = cut.shape
    when = np.broadcast_to(beside[starts, None], (n, channels, beside.shape[1]))
    return np.concatenate([when, cut], axis=2).reshape(n * channels, -1)


def _window_gram(part: np.ndarray, n: int) -> np.ndarray:
    """Products (S, S) of the steps of n sliding windows of S steps, summed over windows, channels.

    part: (n + S - 1, C). Shifting both steps by one drops the first product and adds one at the
    end, so that each diagonal follows from its first entry.
    """
    size = len(part) - n + 1
    gram = np.empty((size, size))
    gram[0] = sum(correlate(column, column[:n], mode="valid", method="fft") for column in part.T)
    for i in range(size - 1):
        old, new = part[i : size - 1], part[n + i : n + size - 1]
        gram[i + 1, i + 1 :] = gram[i, i:-1] + new @ new[0] - old @ old[0]
        gram[i + 1 :, i + 1] = gram[i + 1, i + 1 :]
    gram[:, 0] = gram[0]
    return gram

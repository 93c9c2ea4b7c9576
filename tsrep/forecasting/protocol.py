"""The evaluation protocol: forecasts, the origins that they start from, and their errors.

The protocol of TS2Vec, CoST and AutoTCL: a forecast is made at every origin of the test rows whose
horizon fits inside them, its context may reach back into earlier rows, and errors are means over
origins, steps and channels in standardised units.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_BLOCK_BYTES = 32 << 20

Forecast = Callable[[np.ndarray], np.ndarray]
"""A function from origins (N,), rows of the last value seen, to the next H values (N, H, C)."""


class Score(NamedTuple):
    """Errors of a forecast at one horizon."""

    mse: float
    mae: float


def origins(rows: slice, horizon: int) -> np.ndarray:
    """Rows (N,) in ``rows`` to forecast from: those followed by ``horizon`` more in ``rows``."""
    return np.arange(rows.start, rows.stop - horizon)


def evaluate(forecast: Forecast, values: np.ndarray, rows: slice, horizon: int) -> Score:
    """Mean errors of a forecast over all origins of ``rows``; missing values are left out.

    values: (T, C). Raises ValueError if ``rows`` are not longer than the horizon.
    """
    starts = origins(rows, horizon)
    if len(starts) == 0:
        length = rows.stop - rows.start
        raise ValueError(f"{length} rows to forecast, expected more than the horizon {horizon}")
    windows = sliding_window_view(np.asarray(values, dtype=np.float64), horizon, axis=0)
    squared = absolute = 0.0
    count = 0
    for part in _blocks(starts, horizon * values.shape[1]):
        error = forecast(part) - windows[part + 1].transpose(0, 2, 1)  # (n, H, C)
        seen = error[~np.isnan(error)]
        squared += float(seen @ seen)
        absolute += float(np.abs(seen).sum())
        count += seen.size
    return Score(squared / count, absolute / count) if count else Score(np.nan, np.nan)


def _blocks(starts: np.ndarray, numbers: int) -> Iterator[np.ndarray]:
    size = max(1, _BLOCK_BYTES // (8 * numbers))
    return (starts[i : i + size] for i in range(0, len(starts), size))

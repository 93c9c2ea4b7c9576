"""Baseline forecasters (controls): persistence, seasonal naive, and ridges on lags.

Look-backs and penalties are chosen on validation rows. Scoring is in
:mod:`tsrep.forecasting.protocol`.

Values are (T, C), standardised, NaN where missing. Missing values are replaced by the last one
seen, or by the train mean, zero, before the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tspcrep.common.probes import PENALTIES, RidgeModel, RidgePath
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Split, filled
from tsrep.forecasting.moments import since_last, window_moments
from tsrep.forecasting.protocol import Forecast, origins

LOOK_BACKS = (48, 96, 201, 336, 720)
"""Numbers of lags that a ridge chooses from; encoders of the references see 201 steps."""
DROP = 200
"""First train rows, without a full context, that the references leave out."""


def persistence(values: np.ndarray, horizon: int) -> Forecast:
    """Forecast the last value seen at every step."""
    values = filled(values)
    return lambda starts: np.repeat(values[starts, None], horizon, axis=1)


def seasonal_naive(values: np.ndarray, horizon: int, period: int) -> Forecast:
    """Forecast the last value seen at the same phase of the season.

    period: season in steps. Raises ValueError at an origin with less than a season before it.
    """
    values = filled(values)
    steps = np.arange(horizon) % period - period + 1

    def forecast(starts: np.ndarray) -> np.ndarray:
        if starts.min() + steps[0] < 0:
            raise ValueError(f"origin {starts.min()} has less than a season of {period} before it")
        return values[starts[:, None] + steps]

    return forecast


@dataclass(frozen=True, eq=False)
class LagRidge:
    """A ridge from the last ``look_back`` values of a channel to its next H, shared by channels.

    model: from [calendar of the origin (K), lags (look_back)] to (H,). normalise: the last value
    is subtracted from lags and labels, and added to the forecast.
    """

    look_back: int
    model: RidgeModel
    normalise: bool

    def forecast(self, values: np.ndarray, calendar: np.ndarray) -> Forecast:
        """values: (T, C), calendar: (T, K), K = 0 if the ridge was fitted without one."""
        windows = sliding_window_view(filled(values), self.look_back, axis=0)  # (., C, look-back)

        def forecast(starts: np.ndarray) -> np.ndarray:
            lags = windows[starts - self.look_back + 1]  # (n, C, look-back), a copy
            last = lags[..., -1:] if self.normalise else 0.0
            n, channels, _ = lags.shape
            when = np.broadcast_to(calendar[starts, None], (n, channels, calendar.shape[1]))
            x = np.concatenate([when, lags - last], axis=-1).reshape(n * channels, -1)
            ahead = self.model.predict(x).reshape(n, channels, -1) + last
            return ahead.transpose(0, 2, 1)

        return forecast


def fit_lag_ridge(
    values: np.ndarray,
    split: Split,
    horizon: int,
    *,
    normalise: bool = False,
    calendar: np.ndarray | None = None,
    look_backs: Sequence[int] = LOOK_BACKS,
    alphas: Sequence[float] = PENALTIES,
    drop: int = DROP,
) -> LagRidge:
    """Fit a ridge on lags to train rows, with the look-back and penalty of least validation MSE.

    One map serves all channels (their windows are its rows), for which the Gram matrix of all
    windows costs O((look-back + horizon)^2), whatever the length of the series.

    values: (T, C). normalise: see :class:`LagRidge`; this is NLinear (Zeng et al. 2023, section 4)
    fitted in closed form. calendar: (T, K), features of the origin. look_backs: those with fewer
    train windows than lags are skipped. drop: first train rows that are no origins. Raises
    ValueError if no look-back remains.
    """
    values = filled(values)
    calendar = np.zeros((len(values), 0)) if calendar is None else calendar.astype(np.float64)
    best: LagRidge | None = None
    for look_back in look_backs:
        first = split.train.start + max(drop, look_back - 1)
        train = origins(slice(first, split.train.stop), horizon)
        if len(train) < look_back:
            continue
        rows = (train, origins(split.valid, horizon))
        shape = (look_back, horizon)
        fit, valid = (window_moments(values, calendar, starts, *shape) for starts in rows)
        if normalise:
            fit, valid = since_last(fit, look_back), since_last(valid, look_back)
        path = RidgePath(fit)
        errors = path.mse(valid, alphas)
        k = int(errors.argmin())
        if best is None or errors[k] < best.model.score:
            best = LagRidge(look_back, path.model(alphas[k], float(errors[k])), normalise)
    if best is None:
        length = split.train.stop - split.train.start
        raise ValueError(
            f"{length} train rows are too few for look-back {min(look_backs)} and horizon "
            f"{horizon} behind {drop} dropped rows: shorten one"
        )
    return best


def controls(
    values: np.ndarray,
    split: Split,
    *,
    period: int | None = None,
    calendar: np.ndarray | None = None,
    look_backs: Sequence[int] = LOOK_BACKS,
    drop: int = DROP,
) -> dict[str, Callable[[int], Forecast]]:
    """The controls by name, each a function that fits it for a horizon and returns the forecast.

    ``persistence``; ``seasonal_naive`` (where there is a period); ``lag_ridge`` and ``nridge``, one
    ridge for all channels without and with the last value subtracted; ``lag_ridge_calendar`` (where
    there is a calendar), a ridge per channel on its lags and on the two harmonics of the origin's
    calendar, whose effect differs by channel.

    values: (T, C). period: season in steps. calendar: (T, K), sine and cosine in turn, see
    ``tsrep.datasets.calendar``. The rest as in :func:`fit_lag_ridge`; of a short series, at most a
    quarter of the train rows is dropped, and where no look-back fits, it is an eighth of them.
    """
    rows = split.train.stop - split.train.start
    drop = min(drop, rows // 4)

    def options(horizon: int) -> dict[str, Any]:
        left = rows - horizon
        fitting = [size for size in look_backs if left - max(drop, size - 1) >= size]
        return {"look_backs": fitting or [max(1, left // 8)], "drop": drop}

    nothing = np.zeros((len(values), 0))

    def ridge(horizon: int, normalise: bool) -> Forecast:
        fitted = fit_lag_ridge(values, split, horizon, normalise=normalise, **options(horizon))
        return fitted.forecast(values, nothing)

    def ridge_by_channel(horizon: int, calendar: np.ndarray) -> Forecast:
        harmonics, forecasts = second_harmonics(calendar), []
        for own in np.split(values, values.shape[1], axis=1):
            fitted = fit_lag_ridge(own, split, horizon, calendar=harmonics, **options(horizon))
            forecasts.append(fitted.forecast(own, harmonics))
        return lambda starts: np.concatenate([one(starts) for one in forecasts], axis=2)

    found: dict[str, Callable[[int], Forecast]] = {"persistence": lambda h: persistence(values, h)}
    if period is not None:
        found["seasonal_naive"] = lambda h: seasonal_naive(values, h, period)
    found["lag_ridge"] = lambda h: ridge(h, normalise=False)
    found["nridge"] = lambda h: ridge(h, normalise=True)
    if calendar is not None and calendar.shape[1]:
        found["lag_ridge_calendar"] = lambda h: ridge_by_channel(h, calendar)
    return found

"""Forecasters of other packages on the tasks of GIFT-Eval, where they are installed."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd

from tsrep.evaluation.quantiles import LEVELS

Forecast = Callable[[np.ndarray, int, int, str], np.ndarray]
"""History (T,), steps H, season and frequency -> quantiles (H, 9)."""
SHORT = ("ett1/d/short", "m4_hourly/h/short", "m4_weekly/w/short")
"""Tasks of short series, the only ones for models that take minutes to fit to a long one."""


def peers(task: str) -> Iterator[tuple[str, Forecast]]:
    """The installed peers of a task, by name."""
    if find_spec("fracast"):
        yield "fracast", fracast
    if find_spec("flaircast"):
        yield "flaircast", flaircast
    if find_spec("statsforecast") and task in SHORT:
        for name in ("AutoETS", "AutoTheta", "AutoCES"):
            yield name.lower(), statistical(name)


def of_windows(forecast: Forecast) -> Callable:
    """A peer as a system of the suite: channel by channel, window by window."""

    def system(case, windows, times: pd.DatetimeIndex | None) -> list[np.ndarray]:
        return [
            np.stack(
                [
                    forecast(history, case.horizon, case.season, case.frequency)
                    for history in window.history.T
                ],
                axis=1,
            )
            for window in windows
        ]

    return system


def fracast(history: np.ndarray, steps: int, season: int, frequency: str) -> np.ndarray:
    return np.asarray(_fracast().forecast(history, horizon=steps), np.float64)


@cache
def _fracast():
    from fracast import FracastModel

    model = FracastModel.from_pretrained(weights="fp32")
    if tuple(model.quantiles) != LEVELS:
        raise ValueError(f"fracast has the quantiles {model.quantiles}, expected {LEVELS}")
    return model


def flaircast(history: np.ndarray, steps: int, season: int, frequency: str) -> np.ndarray:
    from flaircast import forecast

    names = {"15min": "15T", "h": "H"}
    samples = forecast(history, steps, names.get(frequency, frequency), seed=0)
    return np.quantile(samples, LEVELS, axis=0).T


def statistical(name: str) -> Forecast:
    """A model of statsforecast, whose intervals of 20, 40, 60 and 80 % are the quantiles."""

    def forecast(history: np.ndarray, steps: int, season: int, frequency: str) -> np.ndarray:
        from statsforecast import models

        model = getattr(models, name)(season_length=season)
        found = model.forecast(np.asarray(history, np.float64), steps, level=[20, 40, 60, 80])
        lower = [found[f"lo-{level}"] for level in (80, 60, 40, 20)]
        upper = [found[f"hi-{level}"] for level in (20, 40, 60, 80)]
        return np.stack([*lower, found["mean"], *upper], axis=1)

    return forecast

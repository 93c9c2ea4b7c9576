"""Nine tasks of GIFT-Eval, rerun as published from ETTm1 and M4, beside 23 published models.

The hourly and daily series of ``ett1`` are means of ETTm1. MASE and mean weighted quantile loss are
over all windows and channels; their means over tasks are geometric, relative to seasonal naive.
Aksu et al. 2024, "GIFT-Eval", sec. 3; windows and seasons as in its published code.
"""

import csv
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import geometric_mean
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm
from suites.files import data_file
from suites.gift_peers import of_windows, peers
from suites.table import Row

from tsrep.datasets.calendar import calendar_features, second_harmonics
from tsrep.datasets.series import Scaler, Split
from tsrep.evaluation.quantiles import LEVELS, scaled_errors, weighted_quantile_loss
from tsrep.forecasting.probe import Inputs
from tsrep.forecasting.product import fit_product

PARAMETERS = 200_000
"""Largest number of weights of a map."""
NAIVE2 = {"m4_hourly/h/short": (18.383, 2.395), "m4_weekly/w/short": (9.161, 2.777)}
"""sMAPE and MASE of the benchmark of M4, the last value after seasonal adjustment (Makridakis et
al. 2020, "The M4 Competition: 100,000 time series and 61 forecasting methods", appendix A)."""
_WINDOWS = 20
_SHARE = 0.1


@dataclass(frozen=True)
class Case:
    """A task: which series, how many steps, the season of its naive forecast and of its scale."""

    name: str
    horizon: int
    season: int
    frequency: str


CASES = (
    Case("ett1/15t/short", 48, 96, "15min"),
    Case("ett1/15t/medium", 480, 96, "15min"),
    Case("ett1/15t/long", 720, 96, "15min"),
    Case("ett1/h/short", 48, 24, "h"),
    Case("ett1/h/medium", 480, 24, "h"),
    Case("ett1/h/long", 720, 24, "h"),
    Case("ett1/d/short", 30, 1, "D"),
    Case("m4_hourly/h/short", 48, 24, "h"),
    Case("m4_weekly/w/short", 13, 1, "W"),
)


@dataclass(frozen=True, eq=False)
class Window:
    """A forecast to make: history (T, C), truth (H, C)."""

    history: np.ndarray
    truth: np.ndarray


class Scores(NamedTuple):
    """smape: percent."""

    mase: float
    weighted_quantile_loss: float
    smape: float


System = Callable[[Case, list[Window], pd.DatetimeIndex | None], list[np.ndarray]]
"""From the windows of one series, the earliest first, to their quantiles (H, C, 9)."""


def rows(name: str) -> Iterator[Row]:
    """Scores of the product, the control, installed peers and published models on a task."""
    case = next(case for case in CASES if case.name == name)
    series = list(_series(case))
    count = sum(len(windows) * windows[0].truth.shape[1] for windows, _ in series)
    others = ((peer, of_windows(forecast)) for peer, forecast in peers(name))
    for system, forecast in (("seasonal_naive", seasonal_naive), ("product", product), *others):
        started = time.process_time()
        try:
            found = score(case, series, forecast)
        except Exception as error:
            if forecast in (seasonal_naive, product):
                raise
            message = f"{name}: left out {system}, {type(error).__name__}: {error}"
            print(message.splitlines()[0], file=sys.stderr)  # a peer fails by itself
            continue
        yield Row(name, system, "mase", found.mase)
        yield Row(name, system, "weighted_quantile_loss", found.weighted_quantile_loss)
        if name in NAIVE2:
            yield Row(name, system, "owa", overall_weighted_average(case, found))
        yield Row(name, system, "cpu_ms", 1e3 * (time.process_time() - started) / count, "ms")
    with data_file("series/gift_eval_published.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["task"] == name:
                model = f"{row['model']}-published"
                yield Row(name, model, "mase", float(row["MASE"]))
                loss = float(row["weighted_quantile_loss"])
                yield Row(name, model, "weighted_quantile_loss", loss)


def means(values: Mapping[tuple[str, str, str], float]) -> Iterator[Row]:
    """Geometric means over all tasks of scores over those of seasonal naive, by system.

    values: by task, system and metric. Nothing before all tasks are measured.
    """
    tasks = [case.name for case in CASES]
    for system in dict.fromkeys(system for _, system, _ in values):
        for metric in ("mase", "weighted_quantile_loss"):
            if all((task, system, metric) in values for task in tasks):
                ratios = [
                    values[task, system, metric] / values[task, "seasonal_naive", metric]
                    for task in tasks
                ]
                yield Row("mean", system, f"{metric}_over_naive", geometric_mean(ratios))


def score(case: Case, series: list, forecast: System) -> Scores:
    """MASE, mean weighted quantile loss and sMAPE of a system over all windows and channels."""
    errors, shares, truths, quantiles = [], [], [], []
    for windows, times in series:
        for window, found in zip(windows, forecast(case, windows, times), strict=True):
            middle = found[..., LEVELS.index(0.5)]
            for c in range(window.truth.shape[1]):
                own = window.truth[:, c], middle[:, c], window.history[:, c]
                errors.append(scaled_errors(*own, case.season))
            size = np.abs(window.truth) + np.abs(middle)
            missed = 200 * np.abs(window.truth - middle)
            shares.append((missed / np.where(size > 0, size, 1)).ravel())
            truths.append(window.truth.ravel())
            quantiles.append(found.reshape(-1, len(LEVELS)))
    loss = weighted_quantile_loss(np.concatenate(truths), np.concatenate(quantiles))
    mase, smape = (float(np.mean(np.concatenate(parts))) for parts in (errors, shares))
    return Scores(mase, loss, smape)


def overall_weighted_average(case: Case, found: Scores) -> float:
    """OWA: the mean of sMAPE and MASE over those of :data:`NAIVE2` (Makridakis et al. 2020)."""
    smape, mase = NAIVE2[case.name]
    return (found.smape / smape + found.mase / mase) / 2


def product(case: Case, windows: list[Window], times: pd.DatetimeIndex | None) -> list[np.ndarray]:
    """The product's choice on the rows before the first window, for all windows."""
    first, whole = windows[0].history, windows[-1].history
    rows = len(first)
    scaler = Scaler.fit(first, keep_constant=True)
    values = scaler.transform(whole)
    seen = np.isfinite(values)
    calendar = np.zeros((len(values), 0), dtype=np.float32)
    if times is not None:
        calendar = second_harmonics(calendar_features(times[: len(values)])).astype(np.float32)
    start = int(0.75 * rows)
    split = Split(slice(0, start), slice(start, rows), slice(rows, len(values)))
    values = pd.DataFrame(values).ffill().fillna(0.0).to_numpy(np.float32)
    nothing = np.zeros((1, len(values), 0), dtype=np.float32)
    inputs = Inputs(values, nothing, calendar, split, drop=0, seen=seen)
    season = None if case.season == 1 else case.season
    longest = max(8, PARAMETERS // case.horizon)
    fitted = fit_product(inputs, (case.horizon,), season, longest, scaler.zero)
    found = fitted[case.horizon]
    spread = found.spread.quantiles(LEVELS, case.horizon)  # (H, C, 9)
    origins = np.array([len(w.history) - 1 for w in windows])
    ahead = found.product.scale.around(found.product.forecast(inputs)(origins), spread)
    return [a * scaler.std[:, None] + scaler.mean[:, None] for a in ahead]


def seasonal_naive(
    case: Case, windows: list[Window], times: pd.DatetimeIndex | None
) -> list[np.ndarray]:
    """The last season again, with normal quantiles whose variance grows by one a season."""
    steps = np.arange(case.horizon)
    found = []
    for window in windows:
        history, season = window.history, case.season
        last = history[len(history) - season + steps % season]
        moves = history[season:] - history[:-season]
        deviation = np.sqrt(np.square(moves).sum(axis=0) / len(moves))
        growth = np.sqrt(steps // season + 1)[:, None, None]
        found.append(last[..., None] + growth * deviation[:, None] * norm.ppf(LEVELS))
    return found


def _series(case: Case) -> Iterator[tuple[list[Window], pd.DatetimeIndex | None]]:
    """The series of a task, each with its windows."""
    if case.name.startswith("ett1"):
        table = _ett(case.frequency)
        values = table.to_numpy(np.float64)
        count = min(max(1, math.ceil(_SHARE * len(values) / case.horizon)), _WINDOWS)
        ends = len(values) - case.horizon * np.arange(count, 0, -1)
        windows = [Window(values[:end], values[end : end + case.horizon]) for end in ends]
        yield windows, table.index
        return
    name = {"h": "Hourly", "W": "Weekly"}[case.frequency]
    train, test = (_m4(f"{name}-{part}.csv") for part in ("train", "test"))
    for history, truth in zip(train, test, strict=True):
        yield [Window(history[:, None], truth[:, None])], None


def _ett(frequency: str) -> pd.DataFrame:
    table = pd.read_csv(data_file("series/ETTm1.csv"), index_col=0, parse_dates=True)
    means = table.resample(frequency)
    return means.mean()[means.count().iloc[:, 0] == means.count().iloc[0, 0]]  # whole steps alone


def _m4(name: str) -> list[np.ndarray]:
    with data_file(f"series/m4/{name}").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    return [np.array([float(cell) for cell in line[1:] if cell]) for line in lines]

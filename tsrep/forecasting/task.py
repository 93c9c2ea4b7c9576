"""Forecasting tasks: a series, its horizons and its exogenous inputs, and windows made of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from tspcrep.common.errors import UserError
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import Scaler, Series, Split, filled
from tsrep.forecasting.network import (
    Forecaster,
    ForecasterConfig,
    as_forecast,
    median,
    over_windows,
    predictions,
)
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.windows import ForecastBatch, ForecastWindows, evaluation_windows


@dataclass(frozen=True, eq=False)
class Task:
    """Arrays to train and test a forecasting network on.

    values: (T, C), standardised, NaN where missing. horizons: steps, rising; one network serves
    them all. known: (T, F), inputs known ahead, such as planned values. past: (T, E), inputs known
    up to the present.
    """

    values: np.ndarray
    split: Split
    horizons: tuple[int, ...]
    known: np.ndarray | None = None
    past: np.ndarray | None = None

    @classmethod
    def of(cls, series: Series, horizons: Sequence[int] | None = None) -> "Task":
        """The task of a loaded series without exogenous inputs."""
        found = tuple(sorted(horizons or series.horizons))
        return cls(series.values[0, : series.split.test.stop], series.split, found)

    @property
    def longest(self) -> int:
        return max(self.horizons)

    def build(self, config: ForecasterConfig) -> Forecaster:
        """The untrained network."""
        known, past = (0 if t is None else t.shape[1] for t in (self.known, self.past))
        config = config.fitting(self.split.train.stop - self.split.train.start)
        return config.build(self.values.shape[1], self.longest, known=known, past=past)

    def learned_from(self, config: ForecasterConfig) -> ForecastWindows:
        """The training windows."""
        return ForecastWindows(
            self.values,
            self.split.train,
            config.steps,
            self.longest,
            shortest=min(self.horizons),
            apart=config.channels == "independent",
            known=self.known,
            past=self.past,
        )

    def judged_on(
        self, rows: slice, config: ForecasterConfig, most: int | None = None
    ) -> ForecastWindows:
        """Windows of all origins of ``rows``, or of at most ``most``, evenly spaced."""
        count = rows.stop - rows.start - min(self.horizons)
        stride = 1 if most is None else max(1, math.ceil(count / most))
        return evaluation_windows(
            self.values,
            rows,
            config.steps,
            self.horizons,
            known=self.known,
            past=self.past,
            stride=stride,
        )


@dataclass(frozen=True)
class Names:
    """Names of columns: to forecast, known ahead, and known up to the present."""

    columns: tuple[str, ...]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ForecastData:
    """A series to forecast and its exogenous inputs.

    known: (T, F), known ahead, or None. past: (T, E), known up to the present, or None. Both are
    standardised; scaler is that of [known, past].
    """

    series: Series
    names: Names
    known: np.ndarray | None
    past: np.ndarray | None
    scaler: Scaler

    def task(self, horizons: Sequence[int] | None = None) -> Task:
        return replace(Task.of(self.series, horizons), known=self.known, past=self.past)

    @property
    def calendar(self) -> np.ndarray:
        """Calendar features and their second harmonics, (T, K)."""
        calendar = self.series.calendar[: self.series.split.test.stop]
        return second_harmonics(calendar).astype(np.float32)


def inputs_of(series: Series, known: Sequence[str] = (), past: Sequence[str] = ()) -> ForecastData:
    """Use the columns ``known`` and ``past`` of a loaded series as inputs; forecast the others.

    Raises UserError for a column that does not exist, and if no column is left to forecast.
    """
    known, past = tuple(known), tuple(past)
    for name in (*known, *past):
        if name not in series.columns:
            raise UserError(
                f"{series.name} has no column {name!r} to read beside the forecast, expected one "
                f"of {', '.join(series.columns)}"
            )
    own = tuple(c for c in series.columns if c not in (*known, *past))
    if not own or set(known) & set(past):
        raise UserError(
            f"{series.name}: columns {', '.join((*known, *past))} are read beside the forecast, "
            "each once, expected at least one other to forecast"
        )
    table = series.values[0, : series.split.test.stop]

    def part(names: Sequence[str]) -> tuple[np.ndarray, Scaler]:
        at = [series.columns.index(name) for name in names]
        return table[:, at], series.scaler.part(at)

    left = replace(
        series,
        values=part(own)[0][None],
        columns=own,
        scaler=part(own)[1],
    )
    ahead, behind = (filled(part(names)[0]) if names else None for names in (known, past))
    beside = part((*known, *past))[1]
    return ForecastData(left, Names(own, known, past), ahead, behind, beside)


def windows_ending_at(
    network: Forecaster, task: Task, rows: slice, horizon: int
) -> ForecastWindows:
    """Windows that end at each of ``rows``; before the start of the series, its first value is
    repeated."""
    look_back = network.config.steps
    before = look_back - 1

    def led(table: np.ndarray) -> np.ndarray:
        return np.concatenate([table[:1].repeat(before, 0), table])

    return ForecastWindows(
        led(task.values),
        slice(before + rows.start, before + rows.stop + 1),
        look_back,
        network.horizon if task.known is not None else horizon,
        before=True,
        known=None if task.known is None else led(task.known),
        past=None if task.past is None else led(task.past),
    )


def network_forecasts(
    model: Forecaster,
    task: Task,
    rows: slice | None = None,
    of: Callable[[ForecasterConfig, np.ndarray], np.ndarray] = median,
) -> dict[int, Forecast]:
    """Forecasts of every horizon from all origins of ``rows`` (default: test).

    of : :func:`tsrep.forecasting.network.median` for point forecasts, or ``width``.
    """
    data = task.judged_on(rows or task.split.test, model.config)
    ahead = of(model.config, predictions(model, data))
    return {horizon: as_forecast(ahead, data, horizon) for horizon in task.horizons}


def window_vectors(network: Forecaster, task: Task, rows: slice) -> np.ndarray:
    """The network's vector of the window that ends at each of ``rows``: (C or 1, T, D).

    Other rows are zero.
    """
    data = windows_ending_at(network, task, rows, 1)
    groups = data.channels if network.independent else 1

    def read(batch: ForecastBatch) -> tuple[Tensor]:
        return (network.summary(network.seen(batch.past, batch.known)[0]),)

    (vectors,) = over_windows(network, data, read, max(1, 256 // groups))  # (n * groups, D)
    found = np.zeros((groups, len(task.values), vectors.shape[1]), dtype=np.float32)
    found[:, rows] = vectors.reshape(-1, groups, vectors.shape[1]).swapaxes(0, 1)
    return found

"""The forecaster that a user runs: a linear path, a network on top, and quantiles around both.

model = fit_forecaster(load("ETTh1"), settings, seed=0, folder="runs/etth1/seed-0")
model.predict(history, times)                     # (T, C) in the data's units -> (H, C)
model.predict_quantiles(history, (0.1, 0.9), times)  # (H, C, 2)
save_forecaster("forecaster.safetensors", model)
model = load_forecaster("forecaster.safetensors")
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from common import weights
from common.config import from_dict
from common.errors import UserError
from tsrep.baselines import Forecast, filled, origins, second_harmonics
from tsrep.evaluation import linear_look_back
from tsrep.forecaster import (
    Forecaster,
    ForecasterConfig,
    ForecastWindows,
    as_forecast,
    predictions,
)
from tsrep.readout import LinearPath, linear_paths
from tsrep.series import Scaler, Series
from tsrep.strategies import Settings, Task, forecasts, learn
from tsrep.timestamps import calendar_features

LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2))
"""Quantiles that are kept; others are interpolated between them."""
CREDIT = 0.5
"""Share of the network's weight on validation that is kept: it was chosen on the same rows."""
WEIGHED = 1000
"""Validation origins that the shares and the quantiles are taken from, at most."""
HELPS = 0.99
"""Planned inputs enter where they bring the validation error below this share."""
FILE = "forecaster.safetensors"
INPUTS = ("channels", "horizon", "known", "past", "rest")


@dataclass(frozen=True)
class Names:
    """Columns: what is forecast, what is known ahead, what is known up to the present."""

    columns: tuple[str, ...]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()


class SeriesForecaster(nn.Module):
    """Fitted to one series; see :func:`fit_forecaster`.

        y = effect' u + linear(values - effect' u) + share * network(...)

    horizons: steps, rising. Each has its linear path, its share of the network and its residual
    quantiles. Any horizon up to the longest can be asked for; it is read from the shortest that
    reaches so far.
    """

    def __init__(
        self,
        scaler: Scaler,
        names: Names,
        horizons: Sequence[int],
        calendar: int,
        linear: dict[int, LinearPath],
        network: Forecaster | None,
    ):
        super().__init__()
        self.scaler, self.names, self.horizons = scaler, names, tuple(horizons)
        self.calendar = calendar
        self.network = network
        self.look_backs = {h: path.look_back for h, path in linear.items()}
        for horizon, path in linear.items():
            self.register_buffer(f"weight_{horizon}", torch.from_numpy(path.weight))
            self.register_buffer(f"bias_{horizon}", torch.from_numpy(path.bias))
        channels = len(names.columns)
        for horizon in self.horizons:
            quantiles = torch.zeros(horizon, channels, len(LEVELS))
            self.register_buffer(f"quantiles_{horizon}", quantiles)
        self.register_buffer("shares", torch.zeros(len(self.horizons)))
        self.register_buffer("effect", torch.zeros(len(names.known), channels))

    @property
    def look_back(self) -> int:
        """Steps of history that a forecast reads."""
        network = 1 if self.network is None else self.network.config.look_back
        return max([network, *self.look_backs.values()])

    def linear(self, horizon: int) -> LinearPath | None:
        """The linear path of a horizon, None where the network forecasts alone."""
        if horizon not in self.look_backs:
            return None
        weight, bias = (getattr(self, f"{n}_{horizon}").numpy() for n in ("weight", "bias"))
        return LinearPath(self.look_backs[horizon], weight, bias)

    def forecasts(self, task: Task, calendar: np.ndarray, rows: slice) -> dict[int, Forecast]:
        """Forecasts of every horizon from all origins of ``rows``, standardised units.

        task: with this forecaster's known and past inputs. calendar: (T, K) of each row.
        """
        network = {} if self.network is None else forecasts(self.network, task, rows)
        return {
            h: self._sum(h, self._linear_forecast(h, task, calendar), network.get(h))
            for h in self.horizons
        }

    def predict(
        self,
        history: np.ndarray,
        times: pd.DatetimeIndex | None = None,
        horizon: int | None = None,
        known: np.ndarray | None = None,
        past: np.ndarray | None = None,
    ) -> np.ndarray:
        """The next values (H, C), in the data's units.

        Parameters
        ----------
        history : (T, C), T at least ``look_back``; NaN where missing; columns ``names.columns``.
        times : (T,), of the history; needed where the series was dated.
        horizon : steps, by default the longest.
        known : (T + H, F), columns ``names.known``: of the history and of the steps to forecast.
        past : (T, E), columns ``names.past``.

        Raises
        ------
        UserError
            A horizon beyond the longest; another number of columns; too short a history; an input
            that the forecaster was fitted with is missing.
        """
        horizon = self._horizon(horizon)
        ahead = self._standardised(history, times, horizon, known, past)
        return self.scaler.inverse(ahead[:horizon])

    def predict_quantiles(
        self,
        history: np.ndarray,
        quantiles: Sequence[float],
        times: pd.DatetimeIndex | None = None,
        horizon: int | None = None,
        known: np.ndarray | None = None,
        past: np.ndarray | None = None,
    ) -> np.ndarray:
        """Quantiles (H, C, Q) of the next values, in the data's units, Q in the order asked for.

        The quantiles of the validation errors of each step and channel around the forecast: of all
        constants, they have the least pinball loss there. Beyond .05 and .95 they stay at those.
        """
        if any(not 0 < q < 1 for q in quantiles):
            raise UserError(f"quantiles: found {tuple(quantiles)}, expected numbers in (0, 1)")
        horizon = self._horizon(horizon)
        ahead = self._standardised(history, times, horizon, known, past)[:horizon]
        offsets = getattr(self, f"quantiles_{self._served_by(horizon)}").numpy()[:horizon]
        place = np.interp(quantiles, LEVELS, np.arange(len(LEVELS)))
        low, part = np.floor(place).astype(int), place % 1
        high = np.minimum(low + 1, len(LEVELS) - 1)
        spread = offsets[..., low] * (1 - part) + offsets[..., high] * part  # (H, C, Q)
        found = (ahead[..., None] + spread).transpose(2, 0, 1)  # (Q, H, C)
        return self.scaler.inverse(found).transpose(1, 2, 0)

    def _standardised(self, history, times, horizon, known, past) -> np.ndarray:
        values = self._checked(history, known, past, horizon)
        served = self._served_by(horizon)
        calendar = self._calendar(times, len(values))
        split = None  # nothing is learned here
        task = Task(values, split, self.horizons, known, past)
        start = np.array([len(values) - 1])
        network = None
        if self.network is not None and self.shares[self.horizons.index(served)] > 0:
            network = lambda _: self._network_ahead(task)[:, :served]  # noqa: E731
        return self._sum(served, self._linear_forecast(served, task, calendar), network)(start)[0]

    def _network_ahead(self, task: Task) -> np.ndarray:
        rows = slice(0, len(task.values) + 1)
        count, longest = len(task.values), max(self.horizons)
        values = np.concatenate([task.values, np.full_like(task.values[:1], np.nan)])
        known = task.known
        if known is not None:  # steps behind the asked ones are not read, but must be there
            short = max(0, count + longest + 1 - len(known))
            known = np.concatenate([known, np.repeat(known[-1:], short, axis=0)])
        past = None if task.past is None else np.concatenate([task.past, task.past[-1:]])
        look_back = self.network.config.look_back
        data = ForecastWindows(
            values, rows, look_back, longest, before=True, known=known, past=past
        )
        data.starts = data.starts[-1:]
        return predictions(self.network, data)

    def _linear_forecast(self, horizon: int, task: Task, calendar: np.ndarray) -> Forecast | None:
        path = self.linear(horizon)
        if path is None:
            return None
        values = filled(task.values).astype(np.float32)
        if not len(self.effect) or not self.effect.any():
            return path.forecast(values, calendar)
        explained = task.known.astype(np.float32) @ self.effect.numpy()  # (T [+ H], C)
        rest = path.forecast(values - explained[: len(values)], calendar)
        steps = np.arange(1, horizon + 1)

        def forecast(starts: np.ndarray) -> np.ndarray:
            ahead = np.minimum(starts[:, None] + steps, len(explained) - 1)
            return rest(starts) + explained[ahead]

        return forecast

    def _sum(self, horizon: int, linear: Forecast | None, network: Forecast | None) -> Forecast:
        if linear is None:
            return network
        share = float(self.shares[self.horizons.index(horizon)])
        if network is None or share == 0:
            return linear
        return lambda starts: linear(starts) + share * network(starts)

    def _served_by(self, horizon: int) -> int:
        return next(h for h in self.horizons if h >= horizon)

    def _horizon(self, horizon: int | None) -> int:
        longest = max(self.horizons)
        if horizon is None:
            return longest
        if not 1 <= horizon <= longest:
            raise UserError(f"horizon: found {horizon}, expected 1 to {longest}, as fitted")
        return horizon

    def _checked(self, history, known, past, horizon: int) -> np.ndarray:
        history = np.asarray(history, dtype=np.float64)
        if history.ndim != 2 or history.shape[1] != len(self.names.columns):
            raise UserError(
                f"history has shape {history.shape}, expected (steps, "
                f"{len(self.names.columns)}): the columns {', '.join(self.names.columns)}"
            )
        if len(history) < self.look_back:
            raise UserError(
                f"history has {len(history)} steps, expected at least the {self.look_back} that a "
                "forecast reads"
            )
        for what, table, names, rows in (
            ("known", known, self.names.known, len(history) + horizon),
            ("past", past, self.names.past, len(history)),
        ):
            shape = (0, 0) if table is None else np.shape(table)
            if names and (len(shape) != 2 or shape[0] < rows or shape[1] != len(names)):
                raise UserError(
                    f"{what} inputs have shape {shape}, expected ({rows}, {len(names)}): the "
                    f"columns {', '.join(names)}, which the forecaster was fitted with"
                )
        return self.scaler.transform(history)

    def _calendar(self, times, rows: int) -> np.ndarray:
        if not self.calendar:
            return np.zeros((rows, 0), dtype=np.float32)
        if times is None or len(times) != rows:
            raise UserError(
                "times: found none, or not one a step of the history; expected them, since the "
                "series that the forecaster was fitted to was dated"
            )
        found = second_harmonics(calendar_features(pd.DatetimeIndex(times)))
        if found.shape[1] != self.calendar:
            raise UserError(
                f"times give {found.shape[1]} calendar features, expected {self.calendar}: their "
                "frequency cannot be inferred, or is not that of the series fitted"
            )
        return found.astype(np.float32)


def fit_forecaster(
    series: Series,
    settings: Settings,
    seed: int,
    folder: str | Path,
    horizons: Sequence[int] | None = None,
    resume: bool = False,
    *,
    linear: bool = True,
    known: np.ndarray | None = None,
    past: np.ndarray | None = None,
    names: Names | None = None,
) -> tuple[SeriesForecaster, Task, np.ndarray]:
    """Fit linear paths in closed form, then the network to what they leave.

    The linear path is :func:`tsrep.readout.linear_paths`, the best simple model; ``settings`` say
    how the network learns on top. Its share of each horizon's forecast is the least-squares weight
    on validation rows, between 0 and 1, times ``CREDIT``: where the network does not help, the
    linear path is left alone.

    Parameters
    ----------
    linear : off, and the network forecasts alone.
    known, past : (T, F), (T, E) exogenous inputs, standardised; ``names`` their columns.

    Returns the forecaster, the task (with ``known`` and ``past``) and the calendar (T, K) to
    evaluate it with.
    """
    stop = series.split.test.stop
    calendar = series.calendar[:stop]
    if calendar.shape[1]:
        calendar = second_harmonics(calendar).astype(np.float32)
    names = names or Names(series.columns)
    task = replace(Task.of(series, horizons), known=known, past=past)
    paths: dict[int, LinearPath] = {}
    effect = None
    if linear:
        paths, effect = _linear(task, calendar, linear_look_back(series))
    model = SeriesForecaster(
        series.scaler, names, task.horizons, calendar.shape[1] if linear else 0, paths, None
    )
    if effect is not None:
        model.effect.copy_(torch.from_numpy(effect))
    base = model._linear_forecast(task.longest, task, calendar)
    model.network, _ = learn(replace(task, base=base), settings, seed, folder, resume)
    _weigh(model, task, calendar)
    return model.requires_grad_(False).eval(), task, calendar


def _linear(
    task: Task, calendar: np.ndarray, look_back: int
) -> tuple[dict[int, LinearPath], np.ndarray | None]:
    """Linear paths, and the effect (F, C) of known inputs at the time, None where it helps not."""
    values = filled(task.values).astype(np.float32)
    paths = linear_paths(values, calendar, task.split, task.horizons, look_back)
    if task.known is None:
        return paths, None
    effect = _effect(values, task.known, task.split.train)
    explained = task.known[: len(values)].astype(np.float32) @ effect
    rest = linear_paths(values - explained, calendar, task.split, task.horizons, look_back)
    ahead = explained if len(task.known) == len(values) else task.known.astype(np.float32) @ effect

    def error(by_horizon: dict[int, LinearPath], taken: np.ndarray) -> float:
        found = []
        for horizon, path in by_horizon.items():
            starts = origins(task.split.valid, horizon)
            rows = starts[:: max(1, len(starts) // 400)]
            steps = rows[:, None] + np.arange(1, horizon + 1)
            forecast = path.forecast(values - taken[: len(values)], calendar)(rows) + taken[steps]
            found.append(float(np.square(forecast - values[steps]).mean()))
        return float(np.mean(found))

    if error(rest, ahead) < HELPS * error(paths, np.zeros_like(ahead)):
        return rest, effect
    return paths, None


def _effect(values: np.ndarray, known: np.ndarray, train: slice) -> np.ndarray:
    """Least squares of the change of the values on the change of the known inputs, (F, C).

    Changes, because levels that drift together would look like an effect.
    """
    y = np.diff(values[train].astype(np.float64), axis=0)
    u = np.diff(known[train].astype(np.float64), axis=0)
    gram = u.T @ u + 1e-3 * len(u) * np.eye(u.shape[1])
    return np.linalg.solve(gram, u.T @ y).astype(np.float32)


def _weigh(model: SeriesForecaster, task: Task, calendar: np.ndarray) -> None:
    """Set the shares of the network and the quantiles of the errors, both on validation rows."""
    valid = task.split.valid
    data = task.judged_on(valid, model.network.config, WEIGHED)
    network = predictions(model.network, data, what="weigh")
    truth = task.values.astype(np.float64)
    for k, horizon in enumerate(model.horizons):
        starts = data.starts[data.starts < valid.stop - horizon]
        ahead = as_forecast(network, data, horizon)(starts).astype(np.float64)  # (n, H, C)
        future = truth[starts[:, None] + np.arange(1, horizon + 1)]
        linear = model._linear_forecast(horizon, task, calendar)
        model.shares[k] = 1.0
        if linear is not None:
            base = linear(starts)
            model.shares[k] = CREDIT * _share(ahead, future - base)
            ahead = base + float(model.shares[k]) * ahead
        getattr(model, f"quantiles_{horizon}").copy_(_error_quantiles(future - ahead))


def _share(ahead: np.ndarray, rest: np.ndarray) -> float:
    """The weight in [0, 1] with which ``ahead`` explains the most of ``rest``."""
    seen = ~np.isnan(rest)
    own = float(np.square(ahead[seen]).sum())
    return min(1.0, max(0.0, float((ahead[seen] * rest[seen]).sum()) / own)) if own else 0.0


def _error_quantiles(errors: np.ndarray) -> torch.Tensor:
    """(n, H, C) -> (H, C, len(LEVELS)), each step's taken together with its neighbours'."""
    horizon = errors.shape[1]
    reach = max(0, min(horizon // 20, 12))
    found = []
    for step in range(horizon):
        near = errors[:, max(0, step - reach) : step + reach + 1 : max(1, reach // 2)]
        found.append(np.nanquantile(near, LEVELS, axis=(0, 1)))  # (levels, C)
    return torch.from_numpy(np.nan_to_num(np.stack(found).transpose(0, 2, 1))).float()


def save_forecaster(path: str | Path, model: SeriesForecaster) -> None:
    """Write a forecaster as safetensors, its configuration in the header."""
    network = model.network
    config = {
        "mean": model.scaler.mean.tolist(),
        "std": model.scaler.std.tolist(),
        "names": asdict(model.names),
        "horizons": list(model.horizons),
        "calendar": model.calendar,
        "look_backs": {str(h): look_back for h, look_back in model.look_backs.items()},
        "network": asdict(network.config),
        "inputs": {name: getattr(network, name) for name in INPUTS},
    }
    weights.save_encoder(path, model, "tsrep.SeriesForecaster", json.loads(json.dumps(config)))


def load_forecaster(path: str | Path) -> SeriesForecaster:
    """The forecaster in a file, or in a run folder. Nothing is unpickled.

    Raises
    ------
    UserError
        No such file, a truncated one, or one that holds something else.
    """
    path = Path(path) / FILE if Path(path).is_dir() else Path(path)
    kind, config, tensors = weights.read_encoder(path)
    if kind != "tsrep.SeriesForecaster":
        raise UserError(f"{path}: holds a {kind!r}, expected a forecaster")
    try:
        scaler = Scaler(np.array(config["mean"]), np.array(config["std"]))
        names = Names(**{name: tuple(columns) for name, columns in config["names"].items()})
        network = Forecaster(from_dict(ForecasterConfig, config["network"]), **config["inputs"])
        linear = {
            int(h): LinearPath(
                look_back, *(np.zeros(tensors[f"{n}_{h}"].shape, "f4") for n in ("weight", "bias"))
            )
            for h, look_back in config["look_backs"].items()
        }
        model = SeriesForecaster(
            scaler, names, config["horizons"], config["calendar"], linear, network
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a header of another version ({error})") from error
    weights.load_into(model, tensors, path)
    return model.requires_grad_(False).eval()

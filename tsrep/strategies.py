"""End to end or in two steps: how a forecaster and a contrast are learned together.

Zhang, Yan, Meng and Sylvain, "Contrastive Learning for Time Series: End-to-End or Two-Step?",
sec. 2. All strategies see the same windows and the same split, and end with a
:class:`tsrep.forecaster.Forecaster`:

- ``e2e``: forecast loss + lambda * contrast, everything learned together.
- ``finetune``: the contrast alone, then the forecast alone, from that encoder on.
- ``frozen-mlp``: the contrast alone, then a perceptron on the frozen encoder.
- ``frozen-ridge``: the contrast alone, then a ridge on the frozen encoder's vectors.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from common.errors import UserError
from common.momentum import MomentumEncoder
from common.probes import PENALTIES, Moments, RidgePath
from common.training import Phase, Training, fit
from tsrep.baselines import Forecast
from tsrep.forecaster import (
    ForecastBatch,
    Forecaster,
    ForecasterConfig,
    ForecastWindows,
    as_forecast,
    evaluation_windows,
    horizon_mse,
    horizon_pinball,
    median,
    predictions,
)
from tsrep.objectives import Contrast, ContrastConfig, build
from tsrep.series import Series, Split

Strategy = Literal["e2e", "finetune", "frozen-mlp", "frozen-ridge"]
RIDGE_ROWS = 16384
"""Train and validation windows that the ridge on frozen vectors is fitted to, at most."""
JUDGED = 400
"""Validation origins by which a snapshot is chosen, at most; they are evenly spaced."""


@dataclass(frozen=True)
class LearningConfig:
    """How the network learns."""

    strategy: Strategy = "e2e"
    """End to end, or contrast first: then fine-tuned, frozen under an MLP, frozen under a ridge."""
    contrast_weight: float = 0.1
    """Weight of the contrast beside the forecast's loss [lambda]."""
    contrast_decay: float = 1.0
    """Factor on that weight from the first step to the last, exponential in between; 1 keeps it."""
    learning_rate: float = 1e-3
    """At the first step."""
    weight_decay: float = 0.01
    """AdamW's."""
    averaging: float = 0.98
    """Momentum of the running mean of the weights, which is what forecasts; 0 for no mean."""
    snapshots: int = 4
    """Evenly spaced moments of training among which validation chooses; 1 takes the end."""

    def __post_init__(self) -> None:
        if self.contrast_weight < 0 or not 0 < self.contrast_decay <= 1 or self.snapshots < 1:
            raise UserError(
                f"contrast_weight {self.contrast_weight}, contrast_decay {self.contrast_decay}, "
                f"snapshots {self.snapshots}: expected a weight of at least 0, a decay above 0 and "
                "at most 1, at least 1 snapshot"
            )


@dataclass(frozen=True)
class Settings:
    """All that a training needs to know."""

    model: ForecasterConfig = ForecasterConfig()
    contrast: ContrastConfig = ContrastConfig()
    learning: LearningConfig = LearningConfig()
    training: Training = Training(epochs=100, max_steps=300, batch_size=64)

    def __post_init__(self) -> None:
        strategy = self.learning.strategy
        if strategy != "e2e" and self.contrast.objective == "none":
            raise UserError(
                f"strategy {strategy!r} with objective 'none' has nothing to pretrain with: take "
                "strategy e2e, or another objective"
            )
        if strategy == "frozen-ridge" and self.model.quantiles:
            raise UserError("quantiles: a ridge forecasts the mean; take another strategy")


@dataclass(frozen=True, eq=False)
class Task:
    """A series to forecast.

    values: (T, C), standardised, NaN where missing. horizons: steps, rising; one network serves
    them all. known: (T, F), known ahead, such as planned values. past: (T, E), known up to the
    present.
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
        return config.build(self.values.shape[1], self.longest, known=known, past=past)

    def learned_from(self, config: ForecasterConfig) -> ForecastWindows:
        """Train windows."""
        return ForecastWindows(
            self.values,
            self.split.train,
            config.look_back,
            self.longest,
            shortest=min(self.horizons),
            apart=config.channels == "independent",
            known=self.known,
            past=self.past,
        )

    def judged_on(self, rows: slice, config: ForecasterConfig, most: int | None = None):
        """Windows of all origins of validation or test rows, or of ``most`` evenly spaced ones."""
        count = rows.stop - rows.start - min(self.horizons)
        stride = 1 if most is None else max(1, math.ceil(count / most))
        options = {"known": self.known, "past": self.past, "stride": stride}
        return evaluation_windows(self.values, rows, config.look_back, self.horizons, **options)


class Learner(nn.Module):
    """The method for :func:`common.training.fit`: forecast loss + lambda * contrast.

    Parameters
    ----------
    forecasts : learn to forecast; otherwise the contrast alone.
    frozen : the encoder stays as it is, and in evaluation mode.
    steps : of the training, at which the last snapshot is taken.

    The running mean of the weights, its snapshots and the count of steps are part of the state, so
    a resumed run chooses among the same weights. Validation rows are not seen here: see
    :func:`choose`.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        contrast: Contrast | None,
        learning: LearningConfig,
        horizons: Sequence[int],
        steps: int,
        *,
        forecasts: bool = True,
        frozen: bool = False,
    ):
        super().__init__()
        self.forecaster, self.contrast, self.learning = forecaster, contrast, learning
        self.horizons, self.steps = tuple(horizons), steps
        self.forecasts, self.frozen = forecasts, frozen
        self.averaged = MomentumEncoder(forecaster, learning.averaging)
        size = sum(p.numel() for p in forecaster.parameters())
        self.register_buffer("snapshots", torch.zeros(learning.snapshots, size))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def phases(self) -> list[Phase]:
        whole = self.forecaster if self.forecasts else self.forecaster.encoder
        left = {id(p) for p in self.forecaster.encoder.parameters()} if self.frozen else set()
        learned = [p for p in whole.parameters() if id(p) not in left]
        own: list[Phase] = []
        if self.contrast is not None:
            learned += self.contrast.learned()
            own = self.contrast.own_phases()
        c = self.learning
        return [*own, Phase("learn", learned, c.learning_rate, weight_decay=c.weight_decay)]

    def train(self, mode: bool = True) -> "Learner":
        super().train(mode)
        if self.frozen:
            self.forecaster.encoder.eval()
        return self

    def loss(self, batch: ForecastBatch, phase: str) -> dict[str, Tensor]:
        model = self.forecaster
        seen, level, scale = model.seen(batch.past, batch.known)
        if phase != "learn":
            return self.contrast.own_loss(self._some(seen))
        losses: dict[str, Tensor] = {}
        total = seen.new_zeros(())
        if self.forecasts:
            outputs = model.head(model.drop(model.vectors(seen)))
            ahead = model.in_units(outputs, level, scale, batch.known)
            losses["forecast"] = total = self.forecast_loss(ahead, batch.future)
        if self.contrast is not None:
            losses["contrast"] = self.contrast(model.encoder, self._some(seen))
            weight = self.contrast_weight() if self.forecasts else 1.0
            total = total + weight * losses["contrast"]
        return {"loss": total, **losses}

    def forecast_loss(self, ahead: Tensor, future: Tensor) -> Tensor:
        quantiles = self.forecaster.config.quantiles
        if quantiles:
            return horizon_pinball(ahead, future, self.horizons, quantiles)
        return horizon_mse(ahead, future, self.horizons)

    def contrast_weight(self) -> float:
        c = self.learning
        return c.contrast_weight * c.contrast_decay ** (int(self.done) / max(1, self.steps - 1))

    @torch.no_grad()
    def after_step(self) -> None:
        if self.contrast is not None:
            self.contrast.after_step(self.forecaster.encoder)
        self.averaged.update(self.forecaster)
        self.done += 1
        for k in range(self.learning.snapshots):
            if int(self.done) == math.ceil(self.steps * (k + 1) / self.learning.snapshots):
                weights = parameters_to_vector(self.averaged.encoder.parameters())
                self.snapshots[k] = weights

    def _some(self, seen: Tensor) -> Tensor:
        """As many windows as are contrasted, drawn anew in each step."""
        most = self.contrast.config.windows
        return seen if len(seen) <= most else seen[torch.randperm(len(seen))[:most]]


def choose(learner: Learner, task: Task) -> tuple[Forecaster, float]:
    """The snapshot of least validation error, and that error: the mean over horizons."""
    model = copy.deepcopy(learner.averaged.encoder).requires_grad_(False).eval()
    data = task.judged_on(task.split.valid, model.config, JUDGED)
    best = math.inf, learner.snapshots[-1]
    for weights in learner.snapshots:
        vector_to_parameters(weights, model.parameters())
        error = judge(learner, model, data)
        best = min(best, (error, weights), key=lambda pair: pair[0])
    vector_to_parameters(best[1].clone(), model.parameters())
    return model, best[0]


@torch.inference_mode()
def judge(learner: Learner, model: Forecaster, data: ForecastWindows) -> float:
    """The loss of the forecast on all of ``data``."""
    ahead = torch.from_numpy(predictions(model, data, what="validate"))
    future = data.__getitems__(range(len(data))).future
    return float(learner.forecast_loss(ahead, future))


def learn(
    task: Task, settings: Settings, seed: int, folder: str | Path | None, resume: bool = False
) -> tuple[Forecaster, float]:
    """Train by ``settings.learning.strategy``: the forecaster and its validation error.

    ``folder`` receives ``metrics.jsonl`` and ``checkpoint.pt``, of the contrast alone in
    ``folder/contrast``; nothing is written where it is None. With ``resume`` the run in it goes on.
    """
    strategy = settings.learning.strategy
    config = settings.model
    if strategy in ("frozen-mlp", "frozen-ridge"):
        config = replace(config, head="mlp" if strategy == "frozen-mlp" else "linear")
    torch.manual_seed(seed)
    model = task.build(config)
    if strategy == "e2e":
        return _fit(task, settings, model, seed, folder, resume, contrasts=True)
    alone = None if folder is None else Path(folder) / "contrast"
    encoder = pretrain(task, settings, seed, alone, resume)
    model.encoder.load_state_dict(encoder.state_dict())
    if strategy == "frozen-ridge":
        return set_ridge_head(model, task)
    return _fit(task, settings, model, seed, folder, resume, frozen=strategy == "frozen-mlp")


def pretrain(
    task: Task, settings: Settings, seed: int, folder: Path | None, resume: bool = False
) -> nn.Module:
    """The encoder, trained by the contrast alone; the running mean of it."""
    torch.manual_seed(seed)
    model = task.build(settings.model)
    learner, data = _prepare(task, settings, model, contrasts=True, forecasts=False)
    fit(learner, data, settings.training, seed, folder, resume)
    return learner.averaged.encoder.encoder


def set_ridge_head(model: Forecaster, task: Task) -> tuple[Forecaster, float]:
    """A ridge from the frozen vectors to the normalised future, as the linear head of ``model``.

    Each stretch of steps between two horizons has the penalty of its least validation error.
    """
    train, valid = (_ridge_rows(model, task, part) for part in ("train", "valid"))
    path = RidgePath(Moments.of(*train))
    outputs = train[1].shape[1]
    errors = np.empty((len(PENALTIES), outputs))
    for k, alpha in enumerate(PENALTIES):
        errors[k] = np.square(path.model(alpha).predict(valid[0]) - valid[1]).mean(axis=0)
    bounds = [0, *(h * outputs // task.longest for h in task.horizons)]
    with torch.no_grad():
        for first, stop in pairwise(bounds):
            best = path.model(PENALTIES[int(errors[:, first:stop].mean(axis=1).argmin())])
            model.head.weight[first:stop] = torch.from_numpy(best.weight.T[first:stop])
            model.head.bias[first:stop] = torch.from_numpy(best.bias[first:stop])
        if model.ahead is not None:
            model.ahead.weight.zero_()
    model = model.requires_grad_(False).eval()
    data = task.judged_on(task.split.valid, model.config, JUDGED)
    ahead = torch.from_numpy(predictions(model, data, what="validate"))
    future = data.__getitems__(range(len(data))).future
    return model, float(horizon_mse(ahead, future, task.horizons))


def forecasts(model: Forecaster, task: Task, rows: slice | None = None) -> dict[int, Forecast]:
    """Forecasts of every horizon from all origins of ``rows`` (default: test)."""
    data = task.judged_on(rows or task.split.test, model.config)
    ahead = median(model.config, predictions(model, data))
    return {horizon: as_forecast(ahead, data, horizon) for horizon in task.horizons}


def planned_steps(training: Training, samples: int) -> int:
    """Steps that ``fit`` takes on one process."""
    steps = training.epochs * math.ceil(samples / training.batch_size)
    return steps if training.max_steps is None else min(steps, training.max_steps)


def _prepare(
    task: Task, settings: Settings, model: Forecaster, contrasts: bool, **options
) -> tuple[Learner, ForecastWindows]:
    data = task.learned_from(model.config)
    steps = planned_steps(settings.training, len(data))
    contrast = build(settings.contrast, model.encoder) if contrasts else None
    return Learner(model, contrast, settings.learning, task.horizons, steps, **options), data


def _fit(
    task: Task,
    settings: Settings,
    model: Forecaster,
    seed: int,
    folder: str | Path | None,
    resume: bool,
    contrasts: bool = False,
    frozen: bool = False,
) -> tuple[Forecaster, float]:
    learner, data = _prepare(task, settings, model, contrasts, frozen=frozen)
    fit(learner, data, settings.training, seed, folder, resume)
    return choose(learner, task)


@torch.inference_mode()
def _ridge_rows(model: Forecaster, task: Task, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, V) and normalised labels (n, outputs) of windows that have all their labels."""
    rows = getattr(task.split, part)
    count = (rows.stop - rows.start - task.longest) * task.values.shape[1]
    data = ForecastWindows(
        task.values,
        rows,
        model.config.look_back,
        task.longest,
        shortest=task.longest,
        before=part != "train",
        known=task.known,
        past=task.past,
        stride=max(1, math.ceil(count / RIDGE_ROWS)),
    )
    model.eval()
    vectors, labels = [], []
    for start in range(0, len(data), 64):
        batch = data.__getitems__(range(start, min(len(data), start + 64)))
        seen, level, scale = model.seen(batch.past, batch.known)
        future = (batch.future - level) / scale  # (B, H, C)
        if model.independent:
            future = future.transpose(1, 2).flatten(0, 1)  # (B * C, H)
        vectors.append(model.vectors(seen).numpy())
        labels.append(future.flatten(1).numpy())
    x, y = np.concatenate(vectors), np.concatenate(labels)
    whole = ~np.isnan(y).any(axis=1)
    return x[whole], y[whole]

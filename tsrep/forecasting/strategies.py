"""End to end or in two steps: how a forecaster and a contrast are learned together.

Zhang, Yan, Meng and Sylvain, "Contrastive Learning for Time Series: End-to-End or Two-Step?",
sec. 2. All strategies see the same windows and the same split, and end with a
:class:`tsrep.forecasting.network.Forecaster`:

- ``e2e``: forecast loss + lambda * contrast, everything learned together.
- ``finetune``: the contrast alone, then the forecast alone, from that encoder on.
- ``frozen-mlp``: the contrast alone, then a perceptron on the frozen encoder.
- ``frozen-ridge``: the contrast alone, then a ridge on the frozen encoder's vectors.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tspcrep.common.errors import UserError
from tspcrep.common.probes import PENALTIES, Moments, RidgePath
from tspcrep.common.training import Training, fit
from tsrep.contrast.objectives import ContrastConfig, build
from tsrep.forecasting.network import (
    Forecaster,
    ForecasterConfig,
    as_forecast,
    horizon_mse,
    median,
    predictions,
)
from tsrep.forecasting.protocol import Forecast
from tsrep.forecasting.task import Task
from tsrep.forecasting.training import JUDGED, Learner, LearningConfig, choose
from tsrep.forecasting.windows import ForecastWindows

RIDGE_ROWS = 16384
"""Train and validation windows that the ridge on frozen vectors is fitted to, at most."""


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


def forecasts(
    model: Forecaster,
    task: Task,
    rows: slice | None = None,
    of: Callable[[ForecasterConfig, np.ndarray], np.ndarray] = median,
) -> dict[int, Forecast]:
    """Forecasts of every horizon from all origins of ``rows`` (default: test).

    of : what is wanted of the network's outputs, the point forecast or the ``width``.
    """
    data = task.judged_on(rows or task.split.test, model.config)
    ahead = of(model.config, predictions(model, data))
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

"""Train a forecaster, end to end or in two steps: the strategies, their loss, and the weights kept.

Zhang, Yan, Meng and Sylvain, "Contrastive Learning for Time Series: End-to-End or Two-Step?",
sec. 2. All strategies see the same windows and the same split, and end with a
:class:`tsrep.forecasting.network.Forecaster`:

- ``e2e``: forecast loss + lambda * contrast, minimised together.
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

from tspcrep.common.distributed import gather, launched_processes, ranks, total
from tspcrep.common.errors import UserError
from tspcrep.common.methods import Method, Phase
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.probes import PENALTIES, Moments, RidgePath
from tspcrep.common.training import Training, fit
from tsrep.contrast.objectives import Contrast, ContrastConfig, build
from tsrep.forecasting.network import (
    Forecaster,
    ForecasterConfig,
    forecast_loss,
    over_windows,
    validation_error,
)
from tsrep.forecasting.task import Task
from tsrep.forecasting.windows import ForecastBatch, ForecastWindows

Strategy = Literal["e2e", "finetune", "frozen-mlp", "frozen-ridge"]
_JUDGED = 400
"""Largest number of validation origins, evenly spaced, that a snapshot is chosen by."""
_RIDGE_ROWS = 16384
"""Largest number of windows, of train and of validation rows, for the ridge on frozen vectors."""


@dataclass(frozen=True)
class LearningConfig:
    """Strategy, loss weights and optimiser of a training."""

    strategy: Strategy = "e2e"
    """End to end, or contrast first: then fine-tuned, frozen under an MLP, frozen under a ridge."""
    contrast_weight: float = 0.1
    """Weight of the contrastive loss added to the forecast loss [lambda]."""
    contrast_decay: float = 1.0
    """Factor on that weight from the first step to the last, exponential in between; 1 keeps it."""
    learning_rate: float = 1e-3
    """Learning rate of AdamW at the first step."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    averaging: float = 0.98
    """Momentum of the running mean of the weights, which makes the forecasts; 0 turns it off."""
    snapshots: int = 4
    """Snapshots of the weights, evenly spaced, that validation chooses from; 1 takes the last."""

    def __post_init__(self) -> None:
        if self.contrast_weight < 0 or not 0 < self.contrast_decay <= 1 or self.snapshots < 1:
            raise UserError(
                f"contrast_weight {self.contrast_weight}, contrast_decay {self.contrast_decay}, "
                f"snapshots {self.snapshots}: expected a weight of at least 0, a decay above 0 and "
                "at most 1, at least 1 snapshot"
            )


@dataclass(frozen=True)
class Settings:
    """Everything that defines one training, apart from the data and the seed."""

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
        windows, processes = self.contrast.windows, launched_processes()
        if self.contrast.objective != "none" and windows < processes:
            raise UserError(
                f"windows: found {windows}, expected at least 1 for each of {processes} processes"
            )
        if strategy == "frozen-ridge" and self.model.quantiles:
            raise UserError("quantiles: a ridge forecasts the mean; take another strategy")


def learn(
    task: Task, settings: Settings, seed: int, folder: str | Path | None, resume: bool = False
) -> tuple[Forecaster, float]:
    """Train by ``settings.learning.strategy``; returns the forecaster and its validation error.

    ``folder`` receives ``metrics.jsonl`` and ``checkpoint.pt``, and ``folder/contrast`` those of a
    first step by the contrast alone; None writes nothing. ``resume`` continues from the checkpoint.
    Under torchrun all processes call this; each then has the same weights.
    """
    strategy, config = settings.learning.strategy, settings.model
    if strategy in ("frozen-mlp", "frozen-ridge"):
        config = replace(config, head="mlp" if strategy == "frozen-mlp" else "linear")
    torch.manual_seed(seed)
    model = task.build(config)
    if strategy != "e2e":
        alone = None if folder is None else Path(folder) / "contrast"
        encoder = pretrain(task, settings, seed, alone, resume)
        model.encoder.load_state_dict(encoder.state_dict())
    if strategy == "frozen-ridge":
        return set_ridge_head(model, task)
    options = {"contrasts": strategy == "e2e", "frozen": strategy == "frozen-mlp"}
    learner, data = _prepare(task, settings, model, **options)
    fit(learner, data, settings.training, seed, folder, resume)
    return _choose(learner, task)


def pretrain(
    task: Task, settings: Settings, seed: int, folder: Path | None, resume: bool = False
) -> nn.Module:
    """The running mean of the encoder, trained by the contrast alone."""
    torch.manual_seed(seed)
    model = task.build(settings.model)
    learner, data = _prepare(task, settings, model, contrasts=True, forecasting=False)
    fit(learner, data, settings.training, seed, folder, resume)
    return learner.averaged.encoder.encoder


def set_ridge_head(model: Forecaster, task: Task) -> tuple[Forecaster, float]:
    """Set the linear head of ``model`` to a ridge from its vectors to the normalised future.

    Steps between two horizons share the penalty of their least validation error. Returns the model,
    frozen, and its validation error.
    """
    train, valid = (_ridge_rows(model, task, part) for part in ("train", "valid"))
    path = RidgePath(Moments.of(*train))
    outputs = train[1].shape[1]
    errors = np.empty((len(PENALTIES), outputs))
    for k, alpha in enumerate(PENALTIES):
        errors[k] = np.square(path.model(alpha).predict(valid[0]) - valid[1]).mean(axis=0)
    bounds = [0, *(h * outputs // task.longest for h in task.horizons)]
    head = model.head
    if not isinstance(head, nn.Linear):
        raise ValueError(f"head is a {type(head).__name__}, expected a linear one")
    with torch.no_grad():
        for first, stop in pairwise(bounds):
            best = path.model(PENALTIES[int(errors[:, first:stop].mean(axis=1).argmin())])
            head.weight[first:stop] = torch.from_numpy(best.weight.T[first:stop])
            head.bias[first:stop] = torch.from_numpy(best.bias[first:stop])
        if model.ahead is not None:
            model.ahead.weight.zero_()
    model = model.requires_grad_(False).eval()
    return model, _validation_error(model, task)


class Learner(Method):
    """Forecast loss + lambda * contrast, as a method for :func:`tspcrep.common.training.fit`.

    Parameters
    ----------
    contrast : None for the forecast loss alone.
    steps : of the training; the last snapshot is taken at its end.
    forecasting : False for the contrast alone.
    frozen : the encoder is not trained and stays in evaluation mode.

    The running mean of the weights, its snapshots and the count of steps are part of the state, so
    a resumed run chooses among the same weights. Validation rows are not seen here.
    """

    snapshots: Tensor
    done: Tensor

    def __init__(
        self,
        forecaster: Forecaster,
        contrast: Contrast | None,
        learning: LearningConfig,
        horizons: Sequence[int],
        steps: int,
        *,
        forecasting: bool = True,
        frozen: bool = False,
    ):
        super().__init__()
        self.forecaster, self.contrast, self.learning = forecaster, contrast, learning
        self.horizons, self.steps = tuple(horizons), steps
        self.forecasting, self.frozen = forecasting, frozen
        self.averaged = MomentumEncoder(forecaster, learning.averaging)
        size = sum(p.numel() for p in forecaster.parameters())
        self.register_buffer("snapshots", torch.zeros(learning.snapshots, size))
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def phases(self) -> list[Phase]:
        whole = self.forecaster if self.forecasting else self.forecaster.encoder
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
        if self.contrast is not None and phase != "learn":
            return self.contrast.own_loss(_some(seen, self.contrast.config.windows))
        losses: dict[str, Tensor] = {}
        loss = seen.new_zeros(())
        if self.forecasting:
            outputs = model.head(model.drop(model.vectors(seen)))
            ahead = model.in_units(outputs, level, scale, batch.known)
            quantiles = model.config.quantiles
            every = gather(ahead), gather(batch.future)
            loss = forecast_loss(*every, self.horizons, quantiles)
            losses["forecast"] = loss
        if self.contrast is not None:
            some = _some(seen, self.contrast.config.windows)
            contrast = self.contrast(model.encoder, some)
            weight = self.contrast_weight() if self.forecasting else 1.0
            loss = loss + weight * contrast
            losses["contrast"] = total(contrast.detach()) / ranks()[1]
        return {"loss": loss, **losses}

    def contrast_weight(self) -> float:
        """lambda of the current step."""
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


def _some(seen: Tensor, most: int) -> Tensor:
    """At most as many windows as are contrasted, drawn anew in each step.

    They are drawn from the windows of all processes, and shared out between them.
    """
    whole = gather(seen)
    if len(whole) <= most:
        return seen
    rank, world = ranks()
    chosen = torch.randperm(len(whole))[:most]
    return whole[chosen.tensor_split(world)[rank]]


def _prepare(
    task: Task, settings: Settings, model: Forecaster, contrasts: bool, **options
) -> tuple[Learner, ForecastWindows]:
    data = task.learned_from(model.config)
    steps = settings.training.total_steps(len(data))
    contrast = build(settings.contrast, model.encoder) if contrasts else None
    return Learner(model, contrast, settings.learning, task.horizons, steps, **options), data


def _choose(learner: Learner, task: Task) -> tuple[Forecaster, float]:
    """The snapshot of least validation error, and that error."""
    model = copy.deepcopy(learner.averaged.encoder).requires_grad_(False).eval()
    best = math.inf, learner.snapshots[-1]
    for weights in learner.snapshots:
        vector_to_parameters(weights, model.parameters())
        best = min(best, (_validation_error(model, task), weights), key=lambda pair: pair[0])
    vector_to_parameters(best[1].clone(), model.parameters())
    return model, best[0]


def _validation_error(model: Forecaster, task: Task) -> float:
    data = task.judged_on(task.split.valid, model.config, _JUDGED)
    return validation_error(model, data, task.horizons, model.config.quantiles)


def _ridge_rows(model: Forecaster, task: Task, part: str) -> list[np.ndarray]:
    """Vectors (n, V) and normalised labels (n, outputs) of windows that have all their labels."""
    rows = getattr(task.split, part)
    count = (rows.stop - rows.start - task.longest) * task.values.shape[1]
    data = ForecastWindows(
        task.values,
        rows,
        model.config.steps,
        task.longest,
        shortest=task.longest,
        before=part != "train",
        known=task.known,
        past=task.past,
        stride=max(1, math.ceil(count / _RIDGE_ROWS)),
    )

    def read(batch: ForecastBatch) -> tuple[Tensor, Tensor]:
        seen, level, scale = model.seen(batch.past, batch.known)
        future = (batch.future - level) / scale  # (B, H, C)
        if model.independent:
            future = future.transpose(1, 2).flatten(0, 1)  # (B * C, H)
        return model.vectors(seen), future.flatten(1)

    x, y = over_windows(model, data, read, 64)
    whole = ~np.isnan(y).any(axis=1)
    return [x[whole], y[whole]]

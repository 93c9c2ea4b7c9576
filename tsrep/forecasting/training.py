"""What one training of a forecaster minimises, and the weights that it ends with."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tspcrep.common.errors import UserError
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.training import Phase
from tsrep.contrast.objectives import Contrast
from tsrep.forecasting.network import Forecaster, horizon_mse, horizon_pinball, predictions
from tsrep.forecasting.task import Task
from tsrep.forecasting.windows import ForecastBatch, ForecastWindows

Strategy = Literal["e2e", "finetune", "frozen-mlp", "frozen-ridge"]
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


class Learner(nn.Module):
    """The method for :func:`tspcrep.common.training.fit`: forecast loss + lambda * contrast.

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

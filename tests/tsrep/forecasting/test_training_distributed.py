"""Loss and gradient of a learner on several processes are those of one with all windows."""

import os
from dataclasses import replace
from typing import get_args

import pytest
import torch

from tests.common.processes import SIZES, spawn
from tspcrep.common.distributed import total
from tspcrep.common.errors import UserError
from tspcrep.common.seeding import seed_all
from tsrep.contrast.objectives import ContrastConfig, Objective, build
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.training import Learner, LearningConfig, Settings
from tsrep.forecasting.windows import ForecastBatch

CONFIG = ForecasterConfig(look_back=16, patch=4, dim=8, heads=2, dropout=0.4, channels="joint")
CASES = [(name, ()) for name in get_args(Objective)] + [("none", (0.1, 0.5, 0.9))]


def outcome(objective, quantiles, start, stop, world):
    """Loss and gradients of two steps, the second of which has keys in its queue."""
    generator = torch.Generator().manual_seed(3)
    past, future = (torch.randn(13, t, 2, generator=generator) for t in (16, 5))
    future[4:9, 2:, 1] = torch.nan  # labels are not shared out evenly
    torch.manual_seed(0)
    model = replace(CONFIG, quantiles=quantiles).build(2, 5).double()
    contrast = build(ContrastConfig(objective, windows=6, queue=12, width=4), model.encoder)
    learner = Learner(model, contrast, LearningConfig(), (2, 5), steps=2).double().train()
    batch = ForecastBatch(*(x[start:stop].double() for x in (past, future)), None)
    found = {}
    for step in range(2):
        learner.zero_grad()
        seed_all(5, step)
        losses = learner.loss(batch, "learn")
        losses["loss"].backward()
        learner.after_step()
        for name, value in losses.items():
            found[f"{step} {name}"] = total(value.detach()) / world
    for name, parameter in learner.named_parameters():
        if parameter.grad is not None:
            found[name] = total(parameter.grad) / world
    return found


def _check_learners(rank, world):
    start = sum(SIZES[world][:rank])
    expected = torch.load(os.environ["TSPCREP_ALONE"])
    for case in CASES:
        found = outcome(*case, start, start + SIZES[world][rank], world)
        torch.testing.assert_close(
            found, expected[case], rtol=1e-6, atol=1e-9, msg=lambda text, c=case: f"{c}: {text}"
        )


@pytest.mark.distributed
@pytest.mark.parametrize("world", [2, 4])
def test_every_objective_is_equal_on_any_number_of_processes(world, tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_ALONE", str(tmp_path / "alone.pt"))
    torch.save({case: outcome(*case, 0, 13, 1) for case in CASES}, tmp_path / "alone.pt")
    spawn(_check_learners, world, tmp_path)


def test_each_process_contrasts_a_window(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "7")
    Settings(contrast=ContrastConfig("none", windows=6))
    with pytest.raises(UserError, match="windows: found 6, expected at least 1 for each of 7"):
        Settings(contrast=ContrastConfig("hcl", windows=6))


def test_steps_are_those_of_all_processes(monkeypatch):
    training = replace(Settings().training, epochs=3, max_steps=None, batch_size=4, accumulate=2)
    for processes, expected in ((1, 3 * 5), (2, 3 * 3), (4, 3 * 2)):  # 9, 5 and 3 batches of 35
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        assert training.total_steps(35) == expected
        assert replace(training, max_steps=4).total_steps(35) == 4
        full = 35 // (4 * processes)
        assert replace(training, drop_last=True, accumulate=1).total_steps(35) == 3 * full

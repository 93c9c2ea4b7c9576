"""End to end and in two steps: resumed bit for bit, chosen on validation, blind to test rows."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tests.tsrep.made_series import made_series, with_other_test_rows
from tspcrep.common.errors import UserError
from tspcrep.common.probes import PENALTIES
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.forecasting import training
from tsrep.forecasting.network import ForecasterConfig, predictions, validation_error
from tsrep.forecasting.task import Task, network_forecasts
from tsrep.forecasting.training import (
    Learner,
    LearningConfig,
    Settings,
    learn,
    pretrain,
    set_ridge_head,
)

SETTINGS = Settings(
    ForecasterConfig(look_back=24, dim=8, heads=2, patch=8),
    ContrastConfig("moco2", width=6, queue=32, windows=8),
    LearningConfig(snapshots=3),
    Training(epochs=2, max_steps=10, batch_size=16, checkpoint_every=1, device="cpu"),
)
ALL = ("e2e", "finetune", "frozen-mlp", "frozen-ridge")


def with_strategy(strategy, objective="moco2"):
    return replace(
        SETTINGS,
        learning=replace(SETTINGS.learning, strategy=strategy),
        contrast=replace(SETTINGS.contrast, objective=objective),
    )


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("strategy", "objective", "dies"),
    [
        ("e2e", "moco2+hcl", 7),
        ("e2e", "autotcl", 4),
        ("finetune", "moco2", 13),
        ("frozen-mlp", "hcl", 6),
    ],
)
def test_a_killed_training_resumes_to_the_same_choice(
    monkeypatch, tmp_path, strategy, objective, dies
):
    """Running mean, snapshots, queue and key encoder all go on where they were."""
    task, settings = Task.of(made_series()), with_strategy(strategy, objective)
    whole, error = learn(task, settings, 0, tmp_path / "whole")
    step, count = Learner.after_step, 0

    def dying(self):
        nonlocal count
        count += 1
        if count == dies:
            raise Killed
        step(self)

    monkeypatch.setattr(Learner, "after_step", dying)
    with pytest.raises(Killed):
        learn(task, settings, 0, tmp_path / "killed")
    monkeypatch.setattr(Learner, "after_step", step)
    torch.rand(7)  # other numbers are drawn before the resumption
    resumed, again = learn(task, settings, 0, tmp_path / "killed", resume=True)
    assert again == error and same(resumed, whole)
    lines = [
        (tmp_path / run / "metrics.jsonl").read_text().count("\n") for run in ("whole", "killed")
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("channels", ["independent", "joint"])
def test_test_rows_are_never_seen(tmp_path, strategy, channels):
    series = made_series(2)
    settings = with_strategy(strategy)
    settings = replace(settings, model=replace(settings.model, channels=channels))
    found = []
    for k, one in enumerate((series, with_other_test_rows(series))):
        found.append(learn(Task.of(one), settings, 0, tmp_path / str(k)))
    assert found[0][1] == found[1][1] and same(found[0][0], found[1][0])
    task = Task.of(series)
    ahead = network_forecasts(found[0][0], task)
    assert ahead.keys() == {4, 12}
    assert ahead[4](np.array([series.split.test.start + 3])).shape == (1, 4, 2)


def test_validation_and_test_never_touch_queue_or_key_encoder():
    task = Task.of(made_series())
    learner, data = training._prepare(task, SETTINGS, task.build(SETTINGS.model), contrasts=True)
    learner.loss(data.__getitems__(range(8)), "learn")
    learner.after_step()
    assert len(learner.contrast.queue) == 8
    before = copy.deepcopy(learner.state_dict())
    learner.eval()
    for rows in (task.split.valid, task.split.test):
        windows = task.judged_on(rows, SETTINGS.model)
        validation_error(learner.forecaster, windows, (4, 12))
        with torch.no_grad():
            learner.loss(windows.__getitems__(range(8)), "learn")
    learner.contrast.after_step(learner.forecaster.encoder)
    training._choose(learner, task)
    after = learner.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_frozen_encoder_stays_and_is_the_pretrained_one(tmp_path):
    task, settings = Task.of(made_series()), with_strategy("frozen-mlp")
    torch.manual_seed(0)
    start = task.build(settings.model).encoder
    pretrained = pretrain(task, settings, 0, tmp_path / "alone")
    assert not same(pretrained, start)
    frozen, _ = learn(task, settings, 0, tmp_path / "frozen")
    tuned, _ = learn(task, with_strategy("finetune"), 0, tmp_path / "tuned")
    assert same(frozen.encoder, pretrained)
    assert not same(tuned.encoder, pretrained)


def test_the_ridge_head_is_a_ridge_on_frozen_vectors():
    """One penalty for each stretch between horizons, by validation error."""
    series = made_series()
    task = Task.of(series)
    torch.manual_seed(0)
    model, error = set_ridge_head(task.build(SETTINGS.model), task)
    values = series.values[0]

    def rows(part, first):
        starts = np.arange(max(part.start, first), part.stop - 12)
        past = torch.from_numpy(np.stack([values[t - 23 : t + 1] for t in starts]))
        x = model.vectors(model.seen(past)[0]).numpy().astype(np.float64)
        ahead = np.stack([values[t + 1 : t + 13, 0] - values[t, 0] for t in starts])
        return x, ahead.astype(np.float64)

    train, valid = rows(series.split.train, 23), rows(series.split.valid, 0)
    for stretch in (slice(0, 4), slice(4, 12)):
        fits = [Ridge(alpha).fit(train[0], train[1][:, stretch]) for alpha in PENALTIES]
        errors = [np.mean((fit.predict(valid[0]) - valid[1][:, stretch]) ** 2) for fit in fits]
        best = fits[int(np.argmin(errors))]
        found = valid[0] @ model.head.weight.double().numpy().T + model.head.bias.double().numpy()
        np.testing.assert_allclose(found[:, stretch], best.predict(valid[0]), atol=2e-4)
    assert 0 < error < 2
    with pytest.raises(ValueError, match="head is a Sequential, expected a linear one"):
        set_ridge_head(task.build(replace(SETTINGS.model, head="mlp")), task)


def test_the_snapshot_of_least_validation_error_is_taken():
    task = Task.of(made_series())
    learner, _ = training._prepare(task, SETTINGS, task.build(SETTINGS.model), contrasts=False)
    good = set_ridge_head(copy.deepcopy(learner.forecaster), task)[0]
    weights = torch.nn.utils.parameters_to_vector(good.parameters())
    learner.snapshots[:] = torch.randn(learner.snapshots.shape, generator=torch.manual_seed(1))
    learner.snapshots[1] = weights
    chosen, error = training._choose(learner, task)
    assert same(chosen, good)
    data = task.judged_on(task.split.valid, SETTINGS.model, training._JUDGED)
    assert error == validation_error(good, data, (4, 12))


def test_snapshots_are_the_running_mean_at_even_moments(tmp_path):
    task = Task.of(made_series())
    model = task.build(SETTINGS.model)
    learner, _ = training._prepare(task, SETTINGS, model, contrasts=False)
    assert learner.steps == 10
    mean = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    taken = {}
    for step in range(1, 11):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * step
        learner.after_step()
        now = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
        mean = 0.98 * mean + 0.02 * now
        taken[step] = mean
    expected = torch.stack([taken[4], taken[7], taken[10]])  # a third, two thirds, the end
    torch.testing.assert_close(learner.snapshots, expected)


def test_the_weight_of_the_contrast_decays_exponentially():
    task = Task.of(made_series())
    settings = replace(
        SETTINGS, learning=LearningConfig(contrast_weight=0.5, contrast_decay=0.01, snapshots=1)
    )
    learner, data = training._prepare(task, settings, task.build(settings.model), contrasts=True)
    batch = data.__getitems__(range(16))
    for step, weight in ((0, 0.5), (9, 0.005)):
        learner.done.fill_(step)
        np.testing.assert_allclose(learner.contrast_weight(), weight)
    learner.loss(batch, "learn")
    learner.after_step()
    learner.done.fill_(9)
    losses = learner.loss(batch, "learn")
    expected = losses["forecast"] + 0.005 * losses["contrast"]
    torch.testing.assert_close(losses["loss"], expected)
    assert losses["contrast"] > 0


def test_pinball_training_ends_in_quantiles(tmp_path):
    settings = with_strategy("e2e", "none")
    settings = replace(settings, model=replace(settings.model, quantiles=(0.1, 0.5, 0.9)))
    task = Task.of(made_series())
    model, error = learn(task, settings, 0, tmp_path)
    data = task.judged_on(task.split.test, model.config)
    ahead = predictions(model, data)
    assert ahead.shape[1:] == (12, 1, 3) and (np.diff(ahead) > 0).all() and 0 < error < 1
    np.testing.assert_array_equal(
        network_forecasts(model, task)[4](data.starts[:3]), ahead[:3, :4, :, 1]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: with_strategy("finetune", "none"), "nothing to pretrain with"),
        (
            lambda s: replace(
                with_strategy("frozen-ridge"), model=replace(s.model, quantiles=(0.5,))
            ),
            "a ridge forecasts the mean",
        ),
    ],
)
def test_combinations_that_cannot_be(change, message):
    with pytest.raises(UserError, match=message):
        change(SETTINGS)

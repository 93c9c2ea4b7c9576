"""fit: phases, schedule, a step by hand, random numbers, half precision, several processes."""

import math
from dataclasses import replace
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from tests.common.toys import (
    ROWS,
    Pair,
    Plain,
    Rows,
    Toy,
    assert_same_run,
    outcome,
    settings_of,
    torchrun,
)
from tspcrep.common import training
from tspcrep.common.errors import UserError
from tspcrep.common.methods import Phase
from tspcrep.common.seeding import _mixed
from tspcrep.common.training import Training, fit

# --- how long, in which order -------------------------------------------------------------------


@pytest.mark.parametrize(("max_steps", "steps"), [(1, 1), (5, 5), (7, 7), (20, 20), (99, 20)])
def test_max_steps(tmp_path, max_steps, steps):
    rows = Rows()
    fit(Toy(), rows, settings_of(max_steps=max_steps), seed=0, folder=tmp_path)
    state, lines = outcome(tmp_path)
    assert state["step"] == len(rows.seen) == steps
    ends = [step for step in (5, 10, 15, 20) if step < steps] + [steps]  # a part epoch has a line
    assert [line["step"] for line in lines] == ends
    assert [line["epoch"] for line in lines] == list(range(len(ends)))


def test_a_run_of_moments_shows_no_progress_bar(tmp_path, capfd):
    fit(Toy(), Rows(), settings_of(), seed=0, folder=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_every_row_once_an_epoch_in_an_order_of_seed_and_epoch(tmp_path):
    first, again, other = Rows(), Rows(), Rows()
    for name, rows, seed in (("a", first, 1), ("b", again, 1), ("c", other, 2)):
        fit(Toy(), rows, settings_of(epochs=2), seed=seed, folder=tmp_path / name)
    epochs = [list(chain.from_iterable(first.seen[start : start + 5])) for start in (0, 5)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(ROWS))] * 2
    assert epochs[0] != epochs[1]
    assert first.seen == again.seen != other.seen


@settings(max_examples=15, deadline=None)
@given(every=st.tuples(st.integers(1, 4), st.integers(1, 4)), epochs=st.integers(1, 6))
def test_phases_take_turns_in_the_epochs_that_every_divides(tmp_path_factory, every, epochs):
    method = Toy(every=every)
    folder = tmp_path_factory.mktemp("phases")
    fit(method, Rows(rows=8), settings_of(epochs=epochs), seed=0, folder=folder)
    # rates and every are indexed (encoder, helper); the method lists the helper first.
    order = (("helper", every[1]), ("encoder", every[0]))
    expected = [
        (name, True)  # and the method is in training mode
        for epoch in range(epochs)
        for _ in range(2)
        for name, divisor in order
        if epoch % divisor == 0
    ]
    assert method.calls == expected
    logged = [{key.split("/")[0] for key in line if "/" in key} for line in outcome(folder)[1]]
    assert logged == [
        {name for name, divisor in order if epoch % divisor == 0} for epoch in range(epochs)
    ]


def test_only_the_parameters_of_a_phase_change_and_get_gradients(tmp_path):
    wanted = []  # which parameters asked for a gradient, at each loss
    changes = []  # which weights differ from what they were at the loss before
    last = {}

    class Watched(Toy):
        def loss(self, batch, phase):
            wanted.append((phase, {n for n, p in self.named_parameters() if p.requires_grad}))
            now = {n: p.detach().clone() for n, p in self.named_parameters()}
            changes.append({n for n in last if not torch.equal(last[n], now[n])})
            last.update(now)
            assert all(p.grad is None for p in self.parameters())
            return super().loss(batch, phase)

        def after_step(self):  # the average is not under test here
            pass

    method = Watched(every=(1, 1))
    fit(method, Rows(), settings_of(epochs=1), seed=0, folder=tmp_path)
    parts = {
        name: {f"{prefix}.{p}" for p in ("weight", "bias")}
        for name, prefix in (("helper", "helper"), ("encoder", "encoder.0"))
    }
    assert wanted == [(name, parts[name]) for _ in range(5) for name in ("helper", "encoder")]
    assert changes == [set(), *[parts[n] for _ in range(5) for n in ("helper", "encoder")][:-1]]
    assert not method.training
    assert all(p.requires_grad for p in method.encoder.parameters())  # left ready for more


# --- one step, by hand --------------------------------------------------------------------------


class Line(nn.Module):
    """The loss ``slope * w``: its gradient is known, so AdamW's steps are too."""

    def __init__(self, slope=1.0, lr=0.1, weight_decay=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.slope, self.lr, self.weight_decay = slope, lr, weight_decay
        self.trace = []

    def phases(self):
        return [Phase("line", [self.w], self.lr, weight_decay=self.weight_decay)]

    def loss(self, batch, phase):
        self.trace.append(self.w.detach().clone())
        return {"loss": (torch.tensor([3.0, 4.0]) * self.slope * self.w).sum()}

    def after_step(self):
        self.last_draw = torch.rand(())


def adamw(w, gradients, rates, weight_decay, betas=(0.9, 0.999), eps=1e-8):
    """Loshchilov and Hutter, "Decoupled Weight Decay Regularization", Algorithm 2, in floats."""
    m = v = 0.0
    for step, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        w -= lr * weight_decay * w
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        w -= lr * (m / (1 - betas[0] ** step)) / (math.sqrt(v / (1 - betas[1] ** step)) + eps)
    return w


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("slope", [1.0, 0.01])
def test_steps_are_adamw_under_schedule_and_clipping(tmp_path, schedule, slope):
    clip, steps, lr, decay = 2.0, 8, 0.1, 0.3
    method = Line(slope, lr, decay)
    options = settings_of(max_steps=steps, schedule=schedule, clip=clip)
    fit(method, Rows(), options, seed=0, folder=tmp_path)
    norm = 5.0 * slope  # of (3, 4) * slope
    shrink = min(1.0, clip / norm)
    rates = [
        lr if schedule == "constant" else lr * (1 + math.cos(math.pi * k / steps)) / 2
        for k in range(steps)
    ]
    for start, direction, found in zip((1.0, -2.0), (3.0, 4.0), method.w.tolist(), strict=True):
        gradient = direction * slope * shrink
        expected = adamw(start, [gradient] * steps, rates, decay)
        assert found == pytest.approx(expected, abs=1e-5)
    group = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimizers"]["line"]
    assert group["param_groups"][0]["lr"] == pytest.approx(rates[-1], rel=1e-12)


@pytest.mark.parametrize("slope", [0.1, 10.0])
def test_clipping_bounds_the_norm_of_a_phase(tmp_path, slope):
    """AdamW hides the size of a gradient; its first moment after one step is a tenth of it."""
    fit(Line(slope), Rows(), settings_of(max_steps=1, clip=2.0), seed=0, folder=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimizers"]["line"]
    norm = 10 * state["state"][0]["exp_avg"].norm().item()
    assert norm == pytest.approx(min(5 * slope, 2.0), rel=1e-5)


def test_metrics_are_the_means_of_an_epoch(tmp_path):
    method = Line()
    fit(method, Rows(), settings_of(epochs=2), seed=3, folder=tmp_path)
    losses = [(torch.tensor([3.0, 4.0]) * w).sum().item() for w in method.trace]
    _, lines = outcome(tmp_path)
    assert [line["line/loss"] for line in lines] == pytest.approx(
        [sum(losses[:5]) / 5, sum(losses[5:]) / 5], rel=1e-6
    )
    assert [line["seed"] for line in lines] == [3, 3]


def test_random_numbers_of_a_step_depend_on_seed_and_step_alone(tmp_path):
    draws = {}

    class Drawing(Line):
        def after_step(self):
            draws.setdefault(key, []).append(torch.rand(()).item())

    for key in (0, 1, "again"):
        torch.manual_seed(hash(key) % 100)
        seed = 0 if key == "again" else key
        fit(Drawing(), Rows(), settings_of(epochs=2), seed=seed, folder=tmp_path / str(key))
    expected = [
        torch.rand((), generator=torch.Generator().manual_seed(_mixed((0, step)))).item()
        for step in range(10)
    ]
    assert draws[0] == draws["again"] == expected
    assert len(set(draws[0] + draws[1])) == 20


@given(st.integers(0, 2**63), st.integers(0, 10**9))
def test_step_seed_is_one_that_torch_takes(seed, step):
    first = _mixed((seed, step))
    assert first == _mixed((seed, step)) and 0 <= first < 2**63
    torch.Generator().manual_seed(first)


def test_step_seeds_differ():
    seeds = {_mixed((seed, step)) for seed in range(50) for step in range(50)}
    assert len(seeds) == 2500


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("phase", ["helper", "encoder"])
def test_a_loss_that_is_not_finite_names_step_and_phase(tmp_path, bad, phase):
    class Broken(Toy):
        def loss(self, batch, name):
            losses = super().loss(batch, name)
            if len(self.calls) > 6 and name == phase:  # the fourth step, two calls each
                losses["loss"] = losses["loss"] * bad
            return losses

    method = Broken(every=(1, 1))
    with pytest.raises(FloatingPointError, match=rf"step 3, phase '{phase}'.*{bad}"):
        fit(method, Rows(), settings_of(), seed=0, folder=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3
    assert all(torch.isfinite(t).all() for t in state["method"].values())


@pytest.mark.parametrize("name", ["epochs", "batch_size", "checkpoint_every", "clip", "max_steps"])
@pytest.mark.parametrize("value", [0, -1])
def test_settings_out_of_range(name, value):
    with pytest.raises(UserError, match=rf"^{name}: found {value}"):
        Training(**{name: value})


def test_a_gradient_that_is_not_finite_names_step_and_phase(tmp_path):
    class Kink(Line):
        def loss(self, batch, phase):
            return {"loss": (0 * self.w).sum().sqrt()}  # 0, with the slope 0 * inf

    with pytest.raises(FloatingPointError, match=r"step 0, phase 'line': .*gradient.*nan"):
        fit(Kink(), Rows(), settings_of(), seed=0, folder=tmp_path)


# --- half precision -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)]
)
def test_precision_is_that_of_the_layers_not_of_the_weights(tmp_path, precision, dtype):
    method = Toy()
    fit(method, Rows(), settings_of(precision=precision, max_steps=2), seed=0, folder=tmp_path)
    assert method.z.dtype == dtype
    assert {p.dtype for p in method.parameters()} == {torch.float32}


@pytest.fixture
def half(monkeypatch):
    """float16 with a loss scale, as on a GPU."""

    def fabric(_):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=4)
        fabric = Fabric(
            accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler)
        )
        fabric.launch()
        return fabric

    monkeypatch.setattr(training, "_make_fabric", fabric)
    return settings_of(precision="16-mixed")


class Steep(Toy):
    def loss(self, batch, phase):
        losses = super().loss(batch, phase)
        return {"loss": 100 * losses["loss"]}


def test_an_overflow_of_the_loss_scale_skips_the_step(tmp_path, half):
    """The scale starts too high by design: infinite gradients halve it and change no weight."""
    method = Steep(every=(1, 1))
    fit(method, Rows(), half, seed=0, folder=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["precision"]["scale"] < 2.0**24
    assert all(torch.isfinite(t).all() for t in method.state_dict().values())
    steps = state["optimizers"]["encoder"]["state"][0]["step"].item()
    assert 0 < steps < 20


def test_chunks_in_half_precision(half):
    """The loss scale reaches the encoder through the cached gradient, and leaves it again."""
    whole, chunked = Pair(), Pair()
    fit(whole, Rows(rows=48), half, seed=0, folder=None)
    fit(chunked, Rows(rows=48), replace(half, chunks=2), seed=0, folder=None)
    start, end = Pair().state_dict(), whole.state_dict()
    for name, weight in chunked.state_dict().items():
        assert (weight - end[name]).norm() < 0.1 * (end[name] - start[name]).norm()


def test_killed_and_resumed_in_half_precision(tmp_path, half):
    method, resumed = Steep(), Steep()
    fit(method, Rows(), half, seed=0, folder=tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        fit(Steep(), Rows(13), half, seed=0, folder=tmp_path / "killed")
    fit(resumed, Rows(), half, seed=0, folder=tmp_path / "killed", resume=True)
    unbroken = (*outcome(tmp_path / "unbroken"), method.state_dict())
    assert_same_run(tmp_path / "killed", resumed, unbroken)


# --- several processes --------------------------------------------------------------------------


RANK = """
import sys
from tspcrep.common.training import fit
from tests.common.toys import Plain, Rows, settings_of

fit(Plain(), Rows(), settings_of(batch_size=2), seed=5, folder=sys.argv[1])
"""


@pytest.mark.distributed
def test_two_processes_train_as_one_does(tmp_path):
    """Under torchrun, half of the batch each: the same weights, and one writes the files."""
    fit(Plain(), Rows(), settings_of(), seed=5, folder=tmp_path / "one")
    done = torchrun(RANK, tmp_path, tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (outcome(tmp_path / name) for name in ("one", "two"))
    for name, expected in one[0]["method"].items():
        torch.testing.assert_close(two[0]["method"][name], expected, atol=1e-6, rtol=1e-5)
    assert [line["step"] for line in two[1]] == [line["step"] for line in one[1]] == [5, 10, 15, 20]

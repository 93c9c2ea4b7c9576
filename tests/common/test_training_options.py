"""fit's options: last batches, workers, accumulation, warm-up, frozen parameters, compilation."""

import multiprocessing
import random

import numpy as np
import pytest
import torch
from torch import nn

from tests.common.toys import ROWS, Plain, Rows, Toy, assert_equal_bits, settings_of
from tspcrep.common.config import from_dict, to_dict
from tspcrep.common.errors import UserError
from tspcrep.common.heads import ProjectionHead
from tspcrep.common.losses import nt_xent
from tspcrep.common.methods import Phase
from tspcrep.common.training import Training, fit


class Drawing(Rows):
    """Adds noise from one of the global generators, or from all, to each batch."""

    def __init__(self, generator, stop_at=None):
        super().__init__(stop_at)
        self.generator = generator

    def __getitems__(self, indices):
        x = super().__getitems__(indices)
        if self.generator in ("torch", "all"):
            x = x + torch.randn(x.shape)
        if self.generator in ("numpy", "all"):
            x = x + torch.from_numpy(np.random.standard_normal(x.shape)).float()  # noqa: NPY002
        if self.generator in ("random", "all"):
            x = x + random.gauss(0, 1)
        return x


def trained(method, data, folder=None, resume=False, **options):
    fit(method, data, settings_of(**options), seed=5, folder=folder, resume=resume)
    return method


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", ["torch", "numpy", "random"])
def test_data_that_draw_are_drawn_again_after_a_kill(tmp_path, generator):
    unbroken = trained(Toy(), Drawing(generator))
    with pytest.raises(KeyboardInterrupt):
        trained(Toy(), Drawing(generator, stop_at=8), tmp_path)
    torch.rand(3), np.random.random(3), random.random()  # noqa: NPY002 - another process
    resumed = trained(Toy(), Drawing(generator), tmp_path, resume=True)
    assert_equal_bits(resumed.state_dict(), unbroken.state_dict())


def test_draws_differ_between_batches_and_from_those_of_the_method():
    batches, own = [], []

    class Watching(Toy):
        def loss(self, batch, phase):
            own.append(torch.randn(batch.shape))
            batches.append(batch)
            return super().loss(batch, phase)

    data = Drawing("torch")
    data.table.zero_()  # the noise alone
    trained(Watching(every=(1, 1)), data, epochs=2)
    noise = torch.cat([x.flatten() for x in batches[::2]])
    assert len(noise.unique()) == len(noise)
    assert not torch.isin(torch.cat([x.flatten() for x in own]), noise).any()


def test_workers_change_nothing():
    alone = trained(Toy(), Drawing("all"), epochs=2)
    loaded = trained(Toy(), Drawing("all"), epochs=2, workers=2)
    assert_equal_bits(loaded.state_dict(), alone.state_dict())
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [8, 8, 4]), (True, [8, 8])])
def test_the_last_batch_is_left_out_on_request(drop_last, sizes):
    rows = Rows()
    trained(Toy(), rows, batch_size=8, epochs=2, drop_last=drop_last)
    assert [len(batch) for batch in rows.seen] == sizes * 2


def test_too_few_rows_for_one_batch_are_named():
    with pytest.raises(UserError, match="size is 20, less than one batch of 32 rows"):
        trained(Toy(), Rows(), batch_size=32, drop_last=True)


def test_a_last_batch_of_one_row_passes_batch_norm():
    class Normed(Plain):
        def __init__(self):
            super().__init__()
            self.projection = ProjectionHead(4, 3, batch_norm=True)

        def phases(self):
            return [Phase("all", [*self.encoder.parameters(), *self.projection.parameters()], 0.1)]

        def loss(self, batch, phase):
            views = batch, batch.flip(1)
            return {"loss": nt_xent(*(self.projection(self.encoder(v)) for v in views))}

    method = trained(Normed(), Rows(rows=5), epochs=3)
    assert all(x.isfinite().all() for x in method.state_dict().values())


def test_one_row_is_normalised_by_the_running_statistics():
    head = ProjectionHead(6, 3, batch_norm=True)
    for _ in range(3):
        head(torch.randn(9, 6) + 2)
    before = {name: x.clone() for name, x in head.state_dict().items()}
    row = torch.randn(1, 6)
    found = head(row)
    assert_equal_bits(head.state_dict(), before)
    torch.testing.assert_close(found, head.eval()(row))


# --- steps --------------------------------------------------------------------------------------


def test_accumulated_batches_are_one_batch():
    """Of a mean over rows, the mean gradient of equal batches is that of all their rows."""
    whole, rows = Plain(), Rows()
    expected = trained(whole, Rows(), batch_size=10)
    found = trained(Plain(), rows, batch_size=5, accumulate=2)
    assert [len(batch) for batch in rows.seen] == [5] * 16
    for name, x in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop_at", [5, 7, 12])
def test_accumulation_may_be_killed_and_resumed(tmp_path, stop_at):
    """Five batches an epoch in steps of 2, 2 and 1."""
    options = dict(accumulate=2, checkpoint_every=2)
    unbroken = trained(Toy(), Rows(), **options)
    with pytest.raises(KeyboardInterrupt):
        trained(Toy(), Rows(stop_at), tmp_path, **options)
    rows = Rows()
    resumed = trained(Toy(), rows, tmp_path, resume=True, **options)
    assert_equal_bits(resumed.state_dict(), unbroken.state_dict())
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 12
    assert sum(map(len, rows.seen)) < 4 * ROWS


def test_the_rate_rises_then_follows_the_schedule():
    rates = []

    class Watched(Plain):
        def phases(self):
            return [Phase("all", list(self.encoder.parameters()), 0.5)]

        def after_step(self):
            rates.append(self.optimizer.param_groups[0]["lr"])

    class Recording(torch.optim.AdamW):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            Watched.optimizer = self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "AdamW", Recording)
        trained(Watched(), Rows(), epochs=2, warmup=4)
        cosine, rates[:] = rates[:], []
        trained(Watched(), Rows(), epochs=2, warmup=4, schedule="constant")
    rise = [0.125, 0.25, 0.375, 0.5]
    assert rates == pytest.approx([*rise, *[0.5] * 6])
    fall = [0.25 * (1 + np.cos(np.pi * k / 6)) for k in range(6)]
    assert cosine == pytest.approx([*rise, *fall])


def test_compiled_training_equals_eager(monkeypatch):
    """Traced by the compiler's front end; its C++ back end would take minutes."""
    compiled = []

    def traced(function):
        compiled.append(function.__name__)
        return compile_(function, backend="aot_eager")

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    eager = trained(Plain(), Rows())
    assert compiled == []
    method = trained(Plain(), Rows(), compile=True)
    assert compiled == ["loss"] and "loss" not in vars(method)
    for name, x in eager.state_dict().items():
        torch.testing.assert_close(method.state_dict()[name], x, rtol=1e-4, atol=1e-5)


# --- frozen parameters --------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [None, 3])
def test_what_was_frozen_stays_frozen(stop_at):
    class Partly(Plain):
        def __init__(self):
            super().__init__()
            self.old = nn.Linear(3, 3).requires_grad_(False)
            self.encoder[0].bias.requires_grad_(False)  # a phase lists it nevertheless

    method = Partly()
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    wanted = {name: p.requires_grad for name, p in method.named_parameters()}
    try:
        trained(method, Rows(stop_at))
    except KeyboardInterrupt:
        assert stop_at
    assert {name: p.requires_grad for name, p in method.named_parameters()} == wanted
    same = {name for name, p in method.named_parameters() if torch.equal(p, before[name])}
    assert {"old.weight", "old.bias", "encoder.0.bias"} <= same
    assert {"encoder.0.weight", "helper.weight"}.isdisjoint(same)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("accumulate", 0), ("chunks", 0), ("workers", -1)])
def test_options_out_of_range(name, value):
    with pytest.raises(UserError, match=f"^{name}: found {value}"):
        Training(**{name: value})


def test_a_configuration_from_before_the_options_is_the_same():
    old = ("epochs", "max_steps", "batch_size", "schedule", "clip", "device", "precision")
    table = {name: value for name, value in to_dict(Training()).items() if name in old}
    assert from_dict(Training, table) == Training()


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: found 'cuda', and torch sees no GPU"):
        fit(Plain(), Rows(), Training(device="cuda"), 0, None)

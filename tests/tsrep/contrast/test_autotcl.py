"""AutoTCL: its losses against loops, each ablation, any encoder, and what each phase may touch."""

import copy
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tspcrep.common.cached import cached_backward
from tspcrep.common.errors import UserError
from tspcrep.common.training import Training, fit
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig, _draw_steps, _segments
from tsrep.contrast.view_network import expected_l0
from tsrep.datasets.windows import WindowDataset, Windows
from tsrep.encoders import Centred, DilatedConv, Encoder

AUGMENTATIONS = ["parametric", "adversarial", "random", "none"]


class Contract(Encoder):
    """No more than a subclass must say."""

    in_channels, dim, causal = 2, 4, False

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1)

    def body(self, x, memory=None):
        return self.conv(x.nan_to_num().transpose(1, 2)).transpose(1, 2)


def encoder_of(name="cost"):
    torch.manual_seed(0)
    if name == "contract":
        return Contract()
    if name == "centred":
        return Centred(DilatedConv(2, 5, 4, 1), window=6)
    options = {"cost": {"trend_kernels": (1, 2, 4)}, "ts2vec": {"causal": False}}
    return DilatedConv(2, 5, 4, 1, **options[name])


ENCODERS = ["cost", "ts2vec", "centred", "contract"]


def method_of(encoder="cost", dtype=torch.float64, **config):
    return AutoTCL(encoder_of(encoder), AutoTCLConfig(**config)).to(dtype)


def batch_of(size=4, steps=24, seed=0, dtype=torch.float64, missing=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, steps, 2, generator=generator, dtype=dtype)
    x[torch.rand(x.shape, generator=generator) < missing] = torch.nan
    return Windows(x, torch.arange(size))


def data(missing=0.0):
    return WindowDataset(batch_of(3, 60, dtype=torch.float32, missing=missing).values.numpy(), 20)


def train(method, folder, missing=0.0, resume=False, rows=None, **changes):
    options = dict(epochs=3, max_steps=6, batch_size=48, checkpoint_every=2, device="cpu")
    training = Training(**{**options, **changes})
    fit(method, rows or data(missing), training, seed=1, folder=folder, resume=resume)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def cosine_info_nce(anchors, candidates, temperature):
    """Mean over the anchors, row i finds row i, in floats."""

    def unit(row):
        norm = math.sqrt(sum(v * v for v in row))
        return [v / norm for v in row]

    a, c = ([unit(row) for row in rows.tolist()] for rows in (anchors, candidates))
    total = 0.0
    for i, anchor in enumerate(a):
        scores = [sum(x * y for x, y in zip(anchor, row, strict=True)) / temperature for row in c]
        total += math.log(sum(math.exp(s) for s in scores)) - scores[i]
    return total / len(a)


# --- the losses ---------------------------------------------------------------------------------


def view_and_losses(method, phase):
    """The view of a batch that the losses of a phase are about, and these losses."""
    batch = batch_of()
    torch.manual_seed(3)
    view = method.view(batch.values)
    torch.manual_seed(3)
    return view, method.loss(batch, phase)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(1, 60),
    stretches=st.integers(2, 9),
    head=st.sampled_from([0, 3]),
    seed=st.integers(0, 50),
)
def test_local_contrast_is_a_loop(steps, stretches, head, seed):
    method = method_of(head=head, temperature=0.3)
    v = torch.randn(3, steps, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    segments = _segments(v, stretches)
    count = min(stretches, steps // 3)
    if count < 2:
        assert segments[0].shape[1] == 0
        found = method.encoder_loss(v[:, 0], v[:, 0], *segments)["local"]
        assert found == 0
        return
    found = method.encoder_loss(v[:, 0], v[:, 0], *segments)["local"]
    third = steps // count // 3
    per_sample = []
    for sample in v:  # negatives are other stretches of the same series
        firsts, seconds = [], []
        for stretch in range(count):
            start = stretch * 3 * third
            firsts.append(sample[start : start + third].max(0).values)
            seconds.append(sample[start + third : start + 2 * third].max(0).values)
        rows = [method.head(torch.stack(part)).detach() for part in (firsts, seconds)]
        per_sample.append(cosine_info_nce(*rows, 0.3))
    assert found.item() == pytest.approx(sum(per_sample) / 3, abs=1e-10)


@pytest.mark.parametrize("head", [0, 3])
@pytest.mark.parametrize("local_weight", [0.0, 0.7])
def test_encoder_loss_is_equation_15(head, local_weight):
    method = method_of(head=head, local_weight=local_weight, noise=False, temperature=0.5)
    x = batch_of().values
    view, found = view_and_losses(method, "encoder")
    with torch.no_grad():
        z, v = method.encoder(x), method.encoder(view.values)
        tops = [method.head(torch.stack([t.max(0).values for t in rows])) for rows in (z, v)]
    assert {"loss", "instance", "local", "alignment", "effective_rank"} <= found.keys()
    assert found["instance"].item() == pytest.approx(cosine_info_nce(*tops, 0.5), abs=1e-10)
    local = method.encoder_loss(v[:, 0], v[:, 0], *_segments(v))["local"]  # proved above
    assert found["local"].item() == pytest.approx(local.item(), abs=1e-12)
    total = found["instance"] + local_weight * found["local"]
    assert found["loss"].item() == pytest.approx(total.item(), abs=1e-12)


@pytest.mark.parametrize("mmd", ["linear", "gaussian"])
def test_augmentation_loss_is_equation_10(mmd):
    method = method_of(noise=False, mmd=mmd, size_weight=0.3, consistency_weight=0.7)
    x = batch_of().values
    view, found = view_and_losses(method, "augmentation")
    torch.manual_seed(3)
    method.view(x)
    anchor, near, far = _draw_steps(4, 24, x.device).unbind(1)
    with torch.no_grad():
        z, v = (F.normalize(method.encoder(t).amax(1), dim=-1) for t in (x, view.values))
    h = view.keep[..., 0]
    consistency = sum(
        abs(h[b, anchor[b]] - h[b, near[b]]) - abs(h[b, anchor[b]] - h[b, far[b]]) for b in range(4)
    )
    expected = {
        "size": expected_l0(view.logit),  # itself proved by draws
        "consistency": consistency / 4,
        "fidelity": (z.mean(0) - v.mean(0)).square().sum(),
    }
    if mmd == "gaussian":
        del expected["fidelity"]
        assert found["fidelity"] > 0
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), abs=1e-12), name
    total = 0.3 * found["size"] + found["fidelity"] + 0.7 * found["consistency"]
    assert found["loss"].item() == pytest.approx(total.item(), abs=1e-12)


def test_fidelity_does_not_depend_on_the_scale_of_the_encoder():
    method = method_of("contract", noise=False)
    before = view_and_losses(method, "augmentation")[1]["fidelity"]
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.mul_(100)
    after = view_and_losses(method, "augmentation")[1]["fidelity"]
    assert after.item() == pytest.approx(before.item(), rel=1e-9)


def test_adversarial_augmentation_maximises_the_contrast():
    method = method_of(augmentation="adversarial", noise=False, temperature=0.5)
    x = batch_of().values
    view, found = view_and_losses(method, "augmentation")
    with torch.no_grad():
        tops = [method.head(method.encoder(t).amax(1)) for t in (x, view.values)]
    assert found.keys() == {"loss"}
    assert found["loss"].item() == pytest.approx(-cosine_info_nce(*tops, 0.5), abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 30), steps=st.integers(2, 40), seed=st.integers(0, 1000))
def test_anchor_neighbour_and_far_step(batch, steps, seed):
    torch.manual_seed(seed)
    drawn = _draw_steps(batch, steps, torch.device("cpu")).unbind(1)
    for anchor, near, far in zip(*(step.tolist() for step in drawn), strict=True):
        assert 0 <= anchor < steps and 0 <= near < steps and 0 <= far < steps
        assert abs(anchor - near) == 1
        assert abs(anchor - far) >= steps // 4


def test_steps_are_drawn_on_both_sides():
    torch.manual_seed(0)
    anchor, near, far = _draw_steps(2000, 12, torch.device("cpu")).unbind(1)
    assert set(anchor.tolist()) == set(far.tolist()) == set(range(12))
    inner = (anchor > 0) & (anchor < 11)
    assert (near - anchor)[inner].double().mean().abs() < 0.1  # left and right alike
    found = {abs(a - f) for a, f in zip(anchor.tolist(), far.tolist(), strict=True)}
    assert found == set(range(3, 10))  # around a circle: no further than three quarters


# --- eta ----------------------------------------------------------------------------------------


class Seen(Contract):
    """Records what it was given; with ``split``, masks its first hidden layer as the paper."""

    def __init__(self, split):
        super().__init__()
        self.inputs = []
        if split:
            self.embed = lambda x: x @ torch.ones(2, 3, dtype=x.dtype) + 5.0  # nowhere 0

    def body(self, x, memory=None):
        self.inputs.append(x)
        return x.new_ones(*x.shape[:2], self.dim) + x[..., :1]


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("noise", [True, False])
def test_eta_drops_half_of_the_steps_of_the_view_alone(split, noise):
    encoder = Seen(split)
    method = AutoTCL(encoder, AutoTCLConfig(noise=noise, augmentation="none")).double()
    batch = batch_of(40, 50)
    x = batch.values
    torch.manual_seed(0)
    method.loss(batch, "encoder")
    series, view = encoder.inputs
    clean = encoder.embed(x)
    assert torch.equal(series, clean)  # the series itself is never masked
    dropped = (view == 0).all(-1)
    assert torch.equal(view[~dropped], clean[~dropped])
    assert torch.equal(dropped, (view == 0).any(-1))  # whole steps, all channels
    # Four standard deviations of a share of 2000 fair coins.
    assert dropped.double().mean().item() == pytest.approx(0.5 * noise, abs=0.045 * noise)


def test_eta_is_drawn_anew_each_time():
    method = method_of(augmentation="none")
    x = batch_of().values
    assert not torch.equal(method.encode_view(x), method.encode_view(x))
    still = method_of(augmentation="none", noise=False)
    assert torch.equal(still.encode_view(x), still.encoder(x))


# --- ablations ----------------------------------------------------------------------------------


def test_phases():
    method = method_of(augment_every=4, learning_rate=0.1, augmentation_rate=0.2)
    augmentation, encoder = method.phases()
    found = [(phase.name, phase.learning_rate, phase.every) for phase in (augmentation, encoder)]
    assert found == [("augmentation", 0.2, 4), ("encoder", 0.1, 1)]
    groups = [{id(p) for p in phase.parameters} for phase in (augmentation, encoder)]
    assert groups[0] == {id(p) for p in method.augmentation.parameters()}
    assert groups[1] == {id(p) for part in (method.encoder, method.head) for p in part.parameters()}
    assert not groups[0] & groups[1]
    assert not {id(p) for p in method.averaged.parameters()} & (groups[0] | groups[1])


@pytest.mark.parametrize("augmentation", ["random", "none"])
def test_nothing_is_learned_where_views_are_not(augmentation):
    method = method_of(augmentation=augmentation)
    assert [phase.name for phase in method.phases()] == ["encoder"]
    assert not hasattr(method, "augmentation")


def test_views_of_each_augmentation():
    x = batch_of(missing=0.1).values
    known = ~x.isnan()
    none = method_of(augmentation="none").view(x)
    assert torch.equal(none.values[known], x[known]) and (none.keep == 1).all()
    for name in ("parametric", "adversarial", "random"):
        method = method_of(augmentation=name)
        first, second = method.view(x), method.view(x)
        assert not torch.equal(first.values[known], x[known])
        assert not torch.equal(first.values[known], second.values[known])  # drawn anew
        assert torch.equal(first.values.isnan(), x.isnan())
    without_h = method_of(factorise=False).view(x)
    assert (without_h.keep == 1).all() and not (without_h.gain == 1).all()
    without_g = method_of(transform=False).view(x)
    assert (without_g.gain == 1).all() and not (without_g.keep == 1).all()


@pytest.mark.parametrize("head", [0, 7])
def test_head(head):
    method = method_of(head=head)
    assert method.head(torch.zeros(3, 5).double()).shape == (3, head or 5)
    assert bool(list(method.head.parameters())) == bool(head)
    assert not any("head" in name for name in method.averaged.state_dict())


ABLATIONS = [
    {},
    {"factorise": False},
    {"transform": False},
    {"noise": False},
    {"head": 0},
    {"mmd": "gaussian"},
    {"augmentation": "adversarial"},
    {"augmentation": "random"},
    {"augmentation": "none"},
]


@pytest.mark.parametrize(
    ("encoder", "config"),
    [("cost", config) for config in ABLATIONS] + [(name, {}) for name in ENCODERS[1:]],
    ids=str,
)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_trains(tmp_path, encoder, config, missing):
    """Every ablation, every encoder: finite numbers, and each network moves."""
    method = method_of(encoder, torch.float32, augment_every=1, **config)
    before = copy.deepcopy(method.state_dict())
    lines = train(method, tmp_path, missing, epochs=2)
    assert len(lines) == 2
    assert all(np.isfinite(value).all() for line in lines for value in line.values())
    names = {phase.name for phase in method.phases()}
    assert {f"{name}/loss" for name in names} == {k for k in lines[0] if k.endswith("/loss")}
    moved = {
        name.split(".")[0]
        for name, tensor in method.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert moved >= {"encoder", "averaged"} | ({"augmentation"} & names)
    assert moved >= {"head"} or config.get("head") == 0
    assert all(tensor.isfinite().all() for tensor in method.state_dict().values())


def test_the_contrast_learns_to_tell_series_apart(tmp_path):
    """Sines of 16 frequencies: from chance, log 16, to less than half of it."""
    phase = 0.7 * torch.arange(32)[None] * (1 + torch.arange(16)[:, None]) / 8
    values = torch.stack([phase.sin(), phase.cos()], -1).numpy()  # (16, 32, 2)
    method = method_of(dtype=torch.float32, learning_rate=1e-2, noise=False)
    lines = train(method, tmp_path, rows=WindowDataset(values, 32), epochs=60, max_steps=None)
    assert lines[0]["encoder/instance"] == pytest.approx(math.log(16), abs=0.1)
    assert sum(line["encoder/instance"] for line in lines[-5:]) / 5 < math.log(16) / 2


def test_pri_keeps_fewer_steps_where_size_weighs_more(tmp_path):
    sizes = []
    for weight in (0.0, 5.0):
        method = method_of(
            dtype=torch.float32, size_weight=weight, augmentation_rate=3e-2, augment_every=1
        )
        sizes.append(train(method, tmp_path / str(weight), epochs=8, max_steps=None)[-1])
    assert sizes[1]["augmentation/size"] < 0.5 * sizes[0]["augmentation/size"]


# --- what a phase may touch ---------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", ["parametric", "adversarial"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_phase_leaves_the_other_network_untouched(tmp_path, encoder, augmentation):
    snapshots = []

    class Watched(AutoTCL):
        def loss(self, batch, phase):
            parts = {
                name: {n: p.detach().clone() for n, p in getattr(self, name).named_parameters()}
                for name in ("augmentation", "encoder", "head")
            }
            snapshots.append((phase, parts))
            return super().loss(batch, phase)

    config = AutoTCLConfig(augmentation=augmentation, augment_every=1)
    method = Watched(encoder_of(encoder), config)
    train(method, tmp_path, max_steps=4)
    assert [phase for phase, _ in snapshots] == ["augmentation", "encoder"] * 4
    for (phase, before), (_, after) in pairwise(snapshots):
        changed = {
            name
            for name in before
            if any(not torch.equal(before[name][n], after[name][n]) for n in before[name])
        }
        assert changed == ({"augmentation"} if phase == "augmentation" else {"encoder", "head"})


@pytest.mark.parametrize("encoder", ENCODERS)
def test_averaged_weights_are_the_running_mean(tmp_path, encoder):
    method = method_of(encoder, torch.float32)
    seen, after_step = [], method.after_step

    def watched():
        seen.append([p.detach().double().clone() for p in method.encoder.parameters()])
        after_step()

    method.after_step = watched
    train(method, tmp_path)
    assert len(seen) == method.averaged.n_averaged == 6
    for i, found in enumerate(method.averaged.module.parameters()):
        expected = torch.stack([step[i] for step in seen]).mean(0)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


class Stopping(WindowDataset):
    """Stops the world after some batches."""

    left = 3

    def __getitems__(self, indices):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().__getitems__(indices)


def test_killed_and_resumed_is_the_run_never_killed(tmp_path):
    whole, resumed = (method_of(dtype=torch.float32) for _ in range(2))
    lines = [train(whole, tmp_path / "whole")]
    stopping = Stopping(batch_of(3, 60, dtype=torch.float32).values.numpy(), 20)
    with pytest.raises(KeyboardInterrupt):
        train(method_of(dtype=torch.float32), tmp_path / "killed", rows=stopping)
    lines.append(train(resumed, tmp_path / "killed", resume=True))
    for line in lines[0] + lines[1]:
        del line["seconds"]
    assert lines[0] == lines[1]
    states = [m.state_dict() for m in (whole, resumed)]
    assert states[0].keys() == states[1].keys() and any("averaged" in n for n in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"temperature": -1.0}, "temperature -1.0"),
        ({"augment_every": 0}, "augment_every 0"),
        ({"head": -1}, "head"),
    ],
)
def test_settings_out_of_range(config, words):
    with pytest.raises(UserError, match=words):
        AutoTCLConfig(**config)


def test_an_adversary_without_a_move_is_refused():
    with pytest.raises(UserError, match=r"factorise and transform"):
        AutoTCLConfig(augmentation="adversarial", factorise=False, transform=False)


def test_padding_does_not_enter_what_is_contrasted():
    batch, method = batch_of(6, 24), method_of(noise=False, augmentation="none")
    padded = batch.values.clone()
    padded[:, 17:] = torch.nan
    short = batch._replace(values=padded[:, :17])
    for phase in ("encoder", "augmentation"):
        found, expected = (
            method.embed(b, phase)[:2] for b in (batch._replace(values=padded), short)
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# --- chunks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["augmentation", "encoder"])
def test_chunks_have_the_gradient_of_the_whole_batch(phase):
    """Cached gradients. Views are drawn from the series itself, so that chunks see the same."""
    batch, one = batch_of(6, 24), method_of(noise=False)
    many = copy.deepcopy(one)
    for method in (one, many):
        draw = method.augmentation
        method.view = lambda x, draw=draw: draw(x, x.sum(-1, keepdim=True).sigmoid())
    torch.manual_seed(5)
    expected = one.loss(batch, phase)
    expected["loss"].backward()
    torch.manual_seed(5)
    found = cached_backward(
        many,
        [Windows(*(t[start : start + 2] for t in batch)) for start in (0, 2, 4)],
        lambda chunk: many.embed(chunk, phase),
        lambda whole: many.contrast(whole, phase),
        lambda loss: loss.backward(),
    )
    assert found["loss"].item() == pytest.approx(expected["loss"].item(), abs=1e-12)
    trained = next(p for p in one.phases() if p.name == phase).parameters
    of_many = next(p for p in many.phases() if p.name == phase).parameters
    for a, b in zip(trained, of_many, strict=True):
        torch.testing.assert_close(b.grad, a.grad, atol=1e-12, rtol=1e-9)


def test_fit_takes_chunks(tmp_path):
    method = method_of(dtype=torch.float32)
    before = copy.deepcopy(method.encoder.state_dict())
    fit(method, data(), Training(epochs=1, chunks=2, device="cpu"), seed=1, folder=tmp_path)
    assert any(not torch.equal(t, before[n]) for n, t in method.encoder.state_dict().items())

"""Contrasts of windows against loops in float64, and what they may and may not move."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from tspcrep.common.errors import UserError
from tsrep.contrast import objectives
from tsrep.contrast.objectives import ContrastConfig, _hierarchical_contrast, build
from tsrep.encoders import DilatedConv, Encoder, Transformer

SMALL = {"width": 6, "queue": 32, "windows": 8}
ALL = ("moco", "moco2", "hcl", "moco2+hcl", "autotcl")


def encoder(seed=0):
    torch.manual_seed(seed)
    return DilatedConv(1, 6, 4, 1)


def windows(batch=8, steps=16, channels=1, seed=1):
    return torch.randn(batch, steps, channels, generator=torch.Generator().manual_seed(seed))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def nt_xent_loop(first, second, temperature):
    """Over rows (n, d) of two views, one term a row and view."""
    z = unit(np.concatenate([first, second]))
    n, losses = len(first), []
    for i in range(2 * n):
        others = [np.dot(z[i], z[j]) / temperature for j in range(2 * n) if j != i]
        positive = np.dot(z[i], z[(i + n) % (2 * n)]) / temperature
        losses.append(np.log(np.sum(np.exp(others))) - positive)
    return np.mean(losses)


def hierarchical_loop(first, second, temperature):
    total, scales = 0.0, 0
    while True:
        steps = first.shape[1]
        by_step = np.mean(
            [nt_xent_loop(first[:, t], second[:, t], temperature) for t in range(steps)]
        )
        scales += 1
        if steps == 1:
            return (total + by_step / 2) / scales
        in_each = np.mean(
            [nt_xent_loop(a, b, temperature) for a, b in zip(first, second, strict=True)]
        )
        total += (by_step + in_each) / 2
        first, second = (
            np.stack([z[:, 2 * k : 2 * k + 2].max(1) for k in range(steps // 2)], 1)
            for z in (first, second)
        )


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_hierarchical_contrast_is_the_loop(steps):
    rng = np.random.default_rng(steps)
    first, second = rng.normal(size=(2, 3, steps, 4))
    found = _hierarchical_contrast(torch.tensor(first), torch.tensor(second), 0.3)
    np.testing.assert_allclose(float(found), hierarchical_loop(first, second, 0.3), rtol=1e-9)


class Identity(Encoder):
    """Vectors that are the values themselves, those of a patch all its last one."""

    def __init__(self, stride):
        super().__init__()
        self.dim, self.stride, self.in_channels = 2, stride, 2

    def body(self, x, memory=None):
        last = x[:, (x.shape[1] - 1) % self.stride :: self.stride]
        return last.repeat_interleave(self.stride, 1)[:, -x.shape[1] :]


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("steps", [32, 34])
def test_two_crops_are_compared_at_the_same_steps(monkeypatch, stride, steps):
    x = windows(4, steps, 2)
    contrast = build(ContrastConfig("hcl", **SMALL), Identity(stride))
    contrast.mask = lambda crop, strength: crop
    seen = []
    monkeypatch.setattr(
        objectives, "_hierarchical_contrast", lambda *views: seen.append(views) or x.sum() * 0
    )
    for seed in range(5):
        torch.manual_seed(seed)
        contrast(Identity(stride), x)
    lengths = {first.shape[1] for first, _, _ in seen}
    assert len(lengths) > 1, "always the same crop"
    for first, second, _ in seen:
        assert torch.equal(first, second)


def test_momentum_contrast_is_the_loop_and_moves_in_after_step_alone():
    net, config = encoder(), ContrastConfig("moco2", momentum=0.9, temperature=0.3, **SMALL)
    contrast = build(config, net)
    x = windows()
    assert float(contrast(net, x).detach()) == 0, "no negatives yet"
    contrast.after_step(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1
    contrast.views = lambda values, strength: values  # so that both views are known
    queue = contrast.queue.features.double().numpy()
    found = float(contrast(net, x).detach())
    query = contrast.head(net(x).mean(1)).detach().double().numpy()
    key = contrast.key(x).double().numpy()
    losses = []
    for q, k in zip(unit(query), unit(key), strict=True):
        logits = np.array([q @ k, *(q @ n for n in queue)]) / 0.3
        losses.append(np.log(np.exp(logits).sum()) - logits[0])
    np.testing.assert_allclose(found, np.mean(losses), rtol=1e-5)

    before = copy.deepcopy(contrast.key.state_dict())
    length = len(contrast.queue)
    contrast.after_step(net)
    for name, own in contrast.key.encoder.encoder.named_parameters():
        moved = 0.9 * before[f"encoder.encoder.{name}"] + 0.1 * net.get_parameter(name)
        torch.testing.assert_close(own, moved)
    assert len(contrast.queue) == length + len(x)
    np.testing.assert_allclose(contrast.queue.features[length:].numpy(), unit(key), atol=1e-6)


@pytest.mark.parametrize("objective", ALL)
def test_evaluation_moves_nothing(objective):
    """Neither the loss of validation windows nor a loss in training without its step."""
    net = encoder()
    contrast = build(ContrastConfig(objective, **SMALL), net)
    contrast(net, windows()).backward()
    contrast.after_step(net)
    before = copy.deepcopy(contrast.state_dict())
    contrast.eval()
    contrast(net, windows(seed=2))
    contrast.after_step(net)  # a loop that steps after a validation batch still moves nothing
    after = contrast.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("objective", ALL)
@pytest.mark.parametrize("kind", ["dilated", "transformer"])
def test_every_objective_teaches_the_encoder(objective, kind):
    torch.manual_seed(0)
    net = encoder()
    if kind == "transformer":
        net = Transformer(1, 8, 1, 2, patch=4, causal=False)
    contrast = build(ContrastConfig(objective, **SMALL), net)
    learned = [*net.parameters(), *contrast.learned()]
    optimiser = torch.optim.Adam(learned, 0.01)
    values = []
    for step in range(25):
        torch.manual_seed(step)
        loss = contrast(net, windows(seed=step % 3))
        optimiser.zero_grad()
        loss.backward()
        if step > 0:  # before, a queue is empty
            assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimiser.step()
        contrast.after_step(net)
        values.append(float(loss.detach()))
    assert np.isfinite(values).all()
    first = 1 if "moco" in objective else 0
    assert any(v != values[first] for v in values)


def test_learned_views_are_trained_in_their_own_phase():
    net = encoder()
    contrast = build(ContrastConfig("autotcl", **SMALL), net)
    (phase,) = contrast.own_phases()
    shared = {id(p) for p in [*net.parameters(), *contrast.learned()]}
    assert phase.parameters and not shared & {id(p) for p in phase.parameters}
    contrast.own_loss(windows())["loss"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in phase.parameters)


def test_both_is_the_mean_of_two():
    net, x = encoder(), windows()
    contrast = build(ContrastConfig("moco2+hcl", **SMALL), net)
    contrast(net, x)
    contrast.after_step(net)
    torch.manual_seed(3)
    together = contrast(net, x)
    torch.manual_seed(3)
    apart = [part(net, x) for part in contrast.parts]
    torch.testing.assert_close(together, sum(apart) / 2)


def test_versions_of_moco_differ_by_head_and_views():
    first, second = (build(ContrastConfig(o, **SMALL), encoder()) for o in ("moco", "moco2"))
    layers = [sum(isinstance(m, nn.Linear) for m in c.head.modules()) for c in (first, second)]
    assert layers == [1, 2]
    assert build(ContrastConfig("none"), encoder()) is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", 0.0, "temperature: found 0"),
        ("momentum", 1.5, "momentum: found 1.5"),
        ("queue", 4, "queue: found 4, expected at least the 32"),
    ],
)
def test_settings_that_cannot_be(field, value, message):
    with pytest.raises(UserError, match=message):
        ContrastConfig(**{field: value})

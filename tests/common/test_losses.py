"""The one tester: what every loss must pass. Limit identities stand in test_loss_identities.py."""

import pytest
import torch

from tests.common.loss_cases import CASES, inputs_of
from tspcrep.common import ops
from tspcrep.common.ops import dense, tiled

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def tensors(case, batch=12, seed=0):
    return {name: x for name, (x, _) in inputs_of(case, batch, seed).items()}


def learn(inputs):
    """The same inputs, with gradient where they are real; targets and weights take none."""
    return {
        name: x.clone().requires_grad_()
        if x.is_floating_point() and name not in ("values", "weights", "memberships")
        else x
        for name, x in inputs.items()
    }


def value_and_gradients(case, inputs, **options):
    inputs = learn(inputs)
    loss = case.loss(**inputs, **options)
    loss.backward()
    return loss.detach(), {name: x.grad for name, x in inputs.items() if x.grad is not None}


def use(monkeypatch, module):
    monkeypatch.setattr(ops, "_auto", lambda *_: module)


@pytest.mark.parametrize("batch", [6, 13])
def test_equals_its_equation_in_loops(case, batch):
    inputs = tensors(case, batch, seed=batch)
    expected = case.loops(**{name: x.tolist() for name, x in inputs.items()})
    torch.testing.assert_close(float(case.loss(**inputs)), expected, rtol=1e-10, atol=1e-10)


def with_gradient(case, batch):
    """The loss as a function of the inputs that it gives a gradient, and these."""
    inputs = learn(tensors(case, batch))
    names = [name for name, x in inputs.items() if x.requires_grad]
    if case.name.startswith("moco"):
        names = ["queries"]  # keys and queue take no gradient
    if case.name == "dclw":
        pytest.skip("its weights are constants by definition: see test_dclw_weights_are_constants")

    def loss(*xs):
        return case.loss(**{**inputs, **dict(zip(names, xs, strict=True))})

    return loss, tuple(inputs[name] for name in names)


def test_gradcheck(case):
    assert torch.autograd.gradcheck(*with_gradient(case, 6))


@pytest.mark.parametrize("module", [dense, tiled], ids=["dense", "tiled"])
def test_gradgradcheck(case, module, monkeypatch):
    use(monkeypatch, module)
    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", 400)
    assert torch.autograd.gradgradcheck(*with_gradient(case, 6), fast_mode=True)


def test_dense_equals_tiled(case, monkeypatch):
    inputs = tensors(case)
    use(monkeypatch, dense)
    value, gradients = value_and_gradients(case, inputs)
    use(monkeypatch, tiled)
    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", 800)
    torch.testing.assert_close(value_and_gradients(case, inputs), (value, gradients))


def test_row_order_does_not_matter(case):
    if not case.reorders:
        pytest.skip("an argument holds row numbers: see test_mixup_follows_its_permutation")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    inputs = inputs_of(case, 12)
    plain = {name: x for name, (x, _) in inputs.items()}
    shuffled = {n: x if d is None else x.index_select(d, order) for n, (x, d) in inputs.items()}
    torch.testing.assert_close(case.loss(**shuffled), case.loss(**plain))


def test_bf16_is_finite_at_low_temperature(case):
    options = {"temperature": 0.05} if case.temperature else {}
    inputs = {
        name: x.bfloat16() if x.is_floating_point() else x for name, x in tensors(case, 64).items()
    }
    value, gradients = value_and_gradients(case, inputs, **options)
    assert value.isfinite()
    assert gradients and all(g.isfinite().all() for g in gradients.values())


def test_bf16_is_near_float64(case):
    inputs = tensors(case, 64)
    low = {n: x.bfloat16() if x.is_floating_point() else x for n, x in inputs.items()}
    exact = {n: x.double() if x.is_floating_point() else x for n, x in low.items()}
    torch.testing.assert_close(case.loss(**low).double(), case.loss(**exact), rtol=2e-2, atol=2e-2)


def test_collapsed_rows_are_finite(case):
    inputs = tensors(case)
    for name in ("values", "weights", "memberships", "gates", "a", "b"):
        inputs.setdefault(name, None)
    collapsed = {
        name: x[..., :1, :].expand_as(x).float()
        if x.is_floating_point()
        and name not in ("values", "weights", "memberships", "gates", "a", "b")
        else (x.float() if x.is_floating_point() else x)
        for name, x in inputs.items()
        if x is not None
    }
    value, gradients = value_and_gradients(case, collapsed)
    assert value.isfinite() and all(g.isfinite().all() for g in gradients.values())


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_inf_are_refused(case, number):
    inputs = tensors(case)
    name = next(iter(inputs))
    inputs[name] = inputs[name].clone()
    inputs[name].view(-1)[3] = number
    with pytest.raises(ValueError, match="not finite"):
        case.loss(**inputs)


def test_an_empty_batch_is_refused_in_one_line(case):
    inputs = {
        name: x if dim is None else x.narrow(dim, 0, 0)
        for name, (x, dim) in inputs_of(case, 6).items()
    }
    with pytest.raises(ValueError, match="expected") as error:
        case.loss(**inputs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_row_of_zeros_has_a_finite_loss_and_no_gradient(case, dtype):
    inputs = {n: x.to(dtype) if x.is_floating_point() else x for n, x in tensors(case).items()}
    name = next(iter(inputs))
    inputs[name] = inputs[name].clone()
    inputs[name][..., 2, :] = 0
    value, gradients = value_and_gradients(case, inputs)
    assert value.isfinite() and all(g.isfinite().all() for g in gradients.values())
    assert not case.cosines or not gradients[name][..., 2, :].any()


def test_temperature_must_be_above_zero(case):
    if not case.temperature:
        pytest.skip("takes no temperature")
    with pytest.raises(ValueError, match="temperature is"):
        case.loss(**tensors(case), temperature=0.0)

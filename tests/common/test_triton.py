"""The Triton kernels against the dense oracle: on a GPU where there is one, else interpreted."""

from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")

from tests.common.info_nce_cases import FORMS, example, options
from tests.common.loss_cases import CASES, inputs_of
from tspcrep.common import ops
from tspcrep.common.ops import Form, dense, info_nce
from tspcrep.common.pairs import Pairs

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
close = torch.testing.assert_close


def rows(*shape, seed=0, dtype=torch.float32):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=-1).to(DEVICE, dtype)


def moved(pairs):
    fields = {n: getattr(pairs, n) for n in ("row", "group", "ignore", "value")}
    fields = {n: pair and tuple(x.to(DEVICE) for x in pair) for n, pair in fields.items()}
    return Pairs(**fields, band=pairs.band)


def both(anchors, candidates, pairs, temperature, form, weight=None):
    """Values and gradients of triton and of dense, the latter in float64."""
    found = []
    for impl, dtype in (("triton", anchors.dtype), ("dense", torch.float64)):
        a, c = (x.detach().to(dtype).requires_grad_() for x in (anchors, candidates))
        loss = info_nce(
            a, c, pairs, temperature, **options(form), weight=weight, reduction="none", impl=impl
        )
        mean = info_nce(a, c, pairs, temperature, **options(form), weight=weight, impl=impl)
        mean.backward()
        found.append([x.double() for x in (loss, mean, a.grad, c.grad)])
    return found


@pytest.mark.parametrize("form", [f for f in FORMS if f.hardest is None], ids=str)
def test_equals_dense(form):
    # Neither the rows nor the dimensions fill a block.
    pairs, weight = moved(example(batch=70, count=150)), torch.arange(1.0, 71, device=DEVICE)
    got, want = both(rows(70, 19), rows(150, 19, seed=1), pairs, 0.1, form, weight)
    close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", [f for f in FORMS if f.hardest is None], ids=str)
def test_second_derivatives_equal_dense(form):
    pairs, found = moved(example(batch=20, count=40)), []
    for impl, dtype in (("triton", torch.float32), ("dense", torch.float64)):
        a = rows(20, 5, dtype=dtype).requires_grad_()
        c = rows(40, 5, seed=1, dtype=dtype).requires_grad_()
        loss = info_nce(a, c, pairs, 0.3, **options(form), impl=impl)
        first = torch.autograd.grad(loss, (a, c), create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), (a, c))
        found.append([x.double() for x in second])
    close(*found, rtol=1e-4, atol=1e-6)


def test_equals_dense_with_a_band_and_groups():
    value = (torch.arange(40) % 7 * 0.25).to(DEVICE)
    row = torch.arange(40, device=DEVICE)
    pairs = Pairs(row=(row, row), value=(value, value), band=0.25)
    got, want = both(rows(2, 40, 8), rows(2, 40, 8, seed=1), pairs, 0.2, Form())
    close(got, want, rtol=1e-5, atol=1e-6)


def test_equals_dense_with_log_weights():
    log_weight = torch.randn(150, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    pairs = replace(moved(example(batch=70, count=150)), log_weight=log_weight)
    got, want = both(rows(70, 19), rows(150, 19, seed=1), pairs, 0.1, Form())
    close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(dtype):
    got, want = both(
        rows(70, 40, dtype=dtype), rows(70, 40, seed=1, dtype=dtype), None, 0.05, Form()
    )
    close(got[:2], want[:2], rtol=1e-5, atol=1e-5)
    for low, high in zip(got[2:], want[2:], strict=True):
        # A logit's gradient is rounded to 16 bit before it is multiplied, as in any 16-bit GEMM.
        assert float((low - high).norm() / high.norm()) < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dim", [1, 64, 200, 300])
def test_any_dimension(dim):
    got, want = both(rows(20, dim), rows(33, dim, seed=1), None, 0.1, Form())
    close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_loss_on_triton(case, monkeypatch):
    inputs = {
        name: (x.float() if x.is_floating_point() else x).to(DEVICE)
        for name, (x, _) in inputs_of(case, 12).items()
    }

    def run(choose):
        monkeypatch.setattr(ops, "_auto", choose)
        learned = {
            n: x.clone().requires_grad_() if x.is_floating_point() and x.ndim > 1 else x
            for n, x in inputs.items()
        }
        loss = case.loss(**learned)
        loss.backward()
        return loss.detach(), [x.grad for x in learned.values() if x.grad is not None]

    def choose(anchors, candidates, form):
        return dense if form.hardest else ops._triton()

    close(run(choose), run(lambda *_: dense), rtol=1e-4, atol=1e-5)


def test_what_it_cannot_do_is_said():
    x = rows(4, 3)
    with pytest.raises(ValueError, match="has no hardest"):
        info_nce(x, x, hardest=2, impl="triton")
    with pytest.raises(TypeError, match="16- or 32-bit"):
        info_nce(x.double(), x.double(), impl="triton")

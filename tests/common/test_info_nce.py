"""ops.info_nce against loops, in value and gradient, for every form and implementation."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tests.common import oracle
from tests.common.info_nce_cases import FORMS, example, options
from tspcrep.common import ops
from tspcrep.common.errors import UserError
from tspcrep.common.losses import InfoNCE, moco, nt_xent
from tspcrep.common.ops import Form, info_nce, relations, tiled
from tspcrep.common.pairs import Pairs

IMPLS = ["dense", "tiled"]


def rows(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(params=["one tile", "many tiles", "masks", "masks and lists"])
def tiles(request, monkeypatch):
    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", 1 << 24 if request.param == "one tile" else 250)
    if request.param.startswith("masks"):
        monkeypatch.setattr(relations, "LISTED", 0 if request.param == "masks" else 2)
        monkeypatch.setitem(tiled.BLOCK_BYTES, "cpu", 100)


@st.composite
def problems(draw):
    """Ids such that every anchor has a positive and a negative."""
    batch, extra = draw(st.integers(2, 7)), draw(st.integers(0, 5))
    count = 2 * batch + extra
    ids = st.integers(-1, 3)

    def pair(elements):
        side = [draw(st.lists(elements, min_size=n, max_size=n)) for n in (batch, count)]
        return side[0], side[1]

    group = pair(ids)
    row = (list(range(batch)), list(range(count))) if draw(st.booleans()) else None
    ignore = pair(ids) if draw(st.booleans()) else None
    value = band = None
    if draw(st.booleans()):
        value = pair(st.integers(-8, 8).map(lambda x: x / 4))
        band = draw(st.sampled_from([None, 0.0, 0.5]))
    fields = dict(row=row, group=None if band is not None else group, ignore=ignore, value=value)
    fields["band"] = band
    number = st.integers(-8, 8).map(lambda x: x / 4)
    log_weight = draw(st.none() | st.lists(number, min_size=count, max_size=count))
    relation = oracle.relation_of(**fields)
    kept = [i for i in range(batch) if {"+", "-"} <= {relation(i, j) for j in range(count)}]
    return fields, log_weight, kept, batch, count


@pytest.mark.parametrize("form", FORMS, ids=str)
@settings(max_examples=25, deadline=None)
@given(problem=problems(), seed=st.integers(0, 99), temperature=st.sampled_from([0.1, 1.0]))
def test_equals_loops(form, problem, seed, temperature):
    fields, log_weight, kept, batch, count = problem
    if not kept:
        return
    anchors, candidates = rows(batch, 3, seed=seed), rows(count, 3, seed=seed + 1)
    relation = oracle.relation_of(**fields)
    value = fields["value"]
    weight = value and (lambda i, j: 1 + abs(value[0][kept[i]] - value[1][j]))
    expected = oracle.info_nce(
        anchors[kept].tolist(),
        candidates.tolist(),
        lambda i, j: relation(kept[i], j),
        temperature,
        form,
        weight,
        log_weight,
    )

    def tensors(pair, dtype):
        if pair is None:
            return None
        return torch.tensor(pair[0], dtype=dtype)[kept], torch.tensor(pair[1], dtype=dtype)

    pairs = Pairs(
        row=tensors(fields["row"], torch.int64),
        group=tensors(fields["group"], torch.int64),
        ignore=tensors(fields["ignore"], torch.int64),
        value=tensors(fields["value"], torch.float64),
        band=fields["band"],
        log_weight=log_weight and torch.tensor(log_weight, dtype=torch.float64),
    )
    for impl in IMPLS:
        got = info_nce(
            anchors[kept], candidates, pairs, temperature,
            positives=form.positives, denominator=form.denominator, hardest=form.hardest,
            reduction="none", impl=impl,
        )  # fmt: skip
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gradients_and_their_gradients(form, reduction, tiles):
    pairs, weight = example(), torch.arange(1.0, 7.0)
    anchors, candidates = rows(6, 3).requires_grad_(), rows(15, 3, seed=1).requires_grad_()
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    for impl in IMPLS:

        def loss(a, c, t, impl=impl):
            return info_nce(
                a, c, pairs, t, **options(form), weight=weight, reduction=reduction, impl=impl
            )

        inputs = (anchors, candidates, temperature)
        assert torch.autograd.gradcheck(loss, inputs, fast_mode=impl == "dense")
        assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize("impl", IMPLS)
def test_second_derivative_of_rows_against_themselves(impl, tiles):
    def step(scale):  # one step of gradient descent, then the loss: a derivative of a derivative
        z = scale * start + torch.zeros_like(start, requires_grad=True)
        loss = info_nce(z, z, Pairs.views(8), 0.5, impl=impl)
        (slope,) = torch.autograd.grad(loss, z, create_graph=True)
        moved = z - 0.5 * slope
        return info_nce(moved, moved, Pairs.views(8), 0.5, impl="dense")

    start, scale = rows(16, 4), torch.tensor(1.0, dtype=torch.float64)
    (got,) = torch.autograd.grad(step(learned := scale.clone().requires_grad_()), learned)
    expected = (step(scale + 1e-5) - step(scale - 1e-5)).detach() / 2e-5
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def test_a_third_derivative_is_refused_not_wrong():
    z = rows(6, 3).requires_grad_()
    first, *_ = torch.autograd.grad(info_nce(z, z, impl="tiled"), z, create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivative"):
        torch.autograd.grad(first.square().sum(), z, create_graph=True)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("temperature", [0.05, 0.02, 0.01])
def test_positives_far_above_their_negatives_have_gradients(impl, temperature):
    # The end of a training that went well: logits 40, 100 and 200 apart.
    z = torch.zeros(40, 8)
    z[:20, 0], z[20:, 0] = 1, -1
    z = torch.nn.functional.normalize(z + 0.05 * rows(40, 8, dtype=torch.float32), dim=-1)
    pairs, grads, seconds = Pairs.labels(torch.arange(40) // 20), [], []
    for x, which in ((z, impl), (z.double(), "dense")):
        x = x.clone().requires_grad_()
        loss = info_nce(x, x, pairs, temperature, denominator="own", impl=which)
        loss.backward(retain_graph=True)
        grads.append(x.grad.double())
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        seconds.append(torch.autograd.grad(first.sum(), x)[0].double())
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-36)
    torch.testing.assert_close(*seconds, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("labels", [1, 2, 400])
def test_memory_is_that_of_a_tile_whatever_the_labels(labels, monkeypatch):
    class Largest(TorchDispatchMode):
        bytes = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.bytes = max(self.bytes, result.numel() * result.element_size())
            return result

    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", 1 << 18)
    z = rows(800, 16, dtype=torch.float32).requires_grad_()
    pairs = Pairs.labels(torch.arange(800) % labels)
    with Largest() as largest:
        info_nce(z, z, pairs, positives="mean", impl="tiled").backward()
    assert largest.bytes <= 1 << 18  # the whole matrix has ten times as many


@pytest.mark.parametrize("impl", IMPLS)
def test_log_weights_learn(impl, tiles):
    inputs = rows(2, 6, 3), rows(2, 15, 3, seed=1), rows(15, seed=2), torch.tensor(0.5).double()
    inputs = tuple(x.requires_grad_() for x in inputs)

    def loss(a, c, log_weight, temperature):
        return info_nce(a, c, replace(example(), log_weight=log_weight), temperature, impl=impl)

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize("impl", IMPLS)
def test_log_weights_correct_sampled_candidates_to_the_full_softmax(impl):
    # Two candidates drawn with probability q: over all draws the mean denominator is the full one.
    a, c, q = rows(3, 4), rows(5, 4, seed=1), torch.tensor([0.1, 0.3, 0.2, 0.25, 0.15]).double()
    total = torch.zeros(3).double()
    for drawn in itertools.product(range(5), repeat=2):
        drawn = torch.tensor(drawn)
        unlike = torch.full((3,), -1), torch.full((2,), -1)
        pairs = Pairs(group=unlike, log_weight=-(2 * q[drawn]).log())
        part = info_nce(a, c[drawn], pairs, 0.5, positives="none", reduction="none", impl=impl)
        total += q[drawn].prod() * part.exp()
    torch.testing.assert_close(total, (a @ c.T / 0.5).exp().sum(1))


def test_log_weights_of_16_bit_rows_keep_their_digits():
    a, c = rows(6, 8, dtype=torch.bfloat16), rows(9, 8, seed=1, dtype=torch.bfloat16)
    log_weight = 10 * rows(9, seed=2, dtype=torch.float32)
    wide = [
        x.double() for x in ops._with_log_weight(a, c, log_weight, 1 / 0.07)
    ]  # as a GPU multiplies them
    expected = a.double() @ c.double().T / 0.07 + log_weight.double()
    torch.testing.assert_close(wide[0] @ wide[1].T / 0.07, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("impl", IMPLS)
def test_leading_dimensions_are_independent_problems(impl, tiles):
    anchors, candidates = rows(2, 3, 6, 4), rows(2, 3, 15, 4, seed=1)
    shared = example()
    group = torch.randint(0, 2, (2, 3, 15), generator=torch.Generator().manual_seed(3))
    own = Pairs(group=(group[..., :6], group), row=shared.row)
    for pairs in (shared, own):
        got = info_nce(anchors, candidates, pairs, 0.5, reduction="none", impl=impl)
        for g in itertools.product(range(2), range(3)):
            part = pairs if pairs is shared else Pairs.labels(group[g])
            if pairs is own:
                part = Pairs(group=(group[g][:6], group[g]), row=shared.row)
            one = info_nce(anchors[g], candidates[g], part, 0.5, reduction="none", impl="dense")
            torch.testing.assert_close(got[g], one)
        whole = info_nce(anchors, candidates, pairs, 0.5, impl=impl)
        torch.testing.assert_close(whole, got.mean())


@pytest.mark.parametrize("form", [FORMS[0], Form("mean", "own")], ids=str)
def test_16_bit_tiles_are_near_float64(form, tiles):
    # What a GPU runs; on a CPU, info_nce widens the rows first.
    unit = [torch.nn.functional.normalize(rows(n, 8, seed=n), dim=-1) for n in (6, 15)]
    found = []
    for dtype in (torch.bfloat16, torch.float64):
        a, c = (x[None].bfloat16().to(dtype).requires_grad_() for x in unit)
        related = relations.Relations.of(example(), a[0], c[0])
        tiled.mean(a, c, related, 5.0, form, torch.full((1, 6), 1 / 6)).backward()
        found.append((a.grad.double(), c.grad.double()))
    torch.testing.assert_close(*found, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("temperature", [0.05, torch.tensor(0.05)], ids=["number", "tensor"])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_the_float32_loss_of_the_rounded_rows(dtype, impl, temperature):
    anchors, candidates = rows(64, 16, dtype=torch.float32), rows(64, 16, dtype=torch.float32)
    a = torch.nn.functional.normalize(anchors, dim=-1).to(dtype).requires_grad_()
    c = torch.nn.functional.normalize(candidates, dim=-1).to(dtype).requires_grad_()
    exact_a, exact_c = (x.detach().double().requires_grad_() for x in (a, c))
    loss = info_nce(a, c, None, temperature, impl=impl)
    exact = info_nce(exact_a, exact_c, None, temperature, impl="dense")
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact)
    loss.backward()
    exact.backward()
    for low, high in ((a, exact_a), (c, exact_c)):
        assert low.grad.dtype == dtype
        torch.testing.assert_close(low.grad, high.grad.to(dtype))


def test_no_gradient_where_none_is_asked():
    a, c = rows(6, 3).requires_grad_(), rows(15, 3, seed=1)
    loss = info_nce(a, c, example(), impl="tiled")
    loss.backward()
    assert a.grad is not None and c.grad is None
    with torch.no_grad():
        again = info_nce(a, c, example(), impl="tiled")
    assert again == loss and not again.requires_grad


@pytest.mark.parametrize("impl", IMPLS)
def test_gradients_scale_with_what_follows(impl):
    a, c = rows(6, 3).requires_grad_(), rows(15, 3, seed=1).requires_grad_()
    one = torch.autograd.grad(info_nce(a, c, example(), impl=impl), (a, c))
    many = torch.autograd.grad(-1024 * info_nce(a, c, example(), impl=impl), (a, c))
    torch.testing.assert_close(many, tuple(-1024 * g for g in one))


def test_float16_keeps_gradients_that_a_scaler_would_save():
    # A mean over many anchors has gradients far below float16's least number.
    g = torch.Generator().manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(2048, 8, generator=g), dim=-1)
    low, exact = z.half().requires_grad_(), z.half().double().requires_grad_()
    (2.0**16 * info_nce(low, low, Pairs.views(1024), 0.5, impl="tiled")).backward()
    (2.0**16 * info_nce(exact, exact, Pairs.views(1024), 0.5, impl="tiled")).backward()
    torch.testing.assert_close(low.grad, exact.grad.half(), rtol=2e-3, atol=1e-2)


def test_autocast_changes_nothing():
    a, c = rows(8, 4, dtype=torch.float32), rows(8, 4, seed=1, dtype=torch.float32)
    plain = info_nce(a, c, None, 0.05, impl="tiled")
    with torch.autocast("cpu", torch.bfloat16):
        assert info_nce(a, c, None, 0.05, impl="tiled") == plain


def test_a_tensor_of_temperatures_is_one_an_anchor():
    a, c, t = rows(5, 4), rows(9, 4, seed=1), torch.linspace(0.1, 1, 5, dtype=torch.float64)
    got = info_nce(a, c, None, t, reduction="none")
    for i in range(5):
        one = info_nce(a, c, None, float(t[i]), reduction="none")[i]
        torch.testing.assert_close(got[i], one)


def test_row_order_does_not_matter():
    a, c, pairs = rows(6, 3), rows(15, 3, seed=1), example()
    p, q = torch.randperm(6), torch.randperm(15)
    fields = {n: getattr(pairs, n) for n in ("row", "group", "ignore", "value")}
    shuffled = Pairs(**{name: (x[p], y[q]) for name, (x, y) in fields.items()})
    torch.testing.assert_close(info_nce(a[p], c[q], shuffled), info_nce(a, c, pairs))


def test_far_logits_neither_overflow_nor_vanish():
    a = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    for impl in IMPLS:
        loss = info_nce(a, -a, None, 0.01, impl=impl, reduction="none")
        torch.testing.assert_close(loss, torch.tensor([1e10, 1e10]))


def test_nt_xent_is_cross_entropy_without_the_diagonal():
    first, second = rows(5, 4), rows(5, 4, seed=1)
    z = torch.nn.functional.normalize(torch.cat([first, second]), dim=-1)
    logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    target = (torch.arange(10) + 5) % 10
    expected = torch.nn.functional.cross_entropy(logits, target)
    torch.testing.assert_close(nt_xent(first, second), expected)


def test_moco_is_cross_entropy_of_key_and_queue():
    q, k, queue = rows(5, 4), rows(5, 4, seed=1), rows(8, 4, seed=2)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (q, k, queue)]
    logits = torch.cat([(unit[0] * unit[1]).sum(-1, keepdim=True), unit[0] @ unit[2].T], 1) / 0.07
    expected = torch.nn.functional.cross_entropy(logits, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(moco(q, k, queue), expected)


def test_module_normalises_unless_told():
    a, c = rows(5, 4), rows(5, 4, seed=1)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (a, c)]
    torch.testing.assert_close(InfoNCE(0.2)(a, c), info_nce(*unit, None, 0.2))
    torch.testing.assert_close(InfoNCE(0.2, unit=False)(a, c), info_nce(a, c, None, 0.2))


GOOD = dict(anchors=torch.ones(3, 2), candidates=torch.ones(4, 2))
LABELS = torch.tensor([0, 1, 2])
ONE = torch.ones(3, dtype=torch.int64)
NAN = torch.tensor([[0.0, 1.0], [2.0, torch.nan], [0.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(anchors=[1.0]), TypeError, "anchors is a list"),
        (dict(anchors=torch.ones(3, 2, dtype=torch.int64)), TypeError, "anchors has dtype"),
        (dict(anchors=torch.ones(3)), ValueError, r"anchors has shape \(3,\)"),
        (dict(anchors=torch.ones(0, 2)), UserError, r"anchors has shape \(0, 2\).*empty batch"),
        (dict(candidates=torch.ones(4, 3)), ValueError, r"candidates have shape \(4, 3\)"),
        (dict(candidates=torch.ones(4, 2).double()), TypeError, "candidates have dtype"),
        (dict(candidates=torch.ones(4, 2, device="meta")), ValueError, "candidates are on meta"),
        (dict(candidates=NAN), UserError, "candidates row 1 is not finite"),
        (dict(anchors=torch.full((3, 2), torch.inf)), UserError, "anchors row 0 is not finite"),
        (dict(anchors=torch.full((3, 2), 1e38)), UserError, "temperature of anchor 0 overflow"),
        (dict(temperature=1e-39), UserError, "temperature of anchor 0 overflow torch.float32"),
        (dict(temperature=torch.tensor(1e-39)), UserError, "temperature of anchor 0 overflow"),
        (
            dict(
                anchors=torch.full((3, 2), 2e4).half(),
                candidates=torch.ones(4, 2).half(),
                temperature=torch.tensor(1e-36),
            ),
            UserError,
            "temperature of anchor 0 overflow",
        ),
        (dict(pairs=Pairs(log_weight=[0.0])), TypeError, "pairs.log_weight is a list"),
        (dict(pairs=Pairs(log_weight=torch.ones(3))), ValueError, r"log_weight has shape \(3,\)"),
        (
            dict(pairs=Pairs(log_weight=torch.full((4,), -torch.inf))),
            UserError,
            "pairs.log_weight holds a number that is not finite",
        ),
        (
            dict(pairs=Pairs(group=(LABELS, torch.tensor([2**63] * 4, dtype=torch.uint64)))),
            ValueError,
            r"pairs.group\[candidates\] holds an id of 2\^63 or more",
        ),
        (dict(candidates=torch.ones(2, 2)), ValueError, "2 candidates for 3 anchors"),
        (dict(temperature=0), ValueError, "temperature is 0"),
        (dict(temperature=-1.0), ValueError, "temperature is -1.0"),
        (dict(temperature=float("nan")), ValueError, "temperature is nan"),
        (dict(temperature=torch.tensor(0.0)), ValueError, "temperature is 0.0"),
        (dict(temperature=torch.ones(4)), ValueError, r"temperature has shape \(4,\)"),
        (dict(weight=torch.ones(4)), ValueError, r"weight has shape \(4,\)"),
        (dict(weight=torch.tensor([1.0, -1.0, 1.0])), ValueError, "weight holds a negative"),
        (dict(positives="most"), ValueError, "positives is 'most'"),
        (dict(denominator="none"), ValueError, "denominator is 'none'"),
        (dict(denominator="own", positives="sum"), ValueError, "denominator='own'"),
        (dict(hardest=0), ValueError, "hardest is 0"),
        (dict(reduction="sum"), ValueError, "reduction is 'sum'"),
        (dict(impl="fast"), ValueError, "impl is 'fast'"),
        (
            dict(pairs=Pairs(group=(LABELS, LABELS))),
            ValueError,
            r"pairs.group\[candidates\] has sh",
        ),
        (dict(pairs=Pairs(row=(LABELS, [0]))), TypeError, r"pairs.row\[candidates\] is a list"),
        (
            dict(pairs=Pairs(group=(LABELS, torch.zeros(4)))),
            TypeError,
            r"pairs.group\[candidates\] has dtype torch.float32",
        ),
        (
            dict(pairs=Pairs(group=(LABELS, torch.tensor([0, 2, 0, 2])))),
            ValueError,
            r"anchor 1 has no positive among the candidates \(1 of 3",
        ),
        (
            dict(pairs=Pairs(group=(LABELS, torch.tensor([0, 1, -1, -1])))),
            ValueError,
            "anchor 2 has no positive",
        ),
        (
            dict(
                pairs=Pairs(group=(LABELS * 0, torch.zeros(4, dtype=torch.int64))),
                denominator="negatives",
            ),
            ValueError,
            "anchor 0 has no candidate left",
        ),
        (
            dict(candidates=torch.ones(3, 2), denominator="own", pairs=Pairs(ignore=(ONE, ONE))),
            ValueError,
            "anchor 0 has no candidate left",
        ),
        (dict(pairs=Pairs(band=1.0)), ValueError, "pairs.band needs pairs.value"),
        (
            dict(pairs=Pairs(value=(torch.ones(3), torch.ones(4)), band=-1.0)),
            ValueError,
            "pairs.band is -1.0",
        ),
        (
            dict(pairs=Pairs(value=(torch.ones(3), torch.full((4,), torch.inf)))),
            ValueError,
            r"pairs.value\[candidates\] holds a value that is not finite",
        ),
    ],
)
def test_bad_input_is_named(change, error, words):
    with pytest.raises(error, match=words):
        info_nce(**{**GOOD, **change})


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.bool, torch.int8, torch.int16, torch.int32),
        *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    ],
)
def test_ids_of_any_integer_type(dtype):
    z, labels = rows(9, 4), torch.arange(9) % (2 if dtype == torch.bool else 3)
    torch.testing.assert_close(
        info_nce(z, z, Pairs.labels(labels.to(dtype))), info_nce(z, z, Pairs.labels(labels))
    )

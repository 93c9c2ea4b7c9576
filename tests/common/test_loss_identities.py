"""The limit identities that the losses' docstrings state, and the parts with drawn numbers."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from tests.common import loss_cases
from tspcrep.common import losses
from tspcrep.common.errors import UserError
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def pair():
    return rows(8, 5), rows(8, 5, seed=1)


close = torch.testing.assert_close


def test_mv_info_nce_apart_with_two_views_is_nt_xent(pair):
    close(losses.mv_info_nce(torch.stack(pair), 0.2, joint=False), losses.nt_xent(*pair, 0.2))


def test_mv_info_nce_joint_is_nt_xent_where_denominators_agree_and_else_more(pair):
    first = pair[0]
    mirror = first @ torch.linalg.qr(rows(5, 5, seed=2)).Q  # same cosines within the view
    both = torch.stack([first, first])  # equal views: equal denominators
    close(losses.mv_info_nce(both, 0.2), losses.nt_xent(first, first, 0.2))
    apart = losses.nt_xent(first, mirror, 0.2)
    assert losses.mv_info_nce(torch.stack([first, mirror]), 0.2) > apart


def test_mv_dhel_with_two_views_is_dhel(pair):
    unit = [normalize(x, dim=-1) for x in pair]
    own = torch.eye(8, dtype=torch.bool)
    spread = [(u @ u.T / 0.3).masked_fill(own, -torch.inf).logsumexp(1) for u in unit]
    expected = (spread[0] + spread[1] - (unit[0] * unit[1]).sum(1) / 0.3).mean()
    close(losses.mv_dhel(torch.stack(pair), 0.3), expected)
    close(losses.dhel(*pair), expected)


def test_mv_dhel_of_eight_collapsed_views_is_right_in_float32():
    start = torch.ones(8, 64, 16) + 1e-4 * torch.randn(8, 64, 16)
    loss = losses.mv_dhel(start, 0.1)
    exact = losses.mv_dhel(start.double(), 0.1)
    assert abs(float(loss) / float(exact) - 1) < 1e-5
    # All cosines 1: eight times log(63 e^10) minus log(28 e^10).
    assert float(exact) == pytest.approx(8 * (math.log(63) + 10) - math.log(28) - 10, abs=1e-4)


def test_hard_quantile_with_the_whole_row_is_nt_xent(pair):
    close(losses.hard_info_nce(*pair, 0.3, fraction=1.0), losses.nt_xent(*pair, 0.3))
    assert losses.hard_info_nce(*pair, 0.3, fraction=0.2) < losses.nt_xent(*pair, 0.3)


def test_dcl_plus_the_positives_term_is_nt_xent(pair):
    z = normalize(torch.cat(pair), dim=-1)
    each = info_nce(z, z, Pairs.views(8), 0.2, denominator="negatives", reduction="none")
    close(each.mean(), losses.dcl(*pair, 0.2))
    close(each.exp().log1p().mean(), losses.nt_xent(*pair, 0.2))


def test_dclw_tends_to_dcl(pair):
    close(losses.dclw(*pair, 0.2, sigma=1e9), losses.dcl(*pair, 0.2))
    close(losses.DCL(0.2, sigma=0.5)(*pair), losses.dclw(*pair, 0.2))


def test_dclw_weights_are_constants(pair):
    first, second = (x.clone().requires_grad_() for x in pair)
    losses.dclw(first, second, 0.2).backward()
    a, b = (x.clone().requires_grad_() for x in pair)
    score = (normalize(a, dim=-1) * normalize(b, dim=-1)).sum(1)
    extra = 1 - 8 * (score.detach() / 0.5).softmax(0)  # w - 1
    (losses.dcl(a, b, 0.2) - (extra * score / 0.2).mean()).backward()
    close((first.grad, second.grad), (a.grad, b.grad))


def test_moco_with_the_batchs_other_keys_as_queue_is_info_nce(pair):
    q, k = pair
    for i in range(8):
        rest = torch.cat([k[:i], k[i + 1 :]])
        one = losses.moco(q[i : i + 1], k[i : i + 1], rest, 0.2)
        unit = normalize(q, dim=-1), normalize(k, dim=-1)
        close(one, info_nce(*unit, None, 0.2, reduction="none")[i])


def test_moco_of_perfect_keys_leaves_out_their_own_in_the_queue(pair):
    x, ids = pair[0], torch.arange(8)
    queue, held = x.repeat(4, 1), ids.repeat(4)  # every sample four times
    got = losses.moco(x, x, queue, 0.1, (ids, held))
    logits = normalize(x, dim=-1) @ normalize(x, dim=-1).T / 0.1
    others = logits + torch.full((8, 8), math.log(4)).fill_diagonal_(0)  # own key: once
    close(got, (others.logsumexp(1) - logits.diagonal()).mean())
    close(losses.moco(x, x, queue, 0.1, (ids, held + 8)), losses.moco(x, x, queue, 0.1))


def test_a_float32_queue_serves_bf16_queries(pair):
    q, k = (x.bfloat16() for x in pair)
    queue = rows(20, 5, seed=2).float()
    assert losses.moco(q, k, queue).isfinite()
    assert losses.prototype_contrast(q, torch.arange(8), queue).isfinite()


def test_moco_gives_keys_and_queue_no_gradient(pair):
    q, k = (x.requires_grad_() for x in pair)
    queue = rows(20, 5, seed=2).requires_grad_()
    losses.moco(q, k, queue).backward()
    assert q.grad is not None and k.grad is None and queue.grad is None


def test_cacr_without_weights_is_mean_distances():
    views = rows(3, 6, 5)
    u = normalize(views, dim=-1)
    near = [(u[a] - u[b]).square().sum(-1).mean() for a in range(3) for b in range(3) if a != b]
    far = [
        (u[a][:, None] - u[b]).square().sum(-1)[~torch.eye(6, dtype=torch.bool)].mean()
        for a in range(3)
        for b in range(3)
        if a != b
    ]
    expected = 2 * torch.stack(near).mean() - torch.stack(far).mean()
    close(losses.cacr(views, 0.0, 0.0), expected - torch.stack(near).mean())


def test_cacr_with_constant_weights_has_dcls_repulsion(pair):
    views = torch.stack(pair).requires_grad_()
    losses.cacr(views, 0.0, 1.5, detach_weights=True).backward()
    other = torch.stack(pair).requires_grad_()
    u = normalize(other, dim=-1)
    own = torch.eye(8, dtype=torch.bool)
    logits = (2 * 1.5 * u[0] @ u[1].T).masked_fill(own, -torch.inf)  # temperature 1 / (2 * 1.5)
    spread = (logits.logsumexp(0).mean() + logits.logsumexp(1).mean()) / 2
    ((u[0] - u[1]).square().sum(-1).mean() + spread / 1.5).backward()
    close(views.grad, other.grad)


def test_cacr_does_not_depend_on_the_order_of_views():
    views = rows(4, 6, 5)
    close(losses.cacr(views[[2, 0, 3, 1]]), losses.cacr(views))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint16])
def test_sup_con_skips_lonely_rows_as_anchors_and_keeps_them_as_negatives(dtype):
    z, labels = rows(6, 5), torch.tensor([0, 0, 7, 1, 1, 1]).to(dtype)
    assert losses.lonely_rows(labels).tolist() == [False, False, True, False, False, False]
    s = normalize(z, dim=-1) @ normalize(z, dim=-1).T / 0.1
    expected = []
    for i in (0, 1, 3, 4, 5):
        rest = torch.tensor([j for j in range(6) if j != i])
        own = [j for j in range(6) if j != i and labels[j] == labels[i]]
        expected.append(s[i, rest].logsumexp(0) - s[i, own].mean())
    close(losses.sup_con(z, labels, 0.1, skip_lonely=True), torch.stack(expected).mean())
    whole = torch.tensor([0, 0, 1, 1, 2, 2]).to(dtype)
    close(losses.SupCon(skip_lonely=True)(z, whole), losses.sup_con(z, whole))
    unlabelled = torch.tensor([-1, -1, 0, 0, -1, 3])
    assert losses.lonely_rows(unlabelled).tolist() == [True, True, False, False, True, True]
    with pytest.raises(UserError, match="no two of 6 rows with the same label"):
        losses.sup_con(z, torch.arange(6), skip_lonely=True)


def test_sup_con_with_one_label_a_sample_is_nt_xent(pair):
    labels = torch.arange(8).repeat(2)
    close(losses.sup_con(torch.cat(pair), labels, 0.2), losses.nt_xent(*pair, 0.2))


def test_soft_info_nce_of_one_hot_memberships_is_sup_con(pair):
    labels = torch.arange(16) % 3
    one_hot = torch.nn.functional.one_hot(labels)
    z = torch.cat(pair)
    close(losses.soft_info_nce(z, one_hot, 0.2), losses.sup_con(z, labels, 0.2))


def test_tree_memberships_count_the_common_path():
    paths = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    m = losses.tree_memberships(paths)
    expected = torch.tensor([[3, 2, 1, 0], [2, 3, 1, 0], [1, 1, 3, 0], [0, 0, 0, 3]]) / 3
    close(m @ m.T, expected)


def test_supremix_without_mixtures_is_weighted_sup_con(pair):
    z, values = torch.cat(pair), torch.arange(16) % 4 * 1.0
    labels = values.long()
    plain = losses.supremix(z, values, 0.3, mixtures=0)
    u, row = normalize(z, dim=-1), torch.arange(16)
    weighted = Pairs(row=(row, row), group=(labels, labels), value=(values, values))
    close(plain, info_nce(u, u, weighted, 0.3))


def test_supremix_with_mixtures_is_one_softmax_over_rows_and_mixtures(pair):
    from tspcrep.common.losses.supremix import _negative_mixtures, _positive_mixtures

    z, values, temperature, band = torch.cat(pair), rows(16, seed=3).sort().values, 0.3, 0.4
    z = z[torch.arange(16) // 2]  # neighbours of targets, so that each anchor has a positive
    values = values[torch.arange(16) // 2 * 2]
    loss = losses.supremix(z, values, temperature, band, 5.0, 3, torch.Generator().manual_seed(0))
    u, generator = normalize(z, dim=-1), torch.Generator().manual_seed(0)
    negative, far, has_far = _negative_mixtures(u, values, band, 3, generator)
    between, has_both = _positive_mixtures(u, values, band, 5.0, 3, generator)
    expected = []
    for i in range(16):
        push, pull = [], []
        for j in range(16):
            if j == i:
                continue
            logit = float(u[i] @ u[j]) / temperature
            gap = abs(float(values[i] - values[j]))
            (pull if gap <= band else push).append((logit, 1 if gap <= band else 1 + gap))
        for m in range(3):
            if has_far[i]:
                push.append((float(u[i] @ negative[i, m]) / temperature, 1 + float(far[i, m])))
            if has_both[i]:
                pull.append((float(u[i] @ between[i, m]) / temperature, 1))
        bottom = loss_cases.lse(x + math.log(w) for x, w in push + pull)
        expected.append(loss_cases.mean(bottom - x for x, _ in pull))
    assert float(loss) == pytest.approx(loss_cases.mean(expected), rel=1e-10)


def test_supremix_mixtures_have_the_targets_they_should():
    from tspcrep.common.losses.supremix import _negative_mixtures, _positive_mixtures

    values = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # Embeddings that are their targets, on a line: a mixture then shows its target.
    z = torch.stack([values, torch.ones_like(values)], 1)
    generator = torch.Generator().manual_seed(0)
    negative, far, has_far = _negative_mixtures(z, values, 0.1, 50, generator)
    seen = negative[..., 0] / negative[..., 1]
    close((seen - values[:, None]).abs(), far)
    assert has_far.all() and (far > 0).all()
    between, has_both = _positive_mixtures(z, values, 0.1, 0.5, 50, generator)
    seen = between[..., 0] / between[..., 1]
    close(seen[has_both], values[has_both, None].expand(-1, 50))
    order = values.sort().values
    inner = (values > order[0] + 0.1) & (values < order[-1] - 0.1)
    assert not has_both[~inner].any() and has_both.sum() > 20


def test_intent_contrast_without_shared_intents_is_nt_xent(pair):
    for intents in (torch.arange(8), torch.full((8,), -1)):
        close(losses.intent_contrast(*pair, intents, 0.2), losses.nt_xent(*pair, 0.2))


def test_prototypes_that_are_rows_are_info_nce(pair):
    got = losses.prototype_contrast(pair[0], torch.arange(8), pair[1], 0.2)
    close(got, losses.InfoNCE(0.2)(*pair))


def test_k_means_finds_separate_bundles():
    centres = torch.eye(4).double()
    truth = torch.arange(80) % 4
    z = centres[truth] + 0.05 * rows(80, 4)
    assignment, centroids = losses.spherical_k_means(
        z, 4, generator=torch.Generator().manual_seed(0)
    )
    assert len(set(zip(truth.tolist(), assignment.tolist(), strict=True))) == 4
    close(centroids.norm(dim=1), torch.ones(4).double())
    with pytest.raises(ValueError, match="clusters is 81"):
        losses.spherical_k_means(z, 81)


def test_mixup_with_weight_one_is_info_nce(pair):
    got = losses.mixup_info_nce(*pair, torch.ones(8), torch.randperm(8), 0.2)
    close(got, losses.InfoNCE(0.2)(*pair))


def test_m3col_with_weight_one_is_symmetric_info_nce(pair):
    x, y = pair
    one, order = torch.ones(8), torch.randperm(8)
    got = losses.m3col(pair, pair, (one, one), (order, order), 0.2)
    close(got, (losses.InfoNCE(0.2)(x, y) + losses.InfoNCE(0.2)(y, x)) / 2)


def test_mixup_fixed_points_keep_both_weights(pair):
    got = losses.mixup_info_nce(*pair, torch.full((8,), 0.3), torch.arange(8), 0.2)
    close(got, losses.InfoNCE(0.2)(*pair))


def test_mixup_follows_its_permutation(pair):
    weights, permutation = losses.draw_mixup(8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(8)
    place = order.argsort()
    close(
        losses.mixup_info_nce(
            pair[0][order], pair[1][order], weights[order], place[permutation[order]]
        ),
        losses.mixup_info_nce(*pair, weights, permutation),
    )


def test_mixup_weights_are_beta():
    weights, _ = losses.draw_mixup(200_000, 0.15, 1.0, torch.Generator().manual_seed(0))
    assert float(weights.mean()) == pytest.approx(0.5, abs=5e-3)
    assert float(weights.var()) == pytest.approx(1 / (4 * (2 * 0.15 + 1)), rel=1e-2)
    assert float((losses.draw_mixup(10_000)[0] == 1).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_joint_entropy_of_a_constant_salient_space_is_that_of_the_common(pair):
    constant = torch.full((8, 3), 7.0, dtype=torch.float64)
    empty = torch.empty(8, 0, dtype=torch.float64)
    close(losses.joint_entropy(pair[0], constant), losses.joint_entropy(pair[0], empty))


def test_sep_clr_without_weights_is_alignment_and_uniformity(pair):
    target = torch.arange(8) < 4
    got = losses.sep_clr(pair, (rows(8, 3), rows(8, 3)), target, 0.5, 0.0, 0.0, 0.0)
    u = [normalize(x, dim=-1) for x in pair]
    spread = [(-torch.pdist(x).square()).exp().mean().log() for x in u]
    close(got, (u[0] - u[1]).square().sum(1).mean() + spread[0] + spread[1])


def test_gates_of_one_are_info_nce_against_own_negatives():
    a, k = normalize(rows(9, 5), dim=-1), normalize(rows(12, 5, seed=1), dim=-1)
    own, other, keys = torch.arange(9) % 3, torch.arange(9) // 3, torch.arange(12) % 4
    got = losses.gated_info_nce(a, k, torch.ones_like(a), (own, other), keys, 0.2)
    count = (other[:, None] == keys).sum(1)
    pairs = Pairs(group=(other, keys), ignore=(own, keys))
    close(got, info_nce(a, k, pairs, 0.2, denominator="own", weight=count))


def test_one_head_of_constant_scale_is_info_nce(pair):
    half = torch.full((1, 8), 2.5, dtype=torch.float64)
    got = losses.multihead_info_nce(pair[0][None], pair[1][None], (half, half), 0.1)
    constant = 0.1 * (5 / 2 * math.log(1 / 5) + 5)
    close(got, losses.InfoNCE(0.2)(*pair) + constant)


MODULES = [
    (losses.InfoNCE(), 2),
    (losses.NTXent(), 2),
    (losses.DCL(), 2),
    (losses.DHEL(), 2),
    (losses.HardInfoNCE(), 2),
    (losses.MVInfoNCE(), "views"),
    (losses.MVDHEL(), "views"),
    (losses.CACR(), "views"),
    (losses.SupCon(), "labels"),
    (losses.SoftInfoNCE(), "memberships"),
    (losses.SupReMix(), "values"),
    (losses.IntentContrast(), "intents"),
    (losses.MoCo(), "queue"),
    (losses.PrototypeContrast(), "prototypes"),
    (losses.MixupInfoNCE(), "mixup"),
    (losses.M3CoL(), "m3col"),
    (losses.SepCLR(), "separated"),
    (losses.GatedInfoNCE(3, 6), "gated"),
    (losses.MultiheadInfoNCE(6, 4), 2),
]


@pytest.mark.parametrize(("module", "kind"), MODULES, ids=lambda x: type(x).__name__)
def test_modules_learn(module, kind):
    torch.manual_seed(0)
    first, second = (torch.randn(12, 6, requires_grad=True) for _ in range(2))
    labels = torch.arange(12) % 3
    arguments = {
        2: (first, second),
        "views": (torch.stack([first, second, first + second]),),
        "labels": (first, labels),
        "memberships": (first, torch.rand(12, 3)),
        "values": (first, labels.float()),
        "intents": (first, second, labels),
        "queue": (first, second, torch.randn(20, 6)),
        "prototypes": (first, labels, torch.randn(4, 6)),
        "mixup": (first, second, torch.rand(12), torch.randperm(12)),
        "m3col": ((first, second), (second, first), *[(torch.rand(12),) * 2, (labels,) * 2]),
        "separated": ((first, second), (second, first), labels > 0),
        "gated": (first, second, labels, labels.roll(1), labels),
    }[kind]
    loss = module(*arguments)
    loss.backward()
    learned = [first, *module.parameters()]
    assert loss.ndim == 0 and all(x.grad is not None and x.grad.isfinite().all() for x in learned)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: losses.nt_xent(a, a[:3]), r"second has shape \(3, 5\)"),
        (lambda a: losses.moco(a, a[:3], a), r"keys has shape \(3, 5\)"),
        (lambda a: losses.moco(a, a, a[:0]), "queue has no rows"),
        (
            lambda a: losses.moco(a, a, a, ids=(torch.arange(8), torch.arange(7))),
            r"ids\[1\] has shape \(7,\)",
        ),
        (lambda a: losses.mv_dhel(a), r"views has shape \(8, 5\)"),
        (lambda a: losses.mv_dhel(a[None]), r"views has shape \(1, 8, 5\)"),
        (lambda a: losses.hard_info_nce(a, a, fraction=0.0), "fraction is 0.0"),
        (lambda a: losses.dclw(a, a, sigma=0.0), "sigma is 0.0"),
        (lambda a: losses.cacr(torch.stack([a, a]), -1.0), "attraction is -1.0"),
        (lambda a: losses.sup_con(a, torch.arange(8)), "anchor 0 has no positive"),
        (lambda a: losses.SupCon()(a, torch.arange(7)), r"labels has shape \(7,\)"),
        (lambda a: losses.soft_info_nce(a, torch.eye(8)), "anchor 0 has no positive"),
        (lambda a: losses.soft_info_nce(a, torch.eye(7)), r"memberships has shape \(7, 7\)"),
        (lambda a: losses.soft_info_nce(a, -torch.ones(8, 2)), "memberships hold a negative"),
        (lambda a: losses.supremix(a, torch.arange(8.0)), "anchor 0 has no positive"),
        (lambda a: losses.supremix(a, torch.ones(7)), r"values has shape \(7,\)"),
        (lambda a: losses.supremix(a, torch.ones(8), mixtures=-1), "mixtures is -1"),
        (lambda a: losses.supremix(a, torch.ones(8), window=0.0), "window is 0.0"),
        (lambda a: losses.intent_contrast(a, a, torch.ones(7)), r"intents has shape \(7,\)"),
        (
            lambda a: losses.prototype_contrast(a, torch.full((8,), 9), a),
            "anchor 0 has no positive",
        ),
        (
            lambda a: losses.mixup_info_nce(a, a, torch.full((8,), 2.0), torch.arange(8)),
            "weights hold a number outside 0 to 1",
        ),
        (
            lambda a: losses.sep_clr((a, a), (a, a), torch.ones(8)),
            "target holds one kind of sample alone",
        ),
        (
            lambda a: losses.gated_info_nce(
                a, a, a[:3], (torch.arange(8), torch.arange(8)), torch.arange(8)
            ),
            r"gates have shape \(3, 5\)",
        ),
        (
            lambda a: losses.gated_info_nce(
                a, a, a, (torch.arange(8), torch.arange(8) + 1), torch.arange(8)
            ),
            "anchor 7 has no positive",
        ),
        (
            lambda a: losses.multihead_info_nce(a[None], a[None], (a[:1], a[:1])),
            r"scales\[0\] has shape \(1, 5\)",
        ),
        (
            lambda a: losses.multihead_info_nce(
                a[None], a[None], (torch.zeros(1, 8), torch.ones(1, 8))
            ),
            r"scales\[0\] holds a number not above 0",
        ),
        (lambda a: losses.MultiheadInfoNCE(5, low=2.0, high=1.0), "high is 1.0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(rows(8, 5))

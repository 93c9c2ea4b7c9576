"""SigLIP, KoLeo and GIST against torch's own losses, closed forms and limits."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from tspcrep.common import losses

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(a, b):
    return normalize(a, dim=-1) @ normalize(b, dim=-1).T


def test_siglip_is_torchs_binary_cross_entropy():
    a, c, labels = rows(8, 5), rows(12, 5, seed=1), (torch.arange(8) % 3, torch.arange(12) % 3)
    same = (labels[0][:, None] == labels[1]).double()
    logits = cosines(a, c) / 0.2 - 3
    expected = binary_cross_entropy_with_logits(logits, same, reduction="sum") / 8
    close(losses.siglip(a, c, 0.2, -3.0, labels), expected)
    one_each = torch.arange(8), torch.arange(12)
    close(losses.siglip(a, c), losses.siglip(a, c, labels=one_each))


def test_siglip_with_a_low_bias_is_attraction_alone():
    a, c = rows(8, 5), rows(8, 5, seed=1)
    attraction = -(normalize(a, dim=-1) * normalize(c, dim=-1)).sum(1).mean() / 0.1
    close(losses.siglip(a, c, bias=-60.0) - 60.0, attraction)


def test_siglip_of_its_module_starts_with_the_papers_numbers_and_learns_both():
    module, a, c = losses.SigLIP(), rows(8, 5), rows(8, 5, seed=1)
    loss = module(a, c)
    close(loss, losses.siglip(a, c), rtol=1e-6, atol=0)
    loss.backward()
    assert module.log_scale.grad != 0 and module.bias.grad != 0
    assert float(module.log_scale.detach().exp()) == pytest.approx(10)


def test_koleo_of_orthogonal_and_of_equal_rows():
    close(losses.koleo(3 * torch.eye(6).double()), torch.tensor(-math.log(2) / 2).double())
    close(losses.koleo(torch.ones(6, 3).double()), torch.tensor(-math.log(1e-8)).double())


def test_koleo_is_the_same_in_blocks_as_by_cdist():
    z = rows(1500, 4)
    u = normalize(z, dim=-1)
    far = torch.cdist(u, u).fill_diagonal_(torch.inf)
    close(losses.koleo(z), -far.min(1).values.log().mean())


def test_koleo_sees_close_pairs_in_float32():
    z = rows(50, 8)
    z = torch.cat([z, z + 1e-5 * rows(50, 8, seed=1)])
    close(losses.koleo(z.float()).double(), losses.koleo(z), rtol=1e-3, atol=0)


def test_guided_info_nce_whose_guide_drops_nobody_is_cross_entropy_of_what_it_compares():
    a, b = rows(8, 5), rows(8, 5, seed=1)
    guides = torch.eye(8).double(), torch.eye(8).double()
    close(losses.guided_info_nce(a, b, *guides, 0.2, within=False), losses.InfoNCE(0.2)(a, b))
    own = torch.eye(8, dtype=torch.bool)
    blocks = [cosines(a, b), *(cosines(x, x).masked_fill(own, -torch.inf) for x in (a, b))]
    expected = cross_entropy(torch.cat(blocks, 1) / 0.2, torch.arange(8))
    close(losses.guided_info_nce(a, b, *guides, 0.2), expected)
    close(losses.guided_info_nce(a, b, a, b, 0.2, margin=-2.0), expected)


def test_a_guide_that_knows_the_labels_leaves_them_out():
    """The guide's cosine is 1 within a label, so with a margin none of it stays."""
    a, b, labels = rows(12, 5), rows(12, 5, seed=1), torch.arange(12) % 4
    guide = torch.nn.functional.one_hot(labels).double()
    got = losses.guided_info_nce(a, b, guide, guide, 0.2, margin=0.1, within=False)
    ignored = (labels[:, None] == labels) & ~torch.eye(12, dtype=torch.bool)
    logits = (cosines(a, b) / 0.2).masked_fill(ignored, -torch.inf)
    close(got, cross_entropy(logits, torch.arange(12)))


def test_a_higher_margin_drops_more_and_the_positive_stays():
    a, b = rows(8, 5), rows(8, 5, seed=1)
    values = [losses.guided_info_nce(a, b, a, b, 0.2, m) for m in (-2.0, -0.3, 0.0, 0.3, 4.0)]
    assert all(x >= y for x, y in pairwise(values)) and values[0] > values[-2]
    close(values[-1], torch.tensor(0.0).double())


def test_the_guide_takes_no_gradient():
    a, b, g, h = (rows(8, 5, seed=s).requires_grad_() for s in range(4))
    losses.GuidedInfoNCE()(a, b, g, h).backward()
    assert a.grad is not None and g.grad is None and h.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    "loss",
    [
        losses.siglip,
        lambda a, b: losses.koleo(a),
        lambda a, b: losses.guided_info_nce(a, b, a, b),
        lambda a, b: losses.bottleneck_contrast(a, b, "pruned"),
        lambda a, b: losses.masked_prediction(a, b, torch.arange(8) < 4, "cosine"),
    ],
)
def test_a_row_of_zeros_gets_no_gradient_from_cosines(loss, dtype):
    a, b = rows(8, 5).to(dtype), rows(8, 5, seed=1).to(dtype)
    a[2] = 0
    a.requires_grad_()
    value = loss(a, b)
    value.backward()
    assert value.isfinite() and a.grad.isfinite().all() and not a.grad[2].any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: losses.siglip(a, a[:3]), "there are 3 candidates, expected 8 or more"),
        (
            lambda a: losses.siglip(a, a, labels=(torch.arange(7), torch.arange(8))),
            r"labels\[0\] has shape \(7,\)",
        ),
        (lambda a: losses.siglip(a[:0], a), r"anchors has shape \(0, 5\)"),
        (lambda a: losses.SigLIP(0.0), "temperature is 0.0"),
        (lambda a: losses.koleo(a[:0]), r"embeddings has shape \(0, 5\)"),
        (lambda a: losses.koleo(a[None]), r"embeddings has shape \(1, 8, 5\)"),
        (lambda a: losses.koleo(a, 0.0), "epsilon is 0.0"),
        (
            lambda a: losses.guided_info_nce(a, a, a[:3], a[:3]),
            r"guide_first has shape \(3, 5\) for rows of shape \(8, 5\)",
        ),
        (lambda a: losses.guided_info_nce(a, a, a / 0, a), "guide_first row 0 is not finite"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(rows(8, 5))

"""Log-weights against networkx, loops of the papers' losses, and exact expectations."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from tspcrep.common import log_weights
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def graph():
    """Two triangles with one link between them, and a node that hangs on the second."""
    edges = torch.tensor([[0, 1], [1, 2], [2, 0], [3, 4], [4, 5], [5, 3], [2, 3], [5, 6]])
    return edges, torch.tensor([0, 0, 0, 1, 1, 1, 2])


def test_community_strength_by_hand():
    strength = log_weights.community_strength(*graph())
    expected = [3 / 8 - (7 / 16) ** 2, 3 / 8 - (8 / 16) ** 2, 0 - (1 / 16) ** 2]
    close(strength, torch.tensor(expected).double())


def test_strengths_sum_to_networkxs_modularity():
    networkx = pytest.importorskip("networkx")
    drawn = networkx.gnp_random_graph(30, 0.2, seed=0)
    edges = torch.tensor(list(drawn.edges))
    weight = rows(len(edges)).abs()
    for (u, v), w in zip(drawn.edges, weight.tolist(), strict=True):
        drawn.edges[u, v]["weight"] = w
    communities = torch.arange(30) % 4
    sets = [set((communities == c).nonzero()[:, 0].tolist()) for c in range(4)]
    expected = networkx.community.modularity(drawn, sets)
    strength = log_weights.community_strength(edges, communities, weight)
    assert float(strength.sum()) == pytest.approx(expected)


def test_team_up_is_the_papers_loss_where_the_anchors_term_cancels():
    edges, communities = graph()
    strength = log_weights.community_strength(edges, communities)
    s, c, g, temperature = rows(7, 7), strength[communities], 0.6, 0.4
    expected = 0.0
    for i in range(7):
        logits = [math.exp((s[i, j] + g * c[i] + g * c[j]) / temperature) for j in range(7)]
        expected -= math.log(logits[i] / sum(logits)) / 7
    w = log_weights.community_log_weight(strength, communities, 560)
    assert float(cross_entropy(s / temperature + w, torch.arange(7))) == pytest.approx(expected)


def test_communities_weigh_nothing_at_first_and_no_more_than_most():
    edges, communities = graph()
    strength = log_weights.community_strength(edges, communities)

    def weight(epoch):
        return log_weights.community_log_weight(strength, communities, epoch)

    close(weight(500), torch.zeros(7).double())
    close(weight(600), strength[communities] / 0.4)
    close(weight(9000), weight(600))


def test_sampled_candidates_stand_for_all_in_expectation():
    """Exactly: the expectation over one draw from q, and over all pairs of draws."""
    logits, q = rows(5), rows(5, seed=1).softmax(0)
    w = log_weights.sampling_log_weight(q)
    close((q * (logits + w).exp()).sum(), logits.exp().sum())
    pair = (((logits + w).exp()[:, None] + (logits + w).exp()) / 2 * q[:, None] * q).sum()
    close(pair, logits.exp().sum())
    uniform = log_weights.sampling_log_weight(torch.full((5,), 0.2).double())
    close(uniform, torch.full((5,), math.log(5)).double())


def test_equal_propensities_weigh_nothing_and_likely_candidates_less():
    half = torch.full((6,), 0.5).double()
    close(log_weights.propensity_log_weight(half, half), torch.zeros(6).double())
    surface = torch.tensor([0.0, 0.2, 0.5, 0.75, 1.0], dtype=torch.float64)
    w = log_weights.propensity_log_weight(surface, surface, floor=0.25)
    assert (w.diff() <= 0).all() and w[0] == w[1]
    close(w.exp().mean(), torch.tensor(1.0).double())
    close((w[0] - w[-1]).exp(), torch.tensor(4.0).double())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda e, c: log_weights.community_strength(e[:0], c), r"edges has shape \(0, 2\)"),
        (lambda e, c: log_weights.community_strength(e, c[:4]), "edges hold nodes 0 to 6"),
        (lambda e, c: log_weights.community_strength(e, c - 1), "communities hold -1"),
        (lambda e, c: log_weights.community_strength(e, c, -torch.ones(8)), "weight holds a neg"),
        (lambda e, c: log_weights.community_strength(e, c, torch.ones(3)), r"weight has shape"),
        (
            lambda e, c: log_weights.community_log_weight(torch.ones(3), c, 9, ramp=0),
            "ramp is 0",
        ),
        (lambda e, c: log_weights.sampling_log_weight(torch.zeros(2)), "probability holds"),
        (
            lambda e, c: log_weights.propensity_log_weight(torch.ones(3), torch.ones(2)),
            r"semantic has shape \(2,\)",
        ),
        (
            lambda e, c: log_weights.propensity_log_weight(2 * torch.ones(3), torch.ones(3)),
            "surface holds a number outside 0 to 1",
        ),
        (
            lambda e, c: log_weights.propensity_log_weight(*torch.ones(2, 3), floor=0.0),
            "floor 0.0",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(*graph())


def test_pairs_take_the_weights_of_communities_and_of_sampling():
    """Team-up's loss over both views, and the softmax over all candidates from a sample of them."""
    edges, communities = graph()
    strength = log_weights.community_strength(edges, communities)
    w = log_weights.community_log_weight(strength, communities, 560)
    z = torch.nn.functional.normalize(rows(2, 7, 4), dim=-1).flatten(0, 1)
    pairs = replace(Pairs.views(7), log_weight=w.repeat(2))
    own = torch.eye(14, dtype=torch.bool)
    logits = (z @ z.T / 0.4 + w.repeat(2)).masked_fill(own, -torch.inf)
    close(info_nce(z, z, pairs, 0.4), cross_entropy(logits, torch.arange(14).roll(7)))

    a, c, q = rows(3, 4), rows(200, 4, seed=1), rows(200, seed=2).softmax(0)
    c[:3] = a
    g = torch.Generator().manual_seed(0)
    drawn = q.multinomial(100_000, replacement=True, generator=g)
    weights = log_weights.sampling_log_weight(q)[drawn] - math.log(len(drawn))
    options = {"positives": "none", "reduction": "none"}
    sampled = info_nce(a, c[drawn], Pairs(log_weight=weights), 1.0, **options)
    close(sampled, info_nce(a, c, None, 1.0, **options), atol=0.1, rtol=0)

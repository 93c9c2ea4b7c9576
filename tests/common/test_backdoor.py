"""A poisoned set of ours: an encoder learns its trigger, and the check finds the rows."""

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from tspcrep.common.backdoor import find_trigger_cluster
from tspcrep.common.losses import nt_xent

LENGTH = 48


def windows(count, poisoned, seed=0):
    """Noisy waves of four kinds and any phase; the first ``poisoned`` carry a trigger, a short
    burst that every augmentation leaves alone."""
    g = torch.Generator().manual_seed(seed)
    kind = torch.arange(count) % 4
    phase = 6.28 * torch.rand(count, 1, generator=g)
    time = torch.arange(LENGTH) / LENGTH
    x = torch.sin(6.28 * (kind[:, None] + 1) * time + phase)
    x += 0.3 * torch.randn(count, LENGTH, generator=g)
    x[:poisoned, 20:26] = 3 * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    return x


def trained(x, poisoned, steps=150):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(LENGTH, 64), nn.ReLU(), nn.Linear(64, 16))
    optimiser = torch.optim.Adam(encoder.parameters(), 3e-3)
    g = torch.Generator().manual_seed(1)

    def view(rows):
        scale = 0.7 + 0.6 * torch.rand(len(rows), 1, generator=g)
        out = scale * x[rows] + 0.3 * torch.randn(len(rows), LENGTH, generator=g)
        # BLTO's trigger is made so that poisoned samples are alike under all augmentations: the
        # positive of one is any of them.
        hit = rows < poisoned
        other = torch.randint(max(poisoned, 1), (len(rows),), generator=g)
        return torch.where(hit[:, None], x[other] + 0.3 * torch.randn(out.shape, generator=g), out)

    for _ in range(steps):
        rows = torch.randint(len(x), (128,), generator=g)
        optimiser.zero_grad()
        nt_xent(encoder(view(rows)), encoder(view(rows)), 0.2).backward()
        optimiser.step()
    return encoder(x).detach()


@pytest.mark.parametrize("poisoned", [16, 32])
def test_the_poisoned_rows_are_found_and_later_ones_lie_at_their_centre(poisoned):
    x = windows(800, poisoned)
    found = find_trigger_cluster(trained(x, poisoned), x)
    hits = int((found.rows < poisoned).sum())
    assert hits >= 0.8 * poisoned and hits >= 0.9 * len(found.rows)
    close_ones = normalize(trained(x, poisoned), dim=-1) @ found.centre
    assert close_ones[:poisoned].mean() > close_ones[poisoned:].mean() + 0.3


def test_nothing_is_found_in_clean_data():
    x = windows(800, 0)
    found = find_trigger_cluster(trained(x, 0), x)
    assert len(found.rows) == 0 and not found.centre.any()


def test_an_untrained_encoder_has_no_trigger():
    x = windows(800, 16)
    assert len(find_trigger_cluster(trained(x, 16, steps=0), x).rows) == 0


def planted():
    g = torch.Generator().manual_seed(0)
    x, z = torch.randn(400, 10, generator=g), torch.randn(400, 8, generator=g)
    z[50:62] = z[50] + 1e-3 * torch.randn(12, 8, generator=g)
    return z, x


def test_planted_rows_are_found_exactly_wherever_they_lie():
    z, x = planted()
    assert find_trigger_cluster(z, x).rows.tolist() == list(range(50, 62))
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).Q
    moved = find_trigger_cluster(5 * z @ turn, 3 * x + 7)
    assert moved.rows.tolist() == list(range(50, 62))
    torch.testing.assert_close(
        moved.scores, find_trigger_cluster(z, x).scores, rtol=1e-2, atol=1e-2
    )


def test_rows_that_are_alike_already_are_no_trigger():
    """Repeated windows lie together because their inputs do."""
    z, x = planted()
    x[50:62] = x[50] + 1e-3 * torch.randn(12, 10, generator=torch.Generator().manual_seed(2))
    assert len(find_trigger_cluster(z, x).rows) == 0


def test_a_cluster_of_a_class_is_too_large():
    z, x = planted()
    assert len(find_trigger_cluster(z, x, most=0.02).rows) == 0
    assert len(find_trigger_cluster(z, x, neighbours=12).rows) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 400}, "neighbours is 400, expected 1 to 399"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"most": 2.0}, "most 2.0"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        find_trigger_cluster(*planted(), **options)


def test_bad_rows_are_named():
    z, x = planted()
    with pytest.raises(ValueError, match=r"inputs has shape \(3, 10\)"):
        find_trigger_cluster(z, x[:3])
    z[7, 2] = torch.nan
    with pytest.raises(ValueError, match="embeddings row 7 is not finite"):
        find_trigger_cluster(z, x)

"""FCGF: engines agree, published size, features of length 1, training."""

import pytest
import torch
from torch.nn import functional as F

from pcrep.encoders.fcgf import FCGF, FCGFConfig, resunet_bn2c
from pcrep.sparse import SparseTensor
from tests.pcrep.clouds import close, cloud, features, rows
from tests.pcrep.networks import engines
from tspcrep.common.errors import UserError

SMALL = FCGFConfig(in_channels=2, dim=8, encoder=(8, 12, 16), decoder=(16, 12, 8))


def run(engine):
    torch.manual_seed(0)
    net = FCGF(SMALL).double()
    coordinates = cloud(3, points=800, batch=2, extent=16)
    x = features(coordinates, 2)
    y = net(SparseTensor(coordinates, x, engine=engine))
    (y.features @ torch.arange(8.0).double()).square().sum().backward()
    return rows(y), x.grad, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("engine", engines())
def test_engines_agree(engine):
    found, expected = run(engine), run("torch")
    close(found[0], expected[0], 1e-9)
    close(found[1], expected[1], 1e-9)
    scale = max(g.abs().max() for g in expected[2])
    for a, b in zip(found[2], expected[2], strict=True):
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-9 * float(scale))


@pytest.mark.parametrize("kernel, millions", [(7, 8.76), (5, 8.75)])
def test_size_counted_from_the_layers(kernel, millions):
    def block(d):
        return 2 * 27 * d * d + 4 * d

    count = kernel**3 * 32 + 2 * 32 + block(32)
    for c, d in ((32, 64), (64, 128), (128, 256)):
        count += 27 * c * d + 2 * d + block(d)
    for c, d in ((256, 128), (128 + 128, 64), (64 + 64, 64)):
        count += 27 * c * d + 2 * d + block(d)
    count += (64 + 32) * 64 + 64 * 32 + 32
    assert sum(p.numel() for p in FCGF(resunet_bn2c(kernel)).parameters()) == count
    assert round(count / 1e6, 2) == millions


def test_features_have_length_one_unless_told_otherwise():
    coordinates = cloud(5)
    ones = torch.ones(len(coordinates), 1)
    torch.manual_seed(0)
    y = FCGF()(SparseTensor(coordinates, ones))
    assert torch.equal(y.coordinates, coordinates) and y.features.shape[1] == 32
    assert torch.allclose(y.features.norm(dim=1), torch.ones(len(y)), atol=1e-6)

    torch.manual_seed(0)
    raw = FCGF(FCGFConfig(normalise=False))(SparseTensor(coordinates, ones))
    expected = raw.features / raw.features.norm(dim=1, keepdim=True)
    assert torch.allclose(y.features, expected, atol=1e-6)


def test_moved_by_the_coarsest_stride_the_features_are_the_same():
    torch.manual_seed(0)
    net = FCGF(SMALL).double().eval()
    coordinates = cloud(6)
    moved = coordinates + torch.tensor([0, 4, -8, 12], dtype=torch.int32)
    x = features(coordinates, 2).detach()
    close(net(SparseTensor(moved, x)).features, net(SparseTensor(coordinates, x)).features, 1e-12)


def test_training_matches_two_scans():
    """InfoNCE between the features of a scan and of its thinned copy."""
    torch.manual_seed(0)
    net = FCGF(FCGFConfig(dim=16, encoder=(8, 16, 16), decoder=(16, 16, 16)))
    coordinates = cloud(7, points=300, batch=1, extent=8)
    kept = torch.rand(len(coordinates)) < 0.8
    scan = SparseTensor(coordinates, torch.ones(len(coordinates), 1))
    copy = SparseTensor(coordinates[kept], torch.ones(int(kept.sum()), 1))
    same = torch.arange(len(copy))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        similar = net(copy).features @ net(scan).features[kept].T
        loss = F.cross_entropy(similar / 0.1, same)
        optimiser.zero_grad()
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"encoder": (8, 8)}, "encoder is .8, 8. and decoder .64, 32, 32, 32., expected equally"),
        ({"encoder": (8,), "decoder": (8,)}, "at least two"),
        ({"dim": 0}, "numbers of at least 1"),
    ],
)
def test_bad_configurations(settings, said):
    with pytest.raises(UserError, match=said):
        FCGFConfig(**settings)


def test_bad_channels():
    coordinates = cloud(8)
    with pytest.raises(ValueError, match="expects 1 channels, found 3"):
        FCGF()(SparseTensor(coordinates, torch.ones(len(coordinates), 3)))

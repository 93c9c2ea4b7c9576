"""SparseUNet: engines agree, files keep it, published sizes, compiling."""

import pytest
import torch
from torch import nn

from pcrep.encoders.unet import SparseUNet, UNetConfig, load_encoder, res16unet, save_encoder
from pcrep.sparse import Conv, SparseTensor
from tests.pcrep.clouds import close, cloud, features, rows
from tests.pcrep.networks import engines
from tspcrep.common import weights
from tspcrep.common.errors import UserError

SMALL = UNetConfig(
    stem=8, encoder=(8, 16), decoder=(16, 8), encoder_blocks=(1, 2), decoder_blocks=(2, 1)
)


def run(engine, seed=0):
    torch.manual_seed(seed)
    net = SparseUNet(SMALL).double()
    coordinates = cloud(3, points=800, batch=2, extent=20)
    x = features(coordinates, 3)
    y = net(SparseTensor(coordinates, x, engine=engine))
    y.features.square().sum().backward()
    return rows(y), x.grad, [p.grad for p in net.parameters()]


@pytest.mark.parametrize("engine", engines())
def test_engines_agree(engine):
    found, expected = run(engine), run("torch")
    close(found[0], expected[0], 1e-9)
    close(found[1], expected[1], 1e-9)
    for a, b in zip(found[2], expected[2], strict=True):
        assert torch.allclose(a, b, rtol=1e-7, atol=1e-9 * float(expected[2][0].abs().max()))


def test_published_sizes():
    # Parameters of SpatioTemporalSegmentation's encoders without the final layer, counted by hand
    # from its channels: every 3 x 3 x 3 kernel is 27 C D, every 2 x 2 x 2 one 8 C D.
    def count(config):
        total = config.stem_kernel**3 * config.in_channels * config.stem + 2 * config.stem
        skips, width = [], config.stem
        for d, n in zip(config.encoder, config.encoder_blocks, strict=True):
            skips.append(width)
            total += 8 * width * width + 2 * width + block(width, d) + (n - 1) * block(d, d)
            width = d
        for d, n in zip(config.decoder, config.decoder_blocks, strict=True):
            inner = d + skips.pop()
            total += 8 * width * d + 2 * d + block(inner, d) + (n - 1) * block(d, d)
            width = d
        return total

    def block(c, d):
        return 27 * c * d + 27 * d * d + 4 * d + (c * d + 2 * d if c != d else 0)

    for name in ("14A", "18B", "34C"):
        config = res16unet(name)
        found = sum(p.numel() for p in SparseUNet(config).parameters())
        assert found == count(config)
    assert SparseUNet(res16unet("34C")).dim == 96


def test_save_and_load(tmp_path):
    net = SparseUNet(SMALL)
    save_encoder(tmp_path / "encoder.safetensors", net)
    again = load_encoder(tmp_path)  # a run folder holds the file under this name
    assert again.config == SMALL and not again.training
    coordinates = cloud(5)
    x = SparseTensor(coordinates, features(coordinates, 3, torch.float32).detach())
    assert torch.equal(net.eval()(x).features, again(x).features)


def test_load_another_kind(tmp_path):
    weights.save_encoder(tmp_path / "e.safetensors", nn.Linear(1, 1), "DilatedConv", {})
    with pytest.raises(UserError, match="kind DilatedConv, expected SparseUNet"):
        load_encoder(tmp_path / "e.safetensors")


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: UNetConfig(decoder=(1, 2)), "decoder is .1, 2., expected 4 numbers"),
        (lambda: UNetConfig(stem=0), "at least 1"),
        (lambda: res16unet("50A"), "name is '50A', expected one of 14A"),
    ],
)
def test_bad_configurations(make, said):
    with pytest.raises(UserError, match=said):
        make()


# Both are raised inside torch's own compiler.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_dense_parts_compile():
    """The sparse operators stay out of the graph; what is between them is traced."""
    torch.manual_seed(0)
    net = nn.Sequential(Conv(3, 4), Conv(4, 4))
    coordinates = cloud(6)
    f = features(coordinates, 3, torch.float32)

    def dense(values):
        return net[1](net[0](SparseTensor(coordinates, values)).map(torch.relu)).features.sum()

    compiled = torch.compile(dense, backend="eager")
    assert torch.allclose(compiled(f), dense(f))


def test_training_lowers_a_loss():
    torch.manual_seed(0)
    net = SparseUNet(SMALL)
    coordinates = cloud(7, points=600)
    x = features(coordinates, 3, torch.float32).detach()
    target = (coordinates[:, 1] > 0).long()
    head = nn.Linear(net.dim, 2)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-2)
    losses = []
    for _ in range(15):
        loss = nn.functional.cross_entropy(head(net(SparseTensor(coordinates, x)).features), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

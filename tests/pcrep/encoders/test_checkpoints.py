"""Weights of other libraries: there, back, and the same outputs."""

import pytest
import torch
from torch import nn

from pcrep.encoders.checkpoints import _HYBRID, convert, export, res16unet_names
from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.sparse import BatchNorm, Conv, ConvTranspose, SparseTensor
from pcrep.sparse.engines import Geometry
from tests.pcrep.clouds import close, cloud, features
from tspcrep.common.errors import UserError

LIBRARIES = ["minkowski-0.5", "minkowski-0.4", "spconv"]
SMALL = UNetConfig(
    stem=4, encoder=(4, 8), decoder=(8, 4), encoder_blocks=(1, 2), decoder_blocks=(1, 1)
)


def hybrid_offsets():
    """The taps of MinkowskiEngine 0.4's hybrid kernel, by its rule: the centre, then axis by axis
    each tap so far moved one step back and one step on."""
    taps = [(0, 0, 0)]
    for axis in range(3):
        for tap in list(taps):
            for step in (-1, 1):
                moved = list(tap)
                moved[axis] = step
                taps.append(tuple(moved))
    return taps


def test_hybrid_taps():
    published = [(0, 0, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0)]
    published += [(-1, -1, 0), (-1, 1, 0), (1, -1, 0), (1, 1, 0)]
    hybrid = hybrid_offsets()
    assert hybrid[: len(published)] == published
    ones = (1, 1, 1)
    ours = [tuple(o) for o in Geometry((3, 3, 3), ones, ones, ones).offsets().tolist()]
    assert [hybrid[k] for k in _HYBRID] == ours


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("axes", ["xyz", "zyx"])
def test_there_and_back(library, axes):
    torch.manual_seed(0)
    net = SparseUNet(SMALL)
    names = res16unet_names(net)
    theirs = export(net, library, names, axes)
    other = SparseUNet(SMALL)
    other.load_state_dict(convert(theirs, other, library, names, axes))
    for name, value in net.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_names_and_shapes_of_minkowski():
    theirs = export(net := SparseUNet(SMALL), "minkowski-0.5", res16unet_names(net))
    shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    assert shapes["conv0p1s1.kernel"] == (27, 3, 4)
    assert shapes["conv2p2s2.kernel"] == (8, 4, 4)
    assert shapes["block2.0.downsample.0.kernel"] == (4, 8)
    assert shapes["block2.1.conv2.kernel"] == (27, 8, 8)
    assert shapes["convtr2p4s2.kernel"] == (8, 8, 8)
    assert shapes["bntr3.bn.running_mean"] == (4,)
    assert shapes["block4.0.norm1.bn.weight"] == (4,)


def test_only_blocks_are_hybrid():
    new = export(net := SparseUNet(SMALL), "minkowski-0.5")
    old = export(net, "minkowski-0.4")
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed == {
        name for name, v in new.items() if "coder" in name and v.ndim == 3 and len(v) == 27
    }


@pytest.mark.parametrize("axes", ["xyz", "zyx"])
@pytest.mark.parametrize("size", [2, 3])
def test_spconv_layout_is_that_of_a_dense_convolution(size, axes):
    """KRSC moved to conv3d's order convolves a dense grid whose axes are spconv's indices."""
    coordinates = cloud(1, extent=4)
    conv = Conv(3, 5, size, size if size == 2 else 1).double()
    krsc = export(nn.ModuleDict({"c": conv}), "spconv", axes=axes)["c.weight"]
    x = features(coordinates, 3)
    y = conv(SparseTensor(coordinates, x))
    step = conv.stride

    def place(rows, step=1):
        b, *xyz = rows.long().unbind(1)
        return b, *((c + 8) // step for c in (xyz if axes == "xyz" else xyz[::-1]))

    b, i, j, k = place(coordinates)
    dense = torch.zeros(2, 3, 16, 16, 16, dtype=torch.float64)
    dense[b, :, i, j, k] = x.detach()
    weight = krsc.permute(0, 4, 1, 2, 3)
    expected = nn.functional.conv3d(dense, weight, stride=step, padding=1 if size == 3 else 0)
    b, i, j, k = place(y.coordinates, step[0])
    close(y.features, expected[b, :, i, j, k], 1e-9)


class Head(nn.Sequential):
    def __init__(self):
        super().__init__(Conv(3, 4, 1, bias=True), BatchNorm(4), ConvTranspose(4, 4, 1, 2))


def test_one_tap_kernels():
    head = Head()
    theirs = export(head, "minkowski-0.5")
    assert theirs["0.kernel"].shape == (3, 4)
    assert theirs["0.bias"].shape == (1, 4)
    assert theirs["2.kernel"].shape == (1, 4, 4)  # (C, D) only where the stride is 1
    flat = export(head, "spconv")["0.weight"]
    assert flat.shape == (4, 1, 1, 1, 3)
    assert torch.equal(flat.flatten(), head[0].weight.flatten())  # spconv reads it as (C, D)
    assert "1.weight" in export(head, "spconv")


def test_errors_name_the_weight():
    net = SparseUNet(SMALL)
    state = export(net, "minkowski-0.5")
    with pytest.raises(UserError, match=r"state has no conv0p1s1\.kernel for stem"):
        convert(state, net, "minkowski-0.5", res16unet_names(net))
    state["stem.conv.kernel"] = torch.zeros(125, 3, 4)
    with pytest.raises(UserError, match=r"stem.conv.kernel for stem.conv.weight: .*\(125, 3, 4\)"):
        convert(state, net, "minkowski-0.5")
    with pytest.raises(UserError, match="library is 'torchsparse'"):
        convert(state, net, "torchsparse")


def test_minkowski_loads_what_we_export():
    from pcrep.sparse.engines.minkowski import load

    try:
        me = load()
    except ValueError as error:
        pytest.skip(str(error))
    conv = me.MinkowskiConvolution(3, 4, kernel_size=1, stride=1, bias=True, dimension=3)
    conv.load_state_dict(
        {k[2:]: v for k, v in export(Head(), "minkowski-0.5").items() if k.startswith("0.")}
    )


test_minkowski_loads_what_we_export = pytest.mark.filterwarnings(
    "ignore:<class '.*Minkowski:DeprecationWarning"
)(test_minkowski_loads_what_we_export)

"""Parity with spconv 2.3.8: outputs and gradients of a small U-Net, recorded from the real one."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pcrep.encoders.checkpoints import convert
from pcrep.sparse import BatchNorm, Conv, ConvTranspose, SparseTensor, cat

FOLDER = os.environ.get("TSPCREP_GOLDEN")
if FOLDER is None:
    pytest.skip("TSPCREP_GOLDEN names no folder of recorded outputs", allow_module_level=True)


class Net(nn.Module):
    """The recorded network; spconv's padded strided convolution and its inverse."""

    def __init__(self):
        super().__init__()
        self.stem = nn.ModuleList([Conv(6, 16), BatchNorm(16), nn.Identity(), Conv(16, 16)])
        self.down = Conv(16, 32, 3, 2)
        self.mid = nn.ModuleList([Conv(32, 32), BatchNorm(32)])
        self.up = ConvTranspose(32, 16, 3, 2)
        self.head = Conv(32, 8, 1, bias=True)

    def forward(self, x: SparseTensor) -> SparseTensor:
        conv, norm, _, again = self.stem
        x = again(norm(conv(x)).map(torch.relu))
        conv, norm = self.mid
        y = norm(conv(self.down(x))).map(torch.relu)
        return self.head(cat(self.up(y), x))


def sites(indices: torch.Tensor, size: int) -> torch.Tensor:
    """Where spconv's convolution of kernel 3, stride 2 and padding 1 has outputs.

    It keeps every site of the coarse grid of ``size`` that a tap reaches, more than the cells of
    MinkowskiEngine; in our coordinates a site stands at twice its index.
    """
    reached = []
    for x in (-1, 0, 1):
        for y in (-1, 0, 1):
            for z in (-1, 0, 1):
                at = indices - torch.tensor([0, x, y, z])
                at = at[(at[:, 1:] % 2 == 0).all(1)]
                reached.append(at[((at[:, 1:] >= 0) & (at[:, 1:] < 2 * size)).all(1)])
    return torch.unique(torch.cat(reached), dim=0).int()


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_network(engine, dtype):
    case = torch.load(Path(FOLDER) / "spconv238_golden_net.pt", weights_only=True)["cases"][0]
    given, expected = case["input"], case["expect"]
    net = Net().to(dtype)
    net.load_state_dict(convert(case["state_dict"], net, "spconv"))

    indices = given["indices"].int()
    features = given["features"].to(dtype).requires_grad_()
    x = SparseTensor(indices, features, engine=engine)
    x.maps.insert(sites(indices, 16), 2)
    out = net(x).features
    assert torch.equal(expected["out_indices"].int(), indices)
    assert (out - expected["out_features"]).abs().max() <= expected["atol_out"]

    # One activation is 5e-8 from the kink of its ReLU: in float32 rounding decides on which side.
    if dtype == torch.float32:
        return
    out.backward(expected["grad_out"].to(dtype))
    assert (features.grad - expected["grad_input"]).abs().max() <= expected["atol_grad_input"]
    recorded = {name: v["grad"] for name, v in expected["grad_params"].items()}
    recorded = convert({**case["state_dict"], **recorded}, net, "spconv")
    for name, parameter in net.named_parameters():
        error = (parameter.grad - recorded[name]).abs().max()
        assert error <= expected["grad_params"][name.replace(".bn.", ".")]["atol"], name

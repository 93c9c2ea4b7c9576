"""Exported programs: equal to the network on other features, from a file too."""

import operator

import pytest
import torch

from pcrep.encoders.export import export_program
from pcrep.encoders.unet import SparseUNet
from pcrep.sparse import GlobalPool, SparseTensor
from tests.pcrep.clouds import close, cloud, features
from tests.pcrep.networks import TINY


def test_program_equals_network_on_other_features(tmp_path):
    torch.manual_seed(0)
    network = SparseUNet(TINY).eval()
    coordinates = cloud(1, points=200)
    first, other = (features(coordinates, 4, torch.float32, seed).detach() for seed in (0, 1))
    x = SparseTensor(coordinates, first, engine="torch")
    program = export_program(network, x)
    torch.export.save(program, tmp_path / "network.pt2")
    again = torch.export.load(tmp_path / "network.pt2")
    made, loaded = program.module(), again.module()
    for values in (first, other):
        expected = network(SparseTensor(coordinates, values, engine="numba")).features
        close(made(values), expected, 1e-5)
        assert torch.equal(loaded(values), made(values))
    with pytest.raises(AssertionError, match=rf"features.size\(\)\[0\] == {len(x)}"):
        loaded(torch.zeros(len(x) + 1, 4))

    calls = {node.target for node in again.graph.nodes if node.op == "call_function"}
    assert {call.namespace for call in calls - {operator.getitem}} == {"aten"}
    assert torch.ops.aten.nonzero.default not in calls  # the kernel maps are constants

    # Nothing of the tracing is left: the same maps serve a step of training.
    network.train()(x).features.square().mean().backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize(
    "network, engine, said",
    [
        (SparseUNet(TINY).eval(), "numba", "engine 'numba', expected 'torch'"),
        (SparseUNet(TINY).train(), "torch", "training mode.*call .eval"),
        (GlobalPool().eval(), "torch", "returns a Tensor, expected a SparseTensor"),
    ],
)
def test_bad_input(network, engine, said):
    coordinates = cloud(3, points=50)
    x = SparseTensor(coordinates, torch.ones(len(coordinates), 4), engine=engine)
    with pytest.raises(ValueError, match=said):
        export_program(network, x)

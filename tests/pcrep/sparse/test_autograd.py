"""Second derivatives of every engine: right, or an error; never a penalty that vanishes."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from pcrep.sparse import Conv, ConvTranspose, Pool, SparseTensor, Unpool
from pcrep.sparse.engines import Geometry, autograd
from pcrep.sparse.engines.numba import Numba
from pcrep.sparse.reduce import reduce_rows
from tests.pcrep.clouds import close, cloud, features

ENGINES = ["torch", "numba"]
NETWORKS = {
    "conv": lambda: [Conv(2, 3)],
    "strided": lambda: [Conv(2, 3, 3, 2)],
    "there and back": lambda: [Conv(2, 3, 2, 2), ConvTranspose(3, 2, 2, 2, bias=True)],
    "transposed": lambda: [ConvTranspose(2, 2)],
    "average": lambda: [Pool(2), Conv(2, 2)],
    "sum": lambda: [Pool(3, 2, "sum"), Conv(2, 2)],
    "max": lambda: [Pool(3, 2, "max"), Conv(2, 2)],
    "unpooled": lambda: [Pool(2, reduce="sum"), Unpool(2)],
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("network", NETWORKS)
def test_second_derivatives_by_finite_differences(engine, network):
    coordinates = cloud(3, points=12, batch=1, extent=2)
    net = torch.nn.Sequential(*NETWORKS[network]()).double()
    names = [name for name, _ in net.named_parameters()]

    def run(x, *parameters):
        state = dict(zip(names, parameters, strict=True))
        tensor = SparseTensor(coordinates, x, engine=engine)
        return torch.func.functional_call(net, state, (tensor,)).features.sin()

    inputs = (features(coordinates, 2), *net.parameters())
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
def test_second_derivatives_of_rows_with_one_number(reduce):
    number = torch.tensor([2, 0, 2, 3, 0, 2])
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)

    def run(x):
        return reduce_rows(x, number, 5, reduce).sin()

    assert gradcheck(run, (x,)) and gradgradcheck(run, (x,))


def test_the_weight_gradient_by_itself_by_finite_differences():
    coordinates, engine = cloud(4, points=12, batch=1, extent=2), Numba()
    ones, twos = (1,) * 3, (2,) * 3
    engine.insert(coordinates, ones)
    cells = engine.downsample(coordinates, ones, twos)
    kernel_map = engine.kernel_map(Geometry((3,) * 3, ones, twos, ones), coordinates, cells)

    def outer(x, g):
        return autograd._Outer.apply(x, g, kernel_map, engine)

    inputs = features(coordinates, 2), features(cells, 3, seed=1)
    assert gradcheck(outer, inputs) and gradgradcheck(outer, inputs)


def test_a_gradient_penalty_is_equal_on_every_engine():
    coordinates, found = cloud(5), []
    for engine in ENGINES:
        torch.manual_seed(0)
        net = torch.nn.Sequential(Conv(3, 4), Conv(4, 4, 2, 2), Pool(2, reduce="max")).double()
        x = features(coordinates, 3)
        y = net(SparseTensor(coordinates, x, engine=engine)).features
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        slope.square().sum().backward()
        found.append(net[0].weight.grad)
    assert found[0].norm() > 1
    close(found[1], found[0], 1e-12)


def test_a_kernel_without_second_derivative_says_so():
    x = torch.ones(3, requires_grad=True)
    y = autograd.once(x * x, "a package")
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    assert slope.tolist() == [2, 2, 2]
    with pytest.raises(NotImplementedError, match="a package with create_graph=True"):
        torch.autograd.grad(y.sum(), x, create_graph=True)

"""Voxels that layers make, prune and join: live parity with MinkowskiEngine 0.5.4's own modules."""

import pytest
import torch

from pcrep.sparse import ConvTranspose, SparseTensor, prune, union
from pcrep.sparse.engines.minkowski import load
from tests.pcrep.clouds import by_voxel, close, cloud, features

try:
    ME = load()
except ValueError as error:
    pytest.skip(str(error), allow_module_level=True)

# Code of 2021: it makes instances of autograd functions and calls constructors that torch retired.
pytestmark = pytest.mark.filterwarnings(
    "ignore:<class '.*Minkowski:DeprecationWarning", "ignore:torch.sparse.SparseTensor:UserWarning"
)

ENGINES = ["torch", "numba", "minkowski"]


def same(ours, theirs, inputs, relative=1e-9):
    """Equal voxels and features by voxel, and equal gradients of pairs (ours, theirs)."""
    found, expected = by_voxel(ours.coordinates, ours.features), by_voxel(theirs.C, theirs.F)
    assert torch.equal(found[:, :4], expected[:, :4])
    close(found, expected, relative)
    for values in (found, expected):
        (values[:, 4:] * values[:, 1:2]).sum().backward()
    for a, b in inputs:
        close(a.grad, b.grad.view_as(a), relative)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "kernel, stride, tensor_stride",
    [(2, 2, 2), (2, 2, 8), (3, 2, 2), (4, 2, 2), (5, 2, 4), (3, 1, 2)],
)
def test_generative_convolution(engine, kernel, stride, tensor_stride):
    coordinates = cloud(kernel, points=120, extent=5, stride=tensor_stride)
    theirs = ME.MinkowskiGenerativeConvolutionTranspose(
        3, 4, kernel_size=kernel, stride=stride, dimension=3
    ).double()
    ours = ConvTranspose(3, 4, kernel, stride, generate=True).double()
    with torch.no_grad():
        ours.weight.copy_(theirs.kernel.view_as(ours.weight))
    a, b = features(coordinates, 3), features(coordinates, 3)
    y = ours(SparseTensor(coordinates, a, tensor_stride, engine=engine))
    z = theirs(ME.SparseTensor(b, coordinates, tensor_stride=tensor_stride))
    assert list(y.stride) == z.tensor_stride
    same(y, z, [(a, b), (ours.weight, theirs.kernel)])


@pytest.mark.parametrize("engine", ENGINES)
def test_pruning(engine):
    coordinates = cloud(1)
    keep = torch.rand(len(coordinates), generator=torch.Generator().manual_seed(0)) < 0.4
    a, b = features(coordinates, 3), features(coordinates, 3)
    y = prune(SparseTensor(coordinates, a, engine=engine), keep)
    same(y, ME.MinkowskiPruning()(ME.SparseTensor(b, coordinates), keep), [(a, b)])


@pytest.mark.parametrize("engine", ENGINES)
def test_union_of_two_clouds(engine):
    first, second = cloud(2), cloud(3)
    a, b, c, d = (
        features(rows, 3, seed=s) for rows, s in [(first, 0), (first, 0), (second, 1), (second, 1)]
    )
    y = union(*(SparseTensor(r, f, engine=engine) for r, f in ((first, a), (second, c))))
    x = ME.SparseTensor(b, first)
    z = ME.MinkowskiUnion()(x, ME.SparseTensor(d, second, coordinate_manager=x.coordinate_manager))
    same(y, z, [(a, b), (c, d)])

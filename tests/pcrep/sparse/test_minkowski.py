"""Live parity with MinkowskiEngine 0.5.4: its own modules against ours, forward and gradients."""

import pytest
import torch

from pcrep.sparse import (
    BatchNorm,
    Conv,
    ConvTranspose,
    DepthwiseConv,
    Field,
    GlobalPool,
    InstanceNorm,
    Pool,
    SparseTensor,
    Unpool,
    interpolate,
)
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

RELATIVE = {torch.float32: 1e-4, torch.float64: 1e-9}
ENGINES = ["torch", "numba", "minkowski"]
DTYPES = [torch.float32, torch.float64]


def conv(theirs, ours, c, d, **settings):
    """MinkowskiEngine's module and ours with the same weights."""
    settings = {"bias": True, **settings}
    a, b = theirs(c, d, dimension=3, **settings), ours(c, d, **settings)
    with torch.no_grad():
        b.weight.copy_(a.kernel.view_as(b.weight))
        if settings["bias"]:
            b.bias.copy_(a.bias[0])
    return a, b


def kernel_gradients(theirs, ours):
    """Pairs of gradients of the same parameter."""
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        yield a.grad.view_as(b), b.grad


def check(pair_of_modules, coordinates, channels, dtype, engine, stride=1):
    """Both modules on the same cloud: outputs by voxel, input gradient, parameter gradients."""
    theirs, ours = (m.to(dtype) for m in pair_of_modules)
    tolerance = RELATIVE[dtype]
    f_theirs, f_ours = (
        features(coordinates, channels, dtype),
        features(coordinates, channels, dtype),
    )
    x = ME.SparseTensor(f_theirs, coordinates, tensor_stride=stride)
    y = theirs(x)
    z = ours(SparseTensor(coordinates, f_ours, stride, engine=engine))
    assert list(z.stride) == y.tensor_stride
    expected, found = by_voxel(y.C, y.F), by_voxel(z.coordinates, z.features)
    axes = coordinates.shape[1]
    assert torch.equal(expected[:, :axes], found[:, :axes])
    expected, found = expected[:, axes:], found[:, axes:]
    close(found, expected, tolerance)

    generator = torch.Generator().manual_seed(1)
    g = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(dtype)
    (expected * g).sum().backward()
    (found * g).sum().backward()
    close(f_ours.grad, f_theirs.grad, tolerance)
    for a, b in kernel_gradients(theirs, ours):
        close(b, a, tolerance)


class Chain(torch.nn.Sequential):
    """Down and up again: the transposed layer lands on the voxels that the first one left."""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "kernel_size, stride, dilation, tensor_stride",
    [
        (1, 1, 1, 1),
        (1, 2, 1, 1),
        (2, 1, 1, 1),
        (2, 2, 1, 1),
        (2, 2, 1, 4),
        (3, 1, 1, 1),
        (3, 1, 2, 1),
        (3, 1, 1, 8),
        (3, 1, 3, 2),
        (3, 2, 1, 1),
        (3, 2, 2, 2),
        (3, 3, 1, 1),
        (4, 4, 1, 1),
        (4, 2, 1, 2),
        (5, 1, 1, 1),
        (3, 8, 1, 1),
        (2, 8, 2, 1),
    ],
)
def test_conv(engine, dtype, kernel_size, stride, dilation, tensor_stride):
    modules = conv(
        ME.MinkowskiConvolution,
        Conv,
        5,
        7,
        kernel_size=kernel_size,
        stride=stride,
        dilation=dilation,
    )
    coordinates = cloud(kernel_size * 10 + stride, stride=tensor_stride)
    check(modules, coordinates, 5, dtype, engine, tensor_stride)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [(3, 32), (16, 48), (33, 20), (64, 96)])
def test_channels_that_do_and_do_not_fill_vectors(engine, dtype, channels):
    modules = conv(ME.MinkowskiConvolution, Conv, *channels, kernel_size=3)
    check(modules, cloud(3, points=900), channels[0], dtype, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "down, up",
    [
        ((2, 2, 1), (2, 2, 1)),  # the map of the first, walked the other way
        ((3, 2, 1), (3, 2, 1)),
        ((2, 2, 1), (3, 2, 1)),  # a map of its own
        ((3, 4, 1), (2, 2, 1)),
        ((2, 8, 1), (8, 8, 1)),
        ((2, 1, 1), (3, 1, 1)),  # stride 1
        ((2, 1, 1), (2, 1, 2)),
        ((2, 2, 1), (3, 2, 2)),
    ],
)
def test_conv_transpose(engine, dtype, down, up):
    names = ("kernel_size", "stride", "dilation")
    down, up = (dict(zip(names, v, strict=True)) for v in (down, up))
    first = conv(ME.MinkowskiConvolution, Conv, 4, 6, **down)
    last = conv(ME.MinkowskiConvolutionTranspose, ConvTranspose, 6, 5, **up)
    if down["stride"] > up["stride"]:  # leave voxels on the way for the transposed layer
        middle = conv(ME.MinkowskiConvolution, Conv, 4, 4, kernel_size=2, stride=2)
        theirs, ours = zip(
            middle,
            conv(ME.MinkowskiConvolution, Conv, 4, 6, kernel_size=3, stride=2),
            last,
            strict=True,
        )
    else:
        theirs, ours = zip(first, last, strict=True)
    check((Chain(*theirs), Chain(*ours)), cloud(7), 4, dtype, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
@pytest.mark.parametrize("kernel_size, stride", [(2, 2), (3, 3), (8, 8), (3, 2), (3, 1), (2, 1)])
def test_pool(engine, dtype, reduce, kernel_size, stride):
    theirs = {
        "sum": ME.MinkowskiSumPooling,
        "average": ME.MinkowskiAvgPooling,
        "max": ME.MinkowskiMaxPooling,
    }[reduce](kernel_size=kernel_size, stride=stride, dimension=3)
    check((theirs, Pool(kernel_size, stride, reduce)), cloud(11), 6, dtype, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_unpool(engine, dtype):
    theirs = Chain(
        ME.MinkowskiSumPooling(kernel_size=2, stride=2, dimension=3),
        ME.MinkowskiPoolingTranspose(kernel_size=2, stride=2, dimension=3),
    )
    check((theirs, Chain(Pool(2, reduce="sum"), Unpool(2))), cloud(12), 3, dtype, engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
def test_global_pool(engine, dtype, reduce):
    theirs = {
        "sum": ME.MinkowskiGlobalSumPooling,
        "average": ME.MinkowskiGlobalAvgPooling,
        "max": ME.MinkowskiGlobalMaxPooling,
    }[reduce]()
    coordinates = cloud(13, batch=3)
    a, b = features(coordinates, 4, dtype), features(coordinates, 4, dtype)
    pooled = theirs(ME.SparseTensor(a, coordinates))
    expected = by_voxel(pooled.C, pooled.F)[:, 4:]  # its rows come in any order
    found = GlobalPool(reduce)(SparseTensor(coordinates, b, engine=engine))
    close(found, expected, RELATIVE[dtype])
    expected.square().sum().backward()
    found.square().sum().backward()
    close(b.grad, a.grad, RELATIVE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm(dtype):
    theirs, ours = ME.MinkowskiBatchNorm(6), BatchNorm(6)
    check((theirs, ours), cloud(14), 6, dtype, "numba")
    for name, value in theirs.state_dict().items():
        close(ours.state_dict()[name].double(), value.double(), RELATIVE[dtype])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reduce", ["average", "sum"])
def test_field(engine, reduce):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(500, 3, generator=generator) * 8 - 4
    index = torch.arange(2).repeat_interleave(250)[:, None]
    coordinates = torch.cat([index, points], 1)
    f = features(coordinates, 3, torch.float32)
    mode = {
        "average": ME.SparseTensorQuantizationMode.UNWEIGHTED_AVERAGE,
        "sum": ME.SparseTensorQuantizationMode.UNWEIGHTED_SUM,
    }[reduce]
    field = ME.TensorField(f.detach(), coordinates, quantization_mode=mode)
    expected = field.sparse()
    ours = Field(coordinates, f)
    found = ours.sparse(reduce, engine=engine)
    a, b = by_voxel(expected.C, expected.F), by_voxel(found.coordinates, found.features)
    assert torch.equal(a[:, :4], b[:, :4])
    close(b, a, 1e-5)
    if reduce == "average":  # it slices no other
        close(ours.slice(found), expected.slice(field).F, 1e-5)


def test_strided_coordinates_are_cells_of_existing_inputs():
    coordinates = torch.tensor([[0, -1, 0, 0], [0, -4, 0, 0], [0, 3, 0, 0]], dtype=torch.int32)
    x = SparseTensor(coordinates, torch.ones(3, 1), engine="numba")
    assert Pool(2)(x).coordinates[:, 1].tolist() == [-2, -4, 2]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "dimension, kernel_size, stride, dilation",
    [
        (3, (1, 3, 5), 1, 1),
        (3, (3, 1, 2), (2, 1, 2), 1),
        (3, (2, 3, 3), (1, 2, 4), (1, 2, 1)),
        (2, 3, 2, 1),
        (2, (3, 5), 1, 2),
        (4, 3, 1, 1),
        (4, 2, 2, 1),
        (4, (3, 3, 3, 1), (1, 1, 1, 2), 1),
    ],
)
def test_conv_along_each_axis(engine, dimension, kernel_size, stride, dilation):
    settings = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    theirs = ME.MinkowskiConvolution(5, 7, dimension=dimension, **lists)
    ours = Conv(5, 7, dimension=dimension, **settings)
    with torch.no_grad():
        ours.weight.copy_(theirs.kernel.view_as(ours.weight))
    extent = 12 if dimension < 4 else 3
    coordinates = cloud(31, dimension=dimension, extent=extent)
    check((theirs, ours), coordinates, 5, torch.float64, engine)


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("kernel_size, stride", [(3, 1), (2, 2)])
def test_depthwise_conv(engine, kernel_size, stride):
    theirs = ME.MinkowskiChannelwiseConvolution(
        6, kernel_size=kernel_size, stride=stride, dimension=3
    )
    ours = DepthwiseConv(6, kernel_size, stride)
    with torch.no_grad():
        ours.weight.copy_(theirs.kernel.view_as(ours.weight))
    check((theirs, ours), cloud(33), 6, torch.float64, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_dilated_pool(engine):
    theirs = ME.MinkowskiMaxPooling(kernel_size=3, stride=1, dilation=2, dimension=3)
    check((theirs, Pool(3, 1, "max", dilation=2)), cloud(34), 6, torch.float64, engine)


def test_instance_norm():
    check((ME.MinkowskiInstanceNorm(6), InstanceNorm(6)), cloud(35), 6, torch.float32, "numba")


def test_interpolation_in_the_midst_of_voxels():
    """Where all eight voxels are there, MinkowskiEngine's weights sum to one, as ours do."""
    axis = torch.arange(-2, 3)
    grid = torch.cartesian_prod(torch.zeros(1, dtype=torch.int64), axis, axis, axis).int()
    generator = torch.Generator().manual_seed(0)
    f, points = features(grid, 3), torch.rand(50, 4, generator=generator) * 3.9 - 2
    points[:, 0] = 0
    theirs = ME.MinkowskiInterpolation()(ME.SparseTensor(f, grid), points.double())
    points[:, 1:] += 0.5  # its features are at the low corner
    close(interpolate(SparseTensor(grid, f), points.double()), theirs, 1e-6)

"""Every CPU engine against plain loops in float64, on clouds that vary."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.sparse import Conv, ConvTranspose, Pool, SparseTensor
from pcrep.sparse.engines import create
from tests.pcrep.clouds import close, cloud, features, taps

ENGINES = ["torch", "numba"]


def convolve(inputs, outputs, x, weight, kernel, step):
    """The definition: for each output and tap, look the neighbour up."""
    at = {tuple(c): i for i, c in enumerate(inputs.tolist())}
    out = np.zeros((len(outputs), weight.shape[2]))
    for o, (b, *xyz) in enumerate(outputs.tolist()):
        for k, offset in enumerate(taps(kernel)):
            i = at.get((b, *(np.array(xyz) + offset * step)))
            if i is not None:
                out[o] += x[i] @ weight[k]
    return out


@st.composite
def cases(draw):
    """A cloud of two to four axes, and kernel, stride and dilation along each."""
    dimension = draw(st.sampled_from([2, 3, 3, 4]))
    coordinates = cloud(
        draw(st.integers(0, 2**16)),
        points=draw(st.integers(1, 60)),
        batch=1,
        extent=draw(st.sampled_from([1, 2, 4, 1000])),
        dimension=dimension,
    )

    def sizes(most):
        size = st.integers(1, most)
        return draw(st.one_of(size, st.tuples(*[size] * dimension)))

    return coordinates, sizes(4 if dimension < 4 else 3), sizes(3), sizes(2)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40, deadline=None)
@given(
    case=cases(),
    channels=st.tuples(st.integers(1, 18), st.integers(1, 35)),
)
def test_conv(engine, case, channels):
    coordinates, kernel, stride, dilation = case
    axes = coordinates.shape[1] - 1
    conv = Conv(*channels, kernel, stride, dilation, dimension=axes).double()
    x = features(coordinates, channels[0])
    y = conv(SparseTensor(coordinates, x, engine=engine))
    expected = convolve(
        coordinates,
        y.coordinates,
        x.detach().numpy(),
        conv.weight.detach().numpy(),
        conv.kernel_size,
        conv.dilation,
    )
    assert np.allclose(y.features.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    steps = [1, *conv.stride]
    cells = np.unique(coordinates.numpy() // steps * steps, axis=0)
    assert np.array_equal(np.unique(y.coordinates.numpy(), axis=0), cells)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("build", [
    lambda: [Conv(3, 5)],
    lambda: [Conv(3, 4, 2)],
    lambda: [Conv(3, 5, 3, 2), ConvTranspose(5, 4, 3, 2)],
    lambda: [Conv(3, 5, 2, 2), ConvTranspose(5, 2, 2, 2, bias=True)],
    lambda: [ConvTranspose(3, 2)],
    lambda: [Pool(2)],
    lambda: [Pool(3, 2, "max")],
])  # fmt: skip
def test_gradients_by_finite_differences(engine, build):
    coordinates = cloud(2, points=25, extent=2)
    net = torch.nn.Sequential(*build()).double()
    names = [name for name, _ in net.named_parameters()]

    def run(x, *parameters):
        tensor = SparseTensor(coordinates, x, engine=engine)
        state = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(net, state, (tensor,)).features

    assert torch.autograd.gradcheck(run, (features(coordinates, 3), *net.parameters()))


@pytest.mark.parametrize("channels", [(4, 32), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numba_is_bit_equal_whatever_the_threads(channels, dtype):
    coordinates = cloud(4, points=4000, extent=15)
    conv = Conv(*channels).to(dtype)
    runs = []
    before = torch.get_num_threads()
    for threads in (1, 2, 1):
        torch.set_num_threads(threads)
        x = features(coordinates, channels[0], dtype)
        conv.zero_grad()
        y = conv(SparseTensor(coordinates, x, engine="numba")).features
        assert torch.get_num_threads() == threads  # numba's pool would set it to all cores
        y.backward(features(coordinates, channels[1], dtype, seed=1).detach())
        runs.append((y.detach(), x.grad, conv.weight.grad.clone()))
    torch.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(run, runs[0], strict=True))


def test_kernel_maps_are_made_once_and_swapped_by_the_decoder():
    coordinates = cloud(5)
    x = SparseTensor(coordinates, features(coordinates, 4), engine="numba")
    made = []
    make = x.maps.engine.kernel_map
    x.maps.engine.kernel_map = lambda geometry, *grids: (
        made.append(geometry) or make(geometry, *grids)
    )
    block, down, up = (
        Conv(4, 4).double(),
        Conv(4, 4, 2, 2).double(),
        ConvTranspose(4, 4, 2, 2).double(),
    )
    up(block(down(block(block(x)))))
    assert len(made) == 3  # 3 x 3 x 3 at strides 1 and 2, 2 x 2 x 2 between them


@pytest.mark.parametrize("engine", ENGINES)
def test_sixteen_bits(engine):
    coordinates = cloud(6)
    x = features(coordinates, 8, torch.float32).detach()
    conv = Conv(8, 8)
    exact = conv(SparseTensor(coordinates, x, engine=engine)).features
    half = conv.bfloat16()(SparseTensor(coordinates, x.bfloat16(), engine=engine)).features
    assert half.dtype == torch.bfloat16
    close(half.float(), exact, 2e-2)


def test_autocast():
    coordinates = cloud(6)
    conv = Conv(8, 8)
    x = features(coordinates, 8, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(SparseTensor(coordinates, x, engine="numba")).features
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == conv.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("engine", ENGINES)
def test_one_voxel(engine):
    coordinates = torch.tensor([[0, -3, 5, 7]], dtype=torch.int32)
    x = SparseTensor(coordinates, torch.ones(1, 2), engine=engine)
    y = Conv(2, 3)(Conv(2, 2, 2, 2)(x))
    assert y.coordinates.tolist() == [[0, -4, 4, 6]]
    assert y.features.shape == (1, 3)


def test_an_output_that_sees_nothing_is_zero():
    coordinates = torch.tensor([[0, 1, 1, 1]], dtype=torch.int32)  # off the lattice of stride 2
    for engine in ENGINES:
        x = SparseTensor(coordinates, torch.ones(1, 1), engine=engine)
        assert Conv(1, 1, 1, 2)(x).features.tolist() == [[0.0]]
        assert Pool(1, 2, "max")(x).features.tolist() == [[0.0]]


def test_auto_chooses_by_device():
    assert create("auto").name == "numba"
    assert create("auto", "meta").name == "torch"


@pytest.mark.parametrize(
    "name, said", [("cuda", "expected 'auto'"), ("triton", "computes on cuda")]
)
def test_engines_that_cannot_be_had(name, said):
    with pytest.raises(ValueError, match=said):
        create(name)


@pytest.mark.parametrize("channels", [(3, 8), (8, 40), (150, 24)])
def test_many_pairs_and_channels(channels):
    """Blocks of every size: tiles of outputs, copied rows, channels, and what each leaves over."""
    coordinates = cloud(seed=0, points=4000, batch=2, extent=9)
    numbers = {}
    for engine in ENGINES:
        torch.manual_seed(0)
        conv = Conv(*channels).double()
        x = features(coordinates, channels[0])
        y = conv(SparseTensor(coordinates, x, engine=engine)).features
        y.sin().sum().backward()
        numbers[engine] = y, x.grad, conv.weight.grad
    for found, expected in zip(numbers["numba"], numbers["torch"], strict=True):
        close(found, expected, 1e-12)


def test_equal_bits_for_any_threads():
    """In float32, where another order of sums would show."""
    coordinates, before = cloud(seed=0, points=4000, batch=2, extent=9), torch.get_num_threads()
    numbers = []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            conv, x = Conv(96, 40), torch.randn(len(coordinates), 96, requires_grad=True)
            y = conv(SparseTensor(coordinates, x, engine="numba")).features
            y.sin().sum().backward()
            numbers.append([y, x.grad, conv.weight.grad])
    finally:
        torch.set_num_threads(before)
    for found in numbers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, numbers[0], strict=True))

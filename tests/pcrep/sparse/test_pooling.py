"""Pooling of numbers that hide easily: NaN, -inf, equal values, 16 bits; against torch's own."""

import pytest
import torch
from torch.nn.functional import avg_pool3d, max_pool3d

from pcrep.sparse import GlobalPool, Pool, SparseTensor
from pcrep.sparse.reduce import reduce_rows
from tests.pcrep.clouds import close, cloud, features

ENGINES = ["torch", "numba"]
EDGE = 6


def block():
    """All voxels of a cube, z fastest, so that features (N, C) are a dense grid."""
    axis = torch.arange(EDGE)
    rows = torch.cartesian_prod(torch.zeros(1, dtype=torch.int64), axis, axis, axis)
    return rows.int()


def dense(values):
    return values.T.view(1, -1, EDGE, EDGE, EDGE)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf, 0.0])
def test_max_of_cells_is_torchs(engine, special):
    torch.manual_seed(0)
    x = torch.randn(EDGE**3, 3)
    x[torch.rand(x.shape) < 0.1] = special
    x[: EDGE * EDGE] = special  # whole cells of it
    x.requires_grad_()
    expected = max_pool3d(dense(x), 2)
    tensor = SparseTensor(block(), torch.zeros(len(x), 1), engine=engine).map(lambda _: x)
    found = Pool(2, reduce="max")(tensor)
    order = found.coordinates[:, 1:].long() // 2
    found = found.features[(order @ torch.tensor([9, 3, 1])).argsort()]
    torch.testing.assert_close(found, expected.flatten(2)[0].T, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gradient_of_a_maximum_goes_to_one_input(engine):
    coordinates = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]).int()
    values = torch.tensor([[1.0, 0.0], [torch.nan, 2.0], [torch.nan, 2.0]], requires_grad=True)
    x = SparseTensor(coordinates, torch.zeros(3, 1), engine=engine).map(lambda _: values)
    y = Pool(2, reduce="max")(x).features
    (slope,) = torch.autograd.grad(y.nan_to_num(0).sum() + y[:, 1].sum(), values)
    assert slope[:, 1].tolist() == [0, 0, 2]  # taps along y come before those along z


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_reduced_in_thirty_two(engine, reduce, dtype):
    coordinates = cloud(6, points=2000, extent=5)
    x = features(coordinates, 4, torch.float32).detach().abs().to(dtype).requires_grad_()
    half = SparseTensor(coordinates, x, engine=engine)
    y = Pool(4, reduce=reduce)(half).features
    exact = Pool(4, reduce=reduce)(half.map(lambda f: f.detach().double())).features
    assert y.dtype == dtype
    assert torch.equal(y, exact.to(dtype)) or reduce != "max"
    close(y.detach().double(), exact, torch.finfo(dtype).eps)
    y.sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all()
    whole = GlobalPool(reduce)(half)
    assert whole.dtype == dtype
    expected = GlobalPool(reduce)(half.map(lambda f: f.detach().double()))
    close(whole.detach().double(), expected, torch.finfo(dtype).eps)


def test_ones_in_16_bits_add_up():
    x = torch.ones(2000, 1, dtype=torch.bfloat16)  # in which 256 + 1 = 256
    total = reduce_rows(x, torch.zeros(2000, dtype=torch.int64), 1, "sum")
    assert total.item() == 2000


@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
def test_rows_with_one_number_against_loops(reduce):
    torch.manual_seed(0)
    number, x = torch.randint(0, 7, (40,)), torch.randn(40, 3, dtype=torch.float64)
    number[number == 4] = 3  # number 4 has no rows
    x[5, 1], x[6, 2] = torch.nan, -torch.inf
    of = {"sum": lambda r: r.sum(0), "average": lambda r: r.mean(0), "max": lambda r: r.amax(0)}
    found = reduce_rows(x, number, 8, reduce)
    for n in range(8):
        rows = x[number == n]
        expected = of[reduce](rows) if len(rows) else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(found[n], expected, equal_nan=True)


def test_average_of_a_full_grid_is_torchs():
    x = torch.randn(EDGE**3, 2)
    found = Pool(3)(SparseTensor(block(), x))
    order = found.coordinates[:, 1:].long() // 3
    found = found.features[(order @ torch.tensor([4, 2, 1])).argsort()]
    torch.testing.assert_close(found, avg_pool3d(dense(x), 3).flatten(2)[0].T)

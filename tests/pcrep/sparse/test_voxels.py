"""Which voxels a layer lands on, and reading them: against loops over sets of coordinates."""

import copy
import pickle

import numpy as np
import pytest
import torch

from pcrep.sparse import (
    BatchNorm,
    Conv,
    ConvTranspose,
    DepthwiseConv,
    GlobalPool,
    InstanceNorm,
    LayerNorm,
    Pool,
    SparseTensor,
    Unpool,
    broadcast,
    cat,
    interpolate,
    prune,
    union,
)
from tests.pcrep.clouds import close, cloud, features, taps

ENGINES = ["torch", "numba"]


def tensor(seed, channels=3, engine="numba", **settings):
    coordinates = cloud(seed, **settings)
    return SparseTensor(coordinates, features(coordinates, channels), engine=engine)


def voxels(x):
    return {tuple(row) for row in x.coordinates.tolist()}


def by_tuple(x):
    return dict(zip(map(tuple, x.coordinates.tolist()), x.features, strict=True))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), (2, 2, 2)), ((1, 3, 2), (1, 2, 3))])
def test_reached_sites(engine, kernel, stride):
    x = tensor(1, engine=engine, points=60)
    y = Conv(3, 2, kernel, stride, sites="reached").double()(x)
    expected = set()
    for b, *at in voxels(x):
        for tap in taps(kernel):
            site = np.array(at) - tap
            if (site % stride == 0).all():
                expected.add((b, *site.tolist()))
    assert voxels(y) == expected
    assert y.stride == stride


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kernel, stride", [((2, 2, 2), (2, 2, 2)), ((3, 1, 2), (2, 1, 4))])
def test_generated_sites_and_values(engine, kernel, stride):
    coarse = cloud(2, points=40) * torch.tensor([1, *stride], dtype=torch.int32)
    x = SparseTensor(coarse, features(coarse, 3), stride, engine=engine)
    up = ConvTranspose(3, 4, kernel, stride, generate=True).double()
    y = up(x)
    expected = {}
    for (b, *at), row in by_tuple(x).items():
        for tap, weight in zip(taps(kernel), up.weight, strict=True):
            site = (b, *(np.array(at) + tap).tolist())
            expected[site] = expected.get(site, 0) + row @ weight
    found = by_tuple(y)
    assert found.keys() == expected.keys()
    for site, row in expected.items():
        close(found[site], row, 1e-9)
    assert up(x).maps is y.maps  # a second layer lands on the same cloud
    assert torch.equal(y.coordinates[:, 0], y.coordinates[:, 0].sort().values)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_convolution_onto_given_voxels(engine):
    x, other = tensor(3, engine=engine, points=200), tensor(4, engine=engine, points=100)
    conv = Conv(3, 2).double()
    y = conv(x, onto=other)
    assert y.maps is other.maps
    at = by_tuple(x)
    for (b, *site), row in by_tuple(y).items():
        expected = torch.zeros(2, dtype=torch.float64)
        for tap, weight in zip(taps((3, 3, 3)), conv.weight, strict=True):
            source = at.get((b, *(np.array(site) + tap).tolist()))
            if source is not None:
                expected = expected + source @ weight
        assert torch.allclose(row, expected)
    back = ConvTranspose(2, 3).double()(y, onto=x)  # the same map, the other way
    assert back.maps is x.maps
    back.features.square().sum().backward()
    assert conv.weight.grad.abs().sum() > 0
    pooled = Pool(3, 1, "sum")(x, onto=other)
    ones = Conv(3, 3).double()
    ones.weight.data.copy_(torch.eye(3).expand(27, 3, 3))
    close(pooled.features, ones(x, onto=other).features, 1e-9)


def test_onto_another_level_of_the_same_cloud():
    x = tensor(5)
    coarse = Pool(2)(x)
    down = Conv(3, 4, 2, 2).double()
    assert torch.equal(down(x, onto=coarse).features, down(x).features)
    up = ConvTranspose(3, 4, 2, 2).double()
    assert torch.equal(up(coarse, onto=x).features, up(coarse).features)
    assert torch.equal(Unpool(2)(coarse, onto=x).features, Unpool(2)(coarse).features)


@pytest.mark.parametrize("engine", ENGINES)
def test_union_sums_and_differences(engine):
    x, y = tensor(6, engine=engine), tensor(7, engine=engine)
    a, b = by_tuple(x), by_tuple(y)
    for found, sign in ((x + y, 1), (x - y, -1)):
        rows = by_tuple(found)
        assert rows.keys() == a.keys() | b.keys()
        for at, row in rows.items():
            zero = torch.zeros(3, dtype=torch.float64)
            assert torch.equal(row, a.get(at, zero) + sign * b.get(at, zero))
    total = union(x, y, x)
    assert torch.equal(total.coordinates, (x + y).coordinates)
    assert torch.allclose(total.features, (x + y + x).features)
    Pool(2)(total).features.sum().backward()
    with pytest.raises(ValueError, match="different voxels, expected tensors of one cloud"):
        x * y


def test_arithmetic_on_the_same_voxels():
    x = tensor(8)
    f = x.features
    y = x.map(torch.relu)
    for found, expected in [
        (x - y, f - f.relu()),
        (x * y, f * f.relu()),
        (2 * x, 2 * f),
        (x / 2, f / 2),
        (1 + x, 1 + f),
        (1 - x, 1 - f),
        (-x, -f),
        (x * torch.tensor([1.0, 2.0, 3.0]), f * torch.tensor([1.0, 2.0, 3.0])),
    ]:
        assert torch.equal(found.features, expected)
        assert found.maps is x.maps
    with pytest.raises(TypeError):
        x + "1"
    with pytest.raises(ValueError, match=r"features have shape|rows"):
        x * torch.ones(len(x) + 1, len(x), 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_pruning(engine):
    x = tensor(9, engine=engine)
    keep = x.features[:, 0] > 0
    y = prune(x, keep)
    assert torch.equal(y.coordinates, x.coordinates[keep])
    assert torch.equal(y.features, x.features[keep])
    only_second = prune(x, x.coordinates[:, 0] == 1)
    assert only_second.batch_size == 2
    assert GlobalPool()(only_second)[0].tolist() == [0, 0, 0]
    none = prune(x, torch.zeros(len(x), dtype=torch.bool))
    assert len(Conv(3, 2, 2, 2).double()(none)) == 0
    y.features.sum().backward()
    for bad in (keep.float(), keep[:-1], keep.tolist()):
        with pytest.raises(ValueError, match="expected booleans"):
            prune(x, bad)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_dense(engine, dimension):
    x = tensor(10, engine=engine, points=80, extent=4, dimension=dimension)
    x = Conv(3, 2, 1, 2, dimension=dimension).double()(x)
    grid = x.dense()
    low, shape = x.box()
    assert grid.shape == (2, 2, *shape)
    total = 0
    for (b, *at), row in by_tuple(x).items():
        cell = [(a - o) // 2 for a, o in zip(at, low, strict=True)]
        assert torch.equal(grid[(b, slice(None), *cell)], row)
        total = total + row.abs().sum()
    assert torch.isclose(grid.abs().sum(), total)
    part = x.dense((0,) * dimension, (2,) * dimension)  # voxels outside are left out
    assert torch.equal(part, grid[(..., *(slice(-o // 2, -o // 2 + 2) for o in low))])


def test_birds_eye_view():
    x = tensor(11, points=50, extent=3)
    low, shape = (-4, -4, -4), (8, 8, 8)
    grid, flat = x.dense(low, shape), x.bird_eye_view(low, shape)
    assert flat.shape == (2, 3 * 8, 8, 8)
    assert torch.equal(flat[1, 2 * 8 + 5, 3, 4], grid[1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="has 2 axes, expected 3"):
        tensor(11, dimension=2).bird_eye_view()
    with pytest.raises(ValueError, match=r"low is \(1, 2\)"):
        x.dense((1, 2), shape)
    with pytest.raises(ValueError, match=r"holds [\d,]+ numbers, expected less than 2\^31"):
        x.dense((0, 0, 0), (2000, 2000, 2000))
    coarse = Pool(2)(x)
    with pytest.raises(ValueError, match="multiples of the tensor stride 2"):
        coarse.dense((1, 0, 0), shape)


@pytest.mark.parametrize("engine", ENGINES)
def test_depthwise(engine):
    """Each channel is a convolution of one channel with taps of its own."""
    x = tensor(12, 4, engine)
    layer = DepthwiseConv(4, (3, 1, 2), (2, 1, 2), bias=True).double()
    y = layer(x)
    for c in range(4):
        one = Conv(1, 1, (3, 1, 2), (2, 1, 2)).double()
        one.weight.data.copy_(layer.weight[:, c, None, None])
        expected = one(x.map(lambda f, c=c: f[:, c : c + 1])).features + layer.bias[c]
        close(y.features[:, c : c + 1], expected, 1e-9)

    def run(f, weight):
        given = {"weight": weight, "bias": layer.bias}
        at = SparseTensor.on(small.maps, 1, f)
        return torch.func.functional_call(layer, given, (at,)).features

    small = tensor(13, 4, engine, points=12, extent=2)
    inputs = (small.features, layer.weight)
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)
    half = layer.bfloat16()(x.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    close(half.features.double(), y.features, 3e-2)


def test_norms():
    x = tensor(14, 4, batch=3)
    norm = InstanceNorm(4).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    for b in range(3):
        rows = x.features[x.batch == b]
        expected = torch.nn.functional.instance_norm(rows.T[None])[0].T * norm.weight + norm.bias
        close(norm(x).features[x.batch == b], expected, 1e-9)
    layer = LayerNorm(4).double()
    assert torch.equal(layer(x).features, torch.nn.functional.layer_norm(x.features, (4,)))
    assert torch.equal(BatchNorm(4).double()(x).features.mean(0).round(decimals=9), torch.zeros(4))


def test_broadcast():
    x = tensor(15, batch=3)
    rows = GlobalPool("max")(x)
    y = broadcast(x, rows)
    for b in range(3):
        assert (y.features[x.batch == b] == rows[b]).all()
    assert cat(x, y).features.shape[1] == 6
    with pytest.raises(ValueError, match=r"expected \(3, D\), one row for each batch element"):
        broadcast(x, rows[:2])


@pytest.mark.parametrize("stride", [1, 2])
def test_interpolation(stride):
    x = tensor(16, points=300, extent=4, stride=1)
    if stride == 2:
        x = Pool(2)(x)
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(40, 3, generator=generator, dtype=torch.float64) * 12 - 6
    points = torch.cat([torch.arange(40)[:, None] % 3, points], 1)  # batch element 2 is none
    found = interpolate(x, points)
    for (b, *at), row in zip(points.tolist(), found, strict=True):
        total, weights = torch.zeros(3, dtype=torch.float64), 0.0
        for (c, *voxel), value in by_tuple(x).items():
            apart = np.abs(np.array(voxel) + stride / 2 - at) / stride
            weight = np.prod(np.clip(1 - apart, 0, None)) if b == c else 0
            total, weights = total + weight * value, weights + weight
        assert torch.allclose(row, total / weights if weights else total)
    centres = x.coordinates.double()
    centres[:, 1:] += stride / 2
    assert torch.equal(interpolate(x, centres), x.features)
    with pytest.raises(ValueError, match="NaN or infinity"):
        interpolate(x, points * torch.nan)
    assert interpolate(x, points * torch.tensor([1, 1e30, 1, 1])).isfinite().all()


def test_empty_clouds_and_batch_elements():
    x = SparseTensor(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 3), batch_size=2)
    y = Conv(3, 4, 3, 2)(x)
    assert len(y) == 0 and y.batch_size == 2
    assert ConvTranspose(4, 3, 2, 2)(y).features.shape == (0, 3)
    assert GlobalPool("max")(x).tolist() == [[0.0] * 3] * 2
    rows = torch.tensor([[0, 1, 2, 3], [2, 1, 2, 3]], dtype=torch.int32)
    with_gap = SparseTensor(rows, torch.ones(2, 3), batch_size=4)
    assert GlobalPool("sum")(with_gap).sum(1).tolist() == [3, 0, 3, 0]
    alone = SparseTensor(rows[:1], torch.ones(1, 3))
    conv = Conv(3, 4, 3, 2)
    assert torch.equal(conv(with_gap).features[:1], conv(alone).features)
    with pytest.raises(ValueError, match="hold no voxel, expected at least one, or a batch_size"):
        SparseTensor(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 3))


def test_rows_are_checked_where_features_meet_coordinates():
    x = tensor(17)
    for bad in (x.features[:5], torch.cat([x.features] * 2), x.features[0], x.features.int()):
        with pytest.raises(ValueError, match="features have"):
            x.map(lambda _, bad=bad: bad)
        with pytest.raises(ValueError, match="features have"):
            SparseTensor.on(x.maps, 1, bad)
    with pytest.raises(AttributeError):
        x.features = x.features[:5]


def test_coordinates_are_a_copy():
    coordinates = cloud(18)
    x = SparseTensor(coordinates, features(coordinates, 3))
    before = coordinates.clone()
    coordinates[:, 1:] += 64
    assert torch.equal(x.coordinates, before)
    inserted = before[:1] // 2 * 2
    x.maps.insert(inserted, 2)
    inserted += 2
    assert x.maps.coordinates(2).tolist() != inserted.tolist()
    x.coordinates[:, 1:] += 1  # what is asked for not to be changed, and was
    with pytest.raises(ValueError, match="were changed in place after construction"):
        Conv(3, 3).double()(x)


def test_inserted_voxels_are_checked():
    x = tensor(19)
    for rows, stride, said in [
        ([[2, 0, 0, 0]], 2, "batch index reaches 2, expected below the batch size 2"),
        ([[0, 1, 0, 0]], 2, "multiples of the tensor stride 2"),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], 2, "1 duplicate voxels"),
        ([[0, 0, 0]], 2, "2 axes on cpu, expected 3"),
        ([[0, 0, 0, 0]], (2, 2), "expected an integer or 3 integers"),
    ]:
        with pytest.raises(ValueError, match=said):
            x.maps.insert(torch.tensor(rows, dtype=torch.int32), stride)
    edge = 2**17 - 2
    x.maps.insert(torch.tensor([[0, edge, 0, 0], [1, -edge - 2, 0, 0]], dtype=torch.int32), 2)
    y = SparseTensor.on(x.maps, 2, torch.ones(2, 1))
    with pytest.raises(ValueError, match=r"expected to stay in \[-131072, 131072\)"):
        Conv(1, 1)(y)


def test_copies_and_other_dtypes():
    x = tensor(20)
    conv = Conv(3, 4).double()
    expected = conv(x).features
    detached = x.map(torch.Tensor.detach)
    for again in (copy.deepcopy(detached), pickle.loads(pickle.dumps(detached))):
        assert torch.equal(conv(again).features, expected)
    y = x.to(torch.float32)
    assert (y.dtype, y.maps) == (torch.float32, x.maps)
    assert x.to("cpu").maps is x.maps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_to_a_gpu_and_back():
    x = tensor(23).to(torch.float32)
    y = Pool(2)(x)
    a, b = x.to("cuda"), y.to("cuda")
    assert a.maps is b.maps and a.maps.engine.name == "triton"
    assert torch.equal(Unpool(2)(b).features.cpu(), Unpool(2)(y).features)
    assert a.to("cpu").maps.engine.name == "numba"


def test_clouds_that_do_not_fit_each_other():
    x = tensor(21)
    with pytest.raises(ValueError, match="engine numba and torch"):
        x + tensor(22, engine="torch")
    with pytest.raises(ValueError, match="batch size 2 and 3"):
        Conv(3, 3).double()(x, onto=tensor(22, batch=3))
    with pytest.raises(ValueError, match="other channels"):
        x + tensor(22, channels=4)
    with pytest.raises(ValueError, match=r"Conv has 2 axes and .* has 3"):
        Conv(3, 3, dimension=2).double()(x)
    with pytest.raises(ValueError, match=r"leads from .* to tensor stride 2, expected onto="):
        Conv(3, 3, 2, 2).double()(x, onto=x)
    with pytest.raises(ValueError, match="was given a Tensor, expected a SparseTensor"):
        Conv(3, 3).double()(x.features)
    with pytest.raises(ValueError, match="are there already, and are not the ones"):
        Conv(3, 3, 2, 2, sites="reached").double()(Pool(2)(x) and x)
    with pytest.raises(ValueError, match="dimension is 5"):
        Conv(3, 3, dimension=5)
    with pytest.raises(ValueError, match="sites is 'all'"):
        Conv(3, 3, sites="all")

"""Sparse tensors: duplicates, fields, arithmetic, pooling of batch elements."""

import pytest
import torch

from pcrep.sparse import Field, GlobalPool, SparseTensor, cat
from tests.pcrep.clouds import cloud, features

REPEATED = torch.tensor(
    [[0, 5, 0, 0], [0, -1, 0, 0], [0, 5, 0, 0], [1, 5, 0, 0], [0, 0, 0, 0]], dtype=torch.int32
)[[0, 1, 2, 4, 3]]
ENGINES = ["torch", "numba"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how, first", [("average", 2.0), ("sum", 4.0), ("first", 1.0)])
def test_duplicates(engine, how, first):
    f = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]], requires_grad=True)
    x = SparseTensor(REPEATED, f, duplicates=how, engine=engine)
    assert x.coordinates[:, 0].tolist() == [0, 0, 0, 1]
    assert x.coordinates[:, 1].tolist() == [5, -1, 0, 5]  # in order of first appearance
    assert x.features.flatten().tolist() == [first, 2.0, 4.0, 5.0]
    x.features.sum().backward()
    share = {"average": 0.5, "sum": 1.0, "first": 1.0}[how]
    assert f.grad[0] == share
    assert f.grad[2] == (0 if how == "first" else share)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_field_comes_back_to_its_points(engine):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200, 3, generator=generator) * 6 - 3
    index = torch.arange(2).repeat_interleave(100)[:, None]
    f = torch.randn(200, 4, generator=generator)
    field = Field(torch.cat([index, points], 1), f)
    x = field.sparse(engine=engine)
    back = field.slice(x)
    voxels = torch.cat([index, points.floor().int()], 1)
    for i in range(0, 200, 17):
        together = (voxels == voxels[i]).all(1)
        assert torch.allclose(back[i], f[together].mean(0), atol=1e-6)


def test_all_points_in_one_voxel():
    field = Field(torch.tensor([[0, 0.1, 0.2, 0.3]] * 7), torch.arange(7.0)[:, None])
    x = field.sparse()
    assert len(x) == 1 and x.features.item() == 3
    assert field.slice(x).flatten().tolist() == [3.0] * 7


def test_arithmetic():
    coordinates = cloud(0)
    x = SparseTensor(coordinates, features(coordinates, 3))
    y = x.map(torch.relu)
    assert torch.equal((x + y).features, x.features + x.features.relu())
    assert torch.equal(cat(x, y, x).features, torch.cat([x.features, y.features, x.features], 1))
    assert (
        repr(x)
        == f"SparseTensor({len(x)} voxels, 3 channels, stride 1, batch 2, torch.float64, numba)"
    )


@pytest.mark.parametrize("precisions", [(torch.float32, torch.bfloat16), (torch.float16,) * 2])
def test_sums_across_clouds_promote_as_sums_on_one_do(precisions):
    a, b = (
        SparseTensor(c, features(c, 2, d))
        for c, d in zip(map(cloud, (2, 3)), precisions, strict=True)
    )
    for x, y in ((a, b), (b, a)):
        z = x + y
        assert z.dtype == (x.features[:1] + y.features[:1]).dtype
        parts = {tuple(row): 0.0 for row in z.coordinates.tolist()}
        for part in (x, y):
            for row, value in zip(
                part.coordinates.tolist(), part.features[:, 0].tolist(), strict=True
            ):
                parts[tuple(row)] += value
        expected = torch.tensor(list(parts.values()))
        assert torch.allclose(z.features[:, 0].float(), expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("reduce", ["sum", "average", "max"])
def test_global_pool(reduce):
    coordinates = cloud(1, batch=3)
    x = SparseTensor(coordinates, features(coordinates, 3))
    function = {"sum": torch.sum, "average": torch.mean, "max": torch.amax}[reduce]
    expected = [function(x.features[coordinates[:, 0] == b], 0) for b in range(3)]
    assert torch.allclose(GlobalPool(reduce)(x), torch.stack(expected))

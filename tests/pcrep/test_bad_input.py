"""Every bad input is a ValueError that says what was found; the smallest good ones work."""

import pytest
import torch

from pcrep.sparse import Conv, ConvTranspose, Field, GlobalPool, Pool, SparseTensor, Unpool, cat
from pcrep.sparse.engines import create


def rows(*coordinates, dtype=torch.int32):
    return torch.tensor(coordinates, dtype=dtype).reshape(-1, 4)


GOOD = rows([0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0])
ONES = torch.ones(3, 2)


@pytest.mark.parametrize(
    "coordinates, features, said",
    [
        (rows([0, 2**17, 0, 0]), torch.ones(1, 1), r"between 0 and 131072, expected \[-131072"),
        (rows([0, 0, -(2**17) - 1, 0]), torch.ones(1, 1), "subtract an origin"),
        (GOOD.float(), ONES, "torch.float32, expected torch.int32; quantise"),
        (GOOD.long(), ONES, "torch.int64, expected torch.int32"),
        (GOOD[:, :2], ONES, r"shape \(3, 2\), expected \(N, 4\)"),
        (GOOD.numpy(), ONES, "coordinates are a ndarray"),
        (GOOD, ONES.numpy(), "features are a ndarray"),
        (rows(), torch.ones(0, 1), "hold no voxel"),
        (rows([-1, 0, 0, 0]), torch.ones(1, 1), "starts at -1, expected 0 or above"),
        (rows([0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]), ONES, "falls from 1 to 0 at row 2"),
        (
            torch.arange(513)[:, None].repeat(1, 4).int(),
            torch.ones(513, 1),
            "batch index reaches 512, expected below 512",
        ),
        (GOOD, torch.ones(2, 2), "features have 2 rows and coordinates 3"),
        (GOOD, torch.ones(3), r"features have shape \(3,\)"),
        (GOOD, torch.ones(3, 0), r"features have shape \(3, 0\)"),
        (GOOD, ONES.int(), "torch.int32, expected floating point"),
        (GOOD, torch.tensor([[1.0], [torch.nan], [1.0]]), "row 1 holds NaN"),
        (GOOD, torch.tensor([[1.0], [1.0], [torch.inf]]), "row 2 holds NaN or infinity"),
        (GOOD[[0, 1, 1, 2]], torch.ones(4, 1), "1 duplicate rows of 4; say what to do"),
    ],
)
def test_clouds(coordinates, features, said):
    with pytest.raises(ValueError, match=said):
        SparseTensor(coordinates, features)


def test_large_finite_features_are_fine():
    SparseTensor(GOOD, torch.full((3, 2), 3e38))  # their sum is infinite


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"stride": 0}, "stride is 0"),
        ({"stride": 2}, r"row 1 is \[0, 1, 0, 0\], expected multiples of the tensor stride 2"),
        ({"duplicates": "mean"}, "'error', 'average', 'sum' or 'first'"),
        ({"engine": "spconv"}, "engine is 'spconv'"),
        ({"stride": (1, 2)}, r"stride is \(1, 2\), expected an integer or 3 integers"),
        ({"stride": 1.0}, "stride is 1.0, expected an integer"),
        ({"batch_size": 1}, "batch_size is 1, expected at least 2"),
        ({"batch_size": 513}, "at most 512"),
    ],
)
def test_settings(settings, said):
    with pytest.raises(ValueError, match=said):
        SparseTensor(GOOD, ONES, **settings)


def test_neighbours_out_of_range():
    x = SparseTensor(rows([0, 2**17 - 1, 0, 0]), torch.ones(1, 1))
    assert Conv(1, 1, 1)(x).features.shape == (1, 1)
    with pytest.raises(ValueError, match=r"with neighbours and cells .* to .*131072"):
        Conv(1, 1, 3)(x)


def test_modules():
    x = SparseTensor(GOOD, ONES)
    with pytest.raises(ValueError, match="expects 4 channels, found 2 in SparseTensor"):
        Conv(4, 4)(x)
    with pytest.raises(
        ValueError, match=r"ConvTranspose has no coordinates to land on: .* strides 1$"
    ):
        ConvTranspose(2, 2, 2, 2)(x)
    coarse = SparseTensor(GOOD * torch.tensor([1, 4, 4, 4], dtype=torch.int32), ONES, stride=4)
    with pytest.raises(ValueError, match=r"no coordinates to land on: .* strides 4$"):
        ConvTranspose(2, 2, 2, 2)(coarse)
    with pytest.raises(ValueError, match="Unpool has no coordinates to land on"):
        Unpool(2)(coarse)
    with pytest.raises(ValueError, match="kernel_size is 0, expected integers of at least 1"):
        Conv(2, 2, 0)
    with pytest.raises(ValueError, match="reduce is 'mean'"):
        GlobalPool("mean")
    with pytest.raises(ValueError, match="stride is -1"):
        Pool(2, -1)
    with pytest.raises(ValueError, match="different voxels"):
        cat(x, SparseTensor(GOOD, ONES))
    with pytest.raises(ValueError, match=r"torch\.float32 and weights torch.float64"):
        Conv(2, 2).double()(x)
    with pytest.raises(ValueError, match="there are voxels at tensor stride 1 already"):
        x.maps.insert(GOOD, 1)
    with pytest.raises(ValueError, match="1 duplicate voxels"):
        x.maps.insert(rows([0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]), 2)
    with pytest.raises(ValueError, match="no voxels at tensor stride 8"):
        x.maps.coordinates(8)


@pytest.mark.parametrize(
    "shape, said",
    [
        ((7, 3, 3, 3, 5), "spconv's KRSC layout; load it through pcrep.encoders.checkpoints"),
        ((3, 3, 3, 5, 7), "RSCK"),
        ((7, 5, 3, 3, 3), "a dense convolution's layout"),
        ((27, 7, 5), "weights of another module"),
    ],
)
def test_a_weight_of_another_layout(shape, said):
    with pytest.raises(ValueError, match=said):
        Conv(5, 7).load_state_dict({"weight": torch.zeros(shape)})


@pytest.mark.parametrize("name", ["triton", "minkowski"])
def test_a_missing_package_is_named_with_the_command(name, monkeypatch):
    package = {"triton": "spconv_triton.pytorch.ops", "minkowski": "MinkowskiEngine"}[name]
    monkeypatch.setitem(__import__("sys").modules, package, None)
    command = {"triton": "pip install spconv-triton", "minkowski": "make minkowski"}[name]
    with pytest.raises(ValueError, match=command):
        if name == "minkowski":
            create(name)
        else:
            from pcrep.sparse.engines.triton import Triton

            Triton()


@pytest.mark.parametrize(
    "coordinates, said",
    [
        (GOOD, "torch.int32, expected floating point"),
        (torch.tensor([[0, torch.nan, 0, 0]]), "NaN or infinity"),
        (torch.tensor([[0, 1e12, 0, 0]]), "expected .-131072"),
    ],
)
def test_fields(coordinates, said):
    with pytest.raises(ValueError, match=said):
        Field(coordinates, torch.ones(len(coordinates), 1))


def test_slicing_what_is_not_of_the_field():
    field = Field(torch.rand(5, 4) * torch.tensor([0, 2, 2, 2]), torch.ones(5, 1))
    with pytest.raises(ValueError, match="does not descend from this field"):
        field.slice(SparseTensor(GOOD, ONES))
    with pytest.raises(ValueError, match="stride 2, expected 1"):
        field.slice(Pool(2)(field.sparse()))

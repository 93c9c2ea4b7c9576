"""Headers of encoder files that say what no encoder can be: one line, and no memory asked for."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import pcrep
import tsrep
from pcrep import SparseUNet
from tests.pcrep.networks import SMALL
from tspcrep.common.errors import UserError
from tspcrep.common.weights import FILE
from tsrep.datasets.series import Scaler
from tsrep.encoders import TCN
from tsrep.encoders.files import save_encoder


def rewritten(path, change):
    """The file with a changed configuration, as if somebody had written it without a digest."""
    with safe_open(path, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(header["config"])
    change(config)
    save_file(tensors, path, {"kind": header["kind"], "config": json.dumps(config)})
    return path


def assert_one_line(load, path):
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


SERIES = {
    "wide": lambda c: c["encoder"].update(dim=10**12),
    "deep": lambda c: c["encoder"].update(depth=10**12),
    "text": lambda c: c["encoder"].update(dim="64"),
    "a yes": lambda c: c["encoder"].update(in_channels=True),
    "negative": lambda c: c["encoder"].update(dim=-4),
    "unknown": lambda c: c["encoder"].update(colour="red"),
    "no encoder": lambda c: c.pop("encoder"),
    "list": lambda c: c.update(encoder=[1, 2]),
    "window": lambda c: c.update(window="a week"),
    "endless window": lambda c: c.update(window=2**31),
    "columns": lambda c: c.update(columns=3),
    "mean": lambda c: c.update(mean=["x"]),
    "lengths": lambda c: c.update(std=[1.0, 2.0, 3.0]),
    "infinite": lambda c: c.update(std=[0.0, 1.0]),
}


@pytest.mark.parametrize("change", SERIES.values(), ids=SERIES)
def test_of_series(tmp_path, change):
    values = torch.randn(50, 2).numpy()
    save_encoder(tmp_path / FILE, TCN(2, 8, depth=2), Scaler.fit(values), ("load", "wind"))
    assert tsrep.load_encoder(tmp_path / FILE).columns == ("load", "wind")
    assert_one_line(tsrep.load_encoder, rewritten(tmp_path / FILE, change))


POINTS = {
    "wide": lambda c: c.update(stem=10**12),
    "deep": lambda c: c.update(encoder_blocks=[10**12, 1]),
    "text": lambda c: c.update(stem="16"),
    "lengths": lambda c: c.update(decoder=[8]),
    "unknown": lambda c: c.update(shade=3),
    "voxel": lambda c: c.update(voxel=-1.0),
    "voxels": lambda c: c.update(voxel=[0.1]),
    "inputs": lambda c: c.update(inputs="colour"),
}


@pytest.mark.parametrize("change", POINTS.values(), ids=POINTS)
def test_of_points(tmp_path, change):
    encoder = SparseUNet(SMALL)
    encoder.voxel = 0.05
    pcrep.save_encoder(tmp_path / FILE, encoder)
    assert pcrep.load_encoder(tmp_path / FILE).voxel == 0.05
    assert_one_line(pcrep.load_encoder, rewritten(tmp_path / FILE, change))


@pytest.mark.parametrize("shape", [[0, 2**63], [2**40, 0, 2**40]])
def test_a_tensor_of_nothing_in_an_endless_shape(tmp_path, shape):
    """safetensors lets it pass, and torch fails for it."""
    tensors = {"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    header = json.dumps({"__metadata__": {"kind": "tsrep.TCN", "config": "{}"}} | tensors).encode()
    (tmp_path / FILE).write_bytes(len(header).to_bytes(8, "little") + header)
    assert_one_line(tsrep.load_encoder, tmp_path / FILE)

"""Encoders on disk: what was saved is read to the bit, and nothing else is taken for an encoder."""

import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from tspcrep.common.errors import UserError
from tspcrep.common.weights import FILE, build, check_fit, read_encoder, save_encoder

CONFIG = {"dim": 4, "kernels": [1, 2], "causal": True, "name": "é", "window": None}


def model(width=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def by_hand(path):
    """The safetensors format from its specification: a length, a JSON header, the bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    kinds = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        data = np.frombuffer(content[8 + length :][start:stop], kinds[entry["dtype"]])
        tensors[name] = data.reshape(entry["shape"])
    return metadata, tensors


def test_round_trip(tmp_path):
    saved = model()
    with torch.no_grad():
        saved[0].weight.copy_(torch.randn(3, 4).T)  # values may come in any memory layout
    save_encoder(tmp_path / "sub" / FILE, saved, "tests.Model", CONFIG)
    kind, config, tensors = read_encoder(tmp_path / "sub" / FILE)
    assert kind == "tests.Model" and config == CONFIG
    other = build(model, tensors, "here")
    for name, expected in saved.state_dict().items():
        assert torch.equal(other.state_dict()[name], expected)
        assert other.state_dict()[name].dtype == expected.dtype


def test_a_file_of_the_format_that_others_read(tmp_path):
    save_encoder(tmp_path / FILE, model(), "tests.Model", CONFIG)
    metadata, tensors = by_hand(tmp_path / FILE)
    assert metadata["kind"] == "tests.Model" and json.loads(metadata["config"]) == CONFIG
    assert tensors.keys() == model().state_dict().keys()
    for name, expected in model().state_dict().items():
        np.testing.assert_array_equal(tensors[name], expected.numpy())


def test_a_run_folder_stands_for_its_encoder(tmp_path):
    save_encoder(tmp_path / FILE, model(), "tests.Model", CONFIG)
    assert read_encoder(tmp_path)[:2] == read_encoder(str(tmp_path / FILE))[:2]


def test_views_of_one_storage_are_saved(tmp_path):
    """Two layers may share memory without being the same tensor, as after flattening an LSTM."""
    both = torch.randn(2, 3, 3)
    layers = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    layers[0].weight, layers[1].weight = nn.Parameter(both[0]), nn.Parameter(both[1])
    save_encoder(tmp_path / FILE, layers, "tests.Model", {})
    tensors = read_encoder(tmp_path)[2]
    assert torch.equal(torch.stack([tensors["0.weight"], tensors["1.weight"]]), both)


def test_saving_over_an_encoder_is_atomic(tmp_path, monkeypatch):
    save_encoder(tmp_path / FILE, model(), "tests.Model", CONFIG)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            save_encoder(tmp_path / FILE, model(9), "tests.Other", {})
    assert read_encoder(tmp_path)[0] == "tests.Model"
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


# --- what is refused ----------------------------------------------------------------------------


def assert_refused(path, *words):
    with pytest.raises(UserError) as caught:
        read_encoder(path)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize("name", ["", "none.safetensors", "no/such/folder"])
def test_nothing_there(tmp_path, name):
    expected = tmp_path / name if name else tmp_path / FILE
    assert_refused(tmp_path / name, str(expected), "no such file")


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_wherever_it_is_cut(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    save_encoder(folder / FILE, model(), "tests.Model", CONFIG)
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: int(share * len(content))])
    assert_refused(folder, str(folder / FILE), "truncated")


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_gives_other_numbers(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("flipped")
    save_encoder(folder / FILE, model(), "tests.Model", CONFIG)
    content = bytearray((folder / FILE).read_bytes())
    expected = read_encoder(folder)
    content[int(place * len(content))] ^= 1 << bit
    (folder / FILE).write_bytes(content)
    try:
        kind, config, tensors = read_encoder(folder)
    except UserError as error:
        assert str(folder / FILE) in str(error) and "\n" not in str(error)
    else:  # in a name that nobody reads
        assert (kind, config) == expected[:2]
        assert all(torch.equal(tensors[name], value) for name, value in expected[2].items())


def test_half_precision(tmp_path):
    save_encoder(tmp_path / FILE, model(), "tests.Model", CONFIG, half=True)
    tensors = read_encoder(tmp_path)[2]
    for name, value in model().state_dict().items():
        assert tensors[name].dtype == (torch.float16 if value.is_floating_point() else value.dtype)
    other = build(model, tensors, "here")
    assert torch.equal(other[0].weight, model()[0].weight.half().float())


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["pickle", "torch", "text"])
def test_a_foreign_file_runs_no_code(tmp_path, form):
    if form == "pickle":
        (tmp_path / FILE).write_bytes(pickle.dumps(Payload(tmp_path / "owned")))
    elif form == "torch":
        torch.save({"w": Payload(tmp_path / "owned")}, tmp_path / FILE)
    else:
        (tmp_path / FILE).write_text("time,load\n2020-01-01,1\n" * 20)
    assert_refused(tmp_path, str(tmp_path / FILE), "not a safetensors file")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "header", [None, {"format": "pt"}, {"kind": "tests.Model"}, {"config": "{}"}]
)
def test_safetensors_of_another_project(tmp_path, header):
    save_file(model().state_dict(), tmp_path / FILE, header)
    assert_refused(tmp_path, str(tmp_path / FILE), "without this project's header")


@pytest.mark.parametrize("config", ["", "{", "[1]", "3"])
def test_a_header_that_is_no_configuration(tmp_path, config):
    save_file(model().state_dict(), tmp_path / FILE, {"kind": "tests.Model", "config": config})
    assert_refused(tmp_path, str(tmp_path / FILE), "header")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("0.bias"), "0.bias is nothing, expected (4,)"),
        (lambda t: t.update(extra=torch.zeros(2, 1)), "extra is (2, 1), expected nothing"),
        (
            lambda t: t.update({"0.weight": torch.zeros(4, 5)}),
            "0.weight is (4, 5), expected (4, 3)",
        ),
        (lambda t: t.clear(), "0.bias is nothing"),
    ],
    ids=["missing", "extra", "shape", "empty"],
)
def test_weights_of_another_model_name_one_tensor(change, words):
    module, tensors = model(), dict(model().state_dict())
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    change(tensors)
    with pytest.raises(UserError) as caught:
        check_fit(module, tensors, "runs/one")
    message = str(caught.value)
    assert message.startswith("runs/one: weights of another model: ") and words in message
    assert all(torch.equal(module.state_dict()[n], t) for n, t in before.items())

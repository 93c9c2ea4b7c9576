"""Encoders in the form of the Hugging Face hub, of series and of points."""

import json
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from safetensors import safe_open

import pcrep
import tsrep
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.encoders import DilatedConv


def series_encoder():
    encoder = DilatedConv(2, 8, 4, 2)
    encoder.scaler, encoder.columns = Scaler(np.ones(2), np.full(2, 3.0)), ("load", "wind")
    return encoder


def points_encoder():
    small = pcrep.UNetConfig(stem=4, encoder=(4, 8), decoder=(8, 4), **BLOCKS)
    encoder = pcrep.SparseUNet(small)
    encoder.voxel = 0.05
    return encoder


BLOCKS = {"encoder_blocks": (1, 1), "decoder_blocks": (1, 1)}
KINDS = {"series": (tsrep, series_encoder), "points": (pcrep, points_encoder)}


@pytest.fixture(params=KINDS)
def saved(request, tmp_path):
    """The package, an encoder, and the folder that it was saved to."""
    package, make = KINDS[request.param]
    torch.manual_seed(0)
    encoder = make()
    package.save_pretrained(encoder, tmp_path / "mine", license="mit")
    return package, encoder, tmp_path / "mine"


class Hub(types.ModuleType):
    """A stand-in of the client: what is published, what is cached, and what it was asked."""

    def __init__(self, published, cache):
        super().__init__("huggingface_hub")
        self.published, self.cache, self.asked = published, cache, []

    def snapshot_download(self, name, *, revision, allow_patterns, local_files_only):
        self.asked.append((name, revision, local_files_only))
        target = self.cache / name
        if local_files_only:
            if not target.exists():
                raise FileNotFoundError("not in the cache")
            return str(target)
        if name not in self.published:
            raise OSError("404 Client Error.\n\nRepository Not Found")
        target.mkdir(parents=True, exist_ok=True)
        for file in allow_patterns:
            shutil.copy(self.published[name] / file, target)
        return str(target)


@pytest.fixture
def hub(saved, tmp_path, monkeypatch):
    hub = Hub({"me/mine": saved[2]}, tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


def assert_same(found, expected):
    assert type(found) is type(expected) and not found.training
    assert found.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_the_folder_has_the_three_files_and_one_reader(saved):
    package, encoder, folder = saved
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.safetensors", "config.json", "README.md"}
    for path in (folder, folder / "model.safetensors"):
        assert_same(package.load_encoder(path), encoder)
    assert_same(package.from_pretrained(folder), encoder)


def test_what_comes_with_an_encoder_is_kept(tmp_path):
    tsrep.save_pretrained(series_encoder(), tmp_path / "a")
    tsrep.save_pretrained(tsrep.load_encoder(tmp_path / "a"), tmp_path / "b")
    again = tsrep.from_pretrained(tmp_path / "b")
    assert again.columns == ("load", "wind") and again.scaler.std.tolist() == [3.0, 3.0]
    pcrep.save_pretrained(points_encoder(), tmp_path / "c")
    assert pcrep.from_pretrained(tmp_path / "c").voxel == 0.05


def test_another_encoder_may_take_the_place(tmp_path):
    tsrep.save_pretrained(DilatedConv(1, 4, 4, 1), tmp_path)
    tsrep.save_pretrained(series_encoder(), tmp_path)
    assert tsrep.from_pretrained(tmp_path).in_channels == 2


def test_config_json_is_the_header(saved):
    folder = saved[2]
    with safe_open(folder / "model.safetensors", "pt") as file:
        header = file.metadata()
    found = json.loads((folder / "config.json").read_text())
    assert found == {"model_type": header["kind"], **json.loads(header["config"])}


def test_the_model_card_has_the_header_of_the_hub_and_is_kept(saved):
    package, encoder, folder = saved
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    assert head.splitlines()[:3] == ["license: mit", "library_name: tspcrep", "tags:"]
    assert all(line.startswith("- ") for line in head.splitlines()[3:])
    count = sum(tensor.numel() for tensor in encoder.state_dict().values())
    assert f"{count:,} numbers" in body and f"from {package.__name__} import" in body
    (folder / "README.md").write_text("written by hand")
    package.save_pretrained(encoder, folder)
    assert (folder / "README.md").read_text() == "written by hand"


@pytest.mark.parametrize(
    "change",
    [
        lambda config: json.dumps({**config, "model_type": "another"}),
        lambda config: json.dumps({**config, "more": 1}),
        lambda config: json.dumps(dict(list(config.items())[1:])),
        lambda config: "[]",
        lambda config: "{",
    ],
)
def test_a_config_json_that_says_otherwise_is_one_line(saved, change):
    package, _, folder = saved
    path = folder / "config.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(UserError, match=r"config\.json: ") as error:
        package.load_encoder(folder)
    assert "\n" not in str(error.value)


def test_without_config_json_the_header_is_enough(saved):
    package, encoder, folder = saved
    (folder / "config.json").unlink()
    assert_same(package.load_encoder(folder), encoder)


def test_a_model_is_downloaded_once(saved, hub):
    package, encoder, folder = saved
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert_same(package.from_pretrained("me/mine", revision="v1"), encoder)
    assert hub.asked == [("me/mine", "v1", True), ("me/mine", "v1", False)]
    assert not (hub.cache / "me/mine/pytorch_model.bin").exists()
    hub.published.clear()  # the network is gone
    assert_same(package.from_pretrained("me/mine"), encoder)
    assert hub.asked[2:] == [("me/mine", None, True)]


def test_a_download_that_was_cut_short_goes_on(saved, hub):
    package, encoder, _ = saved
    (hub.cache / "me/mine").mkdir(parents=True)
    assert_same(package.from_pretrained("me/mine"), encoder)


def test_a_folder_asks_nobody(saved, hub):
    package, encoder, folder = saved
    assert_same(package.from_pretrained(str(folder)), encoder)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("me/other", "404 Client Error."),
        ("series-small", "expected one, or a model as owner/name"),
        ("../me/mine", "expected one, or a model as owner/name"),
        ("", "expected one, or a model as owner/name"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(saved, hub, name, told):
    with pytest.raises(UserError) as error:
        saved[0].from_pretrained(name)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_the_package_is_missing(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[hub\]'"):
        saved[0].from_pretrained("me/mine")
    assert_same(saved[0].from_pretrained(saved[2]), saved[1])

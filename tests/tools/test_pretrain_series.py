"""The tool that pretrains on a corpus, run as a user would, on a tiny one."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tools.running import contents, frame, is_one_line
from tspcrep.common.weights import FILE, read_encoder
from tsrep import encode, load_encoder
from tsrep.encoders import PatchTransformer, save_encoder

TINY = ("--size", "40", "--steps", "32", "--dim", "8", "--depth", "1", "--heads", "2")
TINY += ("--batch-size", "8", "--max-steps", "2", "--device", "cpu")


@pytest.mark.parametrize("method", ["crops", "autotcl", "distillation", "masked"])
def test_every_method_ends_with_an_encoder(method, tmp_path, tool):
    output = tmp_path / "run"
    options = ("--output", output, "--method", method, *TINY)
    status, stdout, stderr = tool("pretrain_series", *options)
    assert status == 0, stderr
    result = json.loads((output / "result.json").read_text())
    assert result["method"] == method and result["timing"]["train_s"] > 0
    assert (output / "corpus.png").read_bytes().startswith(b"\x89PNG")
    assert str(output / FILE) in stdout
    kind, _, tensors = read_encoder(output)
    assert kind == "tsrep.PatchTransformer"
    assert all(t.dtype == torch.float16 for t in tensors.values())
    x = np.random.default_rng(0).standard_normal((3, 50, 1))
    assert encode(load_encoder(output), x, pool=True).shape == (3, 4 * 8 + 3)


def test_a_folder_beside_made_series(tmp_path, tool):
    (tmp_path / "tables").mkdir()
    frame().to_parquet(tmp_path / "tables" / "a.parquet")
    options = ("--data", "synthetic", tmp_path / "tables", "--output", tmp_path / "run", *TINY)
    status, _, stderr = tool("pretrain_series", *options)
    assert status == 0, stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["data"][0] == "synthetic"


def test_a_bad_folder_is_one_line_and_nothing_is_written(tmp_path, tool):
    options = ("--data", tmp_path / "none", "--output", tmp_path / "run", *TINY)
    status, _, stderr = tool("pretrain_series", *options)
    is_one_line(status, stderr, "no such folder")
    assert not contents(tmp_path)


def test_masked_patches_of_convolutions_are_one_line(tmp_path, tool):
    options = ("--method", "masked", "--kind", "dilated", "--output", tmp_path / "run", *TINY)
    status, _, stderr = tool("pretrain_series", *options)
    is_one_line(status, stderr, "found a DilatedConv", "patch_transformer")
    assert not contents(tmp_path)


def test_embed_writes_the_summary_of_such_an_encoder(tmp_path, tool):
    encoder = PatchTransformer(1, 8, 1, 2)
    save_encoder(tmp_path / "e.safetensors", encoder)
    table = frame(60)
    table.to_csv(tmp_path / "t.csv", index=False)
    options = ("--encoder", tmp_path / "e.safetensors", "--data", tmp_path / "t.csv")
    options += ("--output", tmp_path / "v.parquet", "--pool", "--own-scale")
    status, _, stderr = tool("embed", *options)
    assert status == 0, stderr
    found = pd.read_parquet(tmp_path / "v.parquet")
    names = [f"{column}_v{i}" for column in ("load", "wind") for i in range(35)]
    assert list(found.columns) == ["time", *names] and len(found) == 1
    values = table[["load", "wind"]].to_numpy()
    scaled = (values - values.mean(0)) / values.std(0)
    expected = encode(encoder, scaled[None], pool=True, apart=True)
    np.testing.assert_allclose(found[names].to_numpy(), expected, atol=1e-5)

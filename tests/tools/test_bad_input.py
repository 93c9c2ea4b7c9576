"""What a user can mend ends as one line on stderr and status 2, and nothing is written."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.tools.running import TINY, contents, frame, is_one_line, run
from tspcrep.common.weights import FILE
from tsrep.encoders import DilatedConv
from tsrep.encoders.files import save_encoder


def with_value(column, row, value):
    def change(data):
        data[column] = data[column].astype(object)
        data.loc[row, column] = value
        return data

    return change


def constant(column, value):
    def change(data):
        data[column] = value
        return data

    return change


def times(swap):
    def change(data):
        at = data["date"].to_numpy().copy()
        swap(at)
        data["date"] = at
        return data

    return change


def backwards(at):
    at[7], at[8] = at[8], at[7]


def repeated(at):
    at[8] = at[7]


TABLES = {
    "no rows": (lambda data: data.iloc[:0], ["no rows"]),
    "short": (lambda data: data.iloc[:30], ["30 rows", "+ horizon 4"]),
    "short train": (lambda data: data.iloc[:40], ["24 of its 40 rows", "+ horizon 4"]),
    "backwards": (times(backwards), ["row 9", "earlier"]),
    "repeated": (times(repeated), ["row 9", "repeats"]),
    "constant": (constant("wind", 2.0), ["'wind'", "constant"]),
    "all NaN": (constant("wind", np.nan), ["'wind'", "no number"]),
    "infinite": (with_value("wind", 5, np.inf), ["'wind'", "row 6", "infinite"]),
    "text": (with_value("wind", 5, "calm"), ["'wind'", "row 6", "'calm'"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_used(tool, tmp_path, name):
    change, words = TABLES[name]
    path = tmp_path / "bad.csv"
    change(frame()).to_csv(path, index=False)
    before = contents(tmp_path)
    status, _, stderr = tool("pretrain_autotcl", "--data", path, "--output", tmp_path / "o", *TINY)
    is_one_line(status, stderr, "pretrain_autotcl.py: ", *words)
    assert contents(tmp_path) == before and not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "options, words",
    [
        (["--data", "missing.csv"], ["missing.csv", "does not exist"]),
        (["--target", "sun"], ["no column 'sun'", "load, wind"]),
        (["--columns", "load", "sun"], ["no column 'sun'"]),
        (["--time-column", "when"], ["'when'"]),
        (["--horizons", "0"], ["horizons", "at least 1"]),
        (["--horizons", "300"], ["horizon 300"]),
        (["--length", "300"], ["look-back 300 + horizon 4 = 304"]),
        (["--stride", "0"], ["stride 0"]),
        (["--dim", "0"], ["dim", "at least 1"]),
        (["--seeds"], ["seeds"]),
        (["--epochs", "few"], ["epochs"]),
        (["--no-such-option", "1"], ["no-such-option"]),
    ],
)
def test_an_option_that_cannot_be_used(tool, csv, tmp_path, options, words):
    data = [] if "--data" in options else ["--data", csv]
    arguments = [*TINY, *data, "--output", tmp_path / "o", *options]
    status, _, stderr = tool("pretrain_autotcl", *arguments)
    is_one_line(status, stderr, *words)
    assert not (tmp_path / "o").exists()


def test_as_a_user_sees_it(tmp_path):
    done = run("pretrain_autotcl", "--data", tmp_path / "no.csv", "--output", tmp_path / "o")
    is_one_line(done.returncode, done.stderr, "no.csv does not exist")
    assert done.stdout == "" and contents(tmp_path) == {}


def test_a_folder_that_holds_a_run_or_something_else(tool, csv, finished, tmp_path):
    before = contents(finished[0])
    status, _, stderr = tool("pretrain_autotcl", "--data", csv, "--output", finished[0], *TINY)
    is_one_line(status, stderr, "--resume")
    assert contents(finished[0]) == before
    (tmp_path / "letter.txt").write_text("dear")
    status, _, stderr = tool("pretrain_autotcl", "--data", csv, "--output", tmp_path, *TINY)
    is_one_line(status, stderr, "holds no run")


def resume(tool, csv, folder):
    options = ["--data", csv, "--output", folder, "--max-steps", 2, "--resume", *TINY]
    return tool("pretrain_autotcl", *options)


def test_a_checkpoint_truncated_or_of_another_model(tool, csv, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    checkpoint = folder / "seed-0" / "checkpoint.pt"
    (folder / "seed-0" / "result.json").unlink()
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    (folder / "env.json").unlink()  # written anew: it says where the run goes on
    before = contents(folder)
    status, _, stderr = resume(tool, csv, folder)
    is_one_line(status, stderr, "checkpoint.pt", "truncated")
    (folder / "env.json").unlink()
    assert contents(folder) == before

    checkpoint.write_bytes(whole)
    state = torch.load(checkpoint, weights_only=True)
    state["method"]["encoder.input.weight"] = torch.zeros(9, 1)
    torch.save(state, checkpoint)
    before = contents(folder)
    status, _, stderr = resume(tool, csv, folder)
    is_one_line(status, stderr, "checkpoint.pt", "another model", "encoder.input.weight")
    (folder / "env.json").unlink()
    assert contents(folder) == before


def damaged(kind, source, path):
    if kind == "missing":
        return "no such file"
    if kind == "truncated":
        content = source.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return "truncated"
    if kind == "foreign":
        save_file({"x": torch.zeros(1)}, path)
        return "not an encoder"
    if kind == "no scale":
        save_encoder(path, DilatedConv(1, 4, 4, 1))
        return "--own-scale"
    save_encoder(path, DilatedConv(3, 4, 4, 1))
    return "3 together"


@pytest.mark.parametrize("kind", ["missing", "truncated", "foreign", "no scale", "channels"])
def test_an_encoder_that_cannot_be_used(tool, csv, finished, tmp_path, kind):
    path = tmp_path / FILE
    word = damaged(kind, finished[0] / FILE, path)
    before = contents(tmp_path)
    options = ["--encoder", path, "--data", csv, "--output", tmp_path / "o"]
    status, _, stderr = tool("embed", *options)
    is_one_line(status, stderr, "embed.py: ", word)
    if kind != "no scale":
        status, _, stderr = tool("evaluate", *options, "--horizons", 4)
        is_one_line(status, stderr, "evaluate.py: ", word)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change, options, words",
    [
        (lambda d: d.drop(columns="wind"), [], ["no column 'wind'"]),
        (lambda d: d.rename(columns={"wind": "sun"}), ["--columns", "sun"], ["'sun'", "own-scale"]),
        (constant("wind", np.nan), [], ["'wind'", "no number"]),
        (with_value("wind", 5, "calm"), [], ["'wind'", "row 6"]),
        (with_value("wind", 5, 1e300), [], ["'wind'", "row 6", "1e+300"]),
        (lambda d: d, ["--window", "0"], ["window", "at least 1"]),
        (lambda d: d, ["--output", "."], ["cannot be written"]),
    ],
)
def test_data_that_the_encoder_cannot_embed(tool, finished, tmp_path, change, options, words):
    change(frame(rows=60)).to_csv(tmp_path / "new.csv", index=False)
    before = contents(tmp_path)
    arguments = ["--encoder", finished[0], "--data", tmp_path / "new.csv"]
    status, _, stderr = tool("embed", *arguments, "--output", tmp_path / "o", *options)
    is_one_line(status, stderr, *words)
    assert contents(tmp_path) == before


def test_a_report_of_no_run(tool, finished, tmp_path):
    status, _, stderr = tool("report", "--run", tmp_path)
    is_one_line(status, stderr, "config.toml")
    shutil.copy(finished[0] / "config.toml", tmp_path)
    status, _, stderr = tool("report", "--run", tmp_path)
    is_one_line(status, stderr, "result.json", "finished run")

"""Loggers hold the rows of metrics.jsonl, each once, whatever happened to the run."""

import csv
import importlib.util
import json

import pytest

from tests.common.toys import Rows, Toy, assert_equal_bits, outcome, settings_of
from tspcrep.common import loggers
from tspcrep.common.errors import DivergedError, UserError
from tspcrep.common.training import fit

WRITERS = [name for name in ("tensorboard", "tensorboardX") if importlib.util.find_spec(name)]


def lines_of(folder):
    """The scalars of metrics.jsonl."""
    lines = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not isinstance(v, list)} for line in lines]


def rows_of(folder):
    """The rows of metrics.csv, where a phase that rested has no number."""
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if v} for row in rows]


def train(folder, resume=False, **changes):
    fit(Toy(), Rows(), settings_of(**changes), seed=0, folder=folder, resume=resume)


def test_the_csv_has_the_scalars_of_each_line(tmp_path):
    train(tmp_path, logger="csv")
    rows = rows_of(tmp_path)
    assert rows == lines_of(tmp_path) and len(rows) == 4
    assert {"step", "epoch", "seconds", "seed"} < rows[0].keys()
    assert any(name.endswith("/loss") for name in rows[0])


def test_none_writes_no_more_than_before(tmp_path):
    train(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "metrics.jsonl"}


def test_a_logger_changes_nothing_else(tmp_path):
    train(tmp_path / "a", logger="csv")
    train(tmp_path / "b")
    for found, expected in zip(outcome(tmp_path / "a"), outcome(tmp_path / "b"), strict=True):
        assert_equal_bits(found, expected)


class Killed(Exception):
    pass


class Stops(Toy):
    """Dies in the step after ``left`` others, as a killed process does: nothing is saved."""

    left = 13

    def after_step(self):
        super().after_step()
        self.left -= 1
        if self.left < 0:
            raise Killed


@pytest.mark.parametrize("before", ["csv", "none"])
def test_a_resumed_run_has_all_rows_once(tmp_path, before):
    """Also those from before the logger was asked for; none that the checkpoint has not seen."""
    steps = {"checkpoint_every": 7}  # of 5 steps an epoch: the row of step 10 is taken back
    with pytest.raises(Killed):
        fit(Stops(), Rows(), settings_of(logger=before, **steps), seed=0, folder=tmp_path)
    train(tmp_path, resume=True, logger="csv", **steps)
    rows = rows_of(tmp_path)
    assert [row["step"] for row in rows] == [5, 10, 15, 20] and rows == lines_of(tmp_path)


def test_a_finished_run_that_is_resumed_keeps_its_rows(tmp_path):
    train(tmp_path, logger="csv")
    before = rows_of(tmp_path)
    train(tmp_path, resume=True, logger="csv")
    assert rows_of(tmp_path) == before


def test_a_new_run_in_the_folder_of_another_begins_anew(tmp_path):
    train(tmp_path, logger="csv")
    train(tmp_path, logger="csv", epochs=2)
    assert [row["step"] for row in rows_of(tmp_path)] == [5, 10]


def test_what_was_logged_before_a_failure_is_there(tmp_path):
    class Diverges(Stops):
        left = 7

        def loss(self, *arguments):
            losses = super().loss(*arguments)
            return losses if self.left > 0 else {**losses, "loss": losses["loss"] * float("nan")}

    with pytest.raises(DivergedError):
        fit(Diverges(), Rows(), settings_of(logger="csv"), seed=0, folder=tmp_path)
    assert [row["step"] for row in rows_of(tmp_path)] == [5]


@pytest.mark.skipif(not WRITERS, reason="neither tensorboard nor tensorboardX is installed")
def test_tensorboard_has_a_file_of_events(tmp_path):
    train(tmp_path, logger="tensorboard")
    train(tmp_path, logger="tensorboard", resume=True)
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    lines = lines_of(tmp_path)
    for name in {name for line in lines for name in line} - {"step"}:
        found = content.count(bytes([len(name)]) + name.encode())  # a string of protobuf
        assert found == sum(name in line for line in lines)


def test_without_its_package_tensorboard_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[tensorboard\]'"):
        train(tmp_path / "run", logger="tensorboard")
    assert not (tmp_path / "run").exists()

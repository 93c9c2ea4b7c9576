"""metrics.jsonl comes back as it was logged, without the lines that are damaged."""

import json

import pytest
import torch
from hypothesis import given

from tests.damage import damaged
from tspcrep.common.metrics_log import MetricsLog, read_metrics

LINE = {"seed": 0, "epoch": 1, "step": 5, "seconds": 0.5, "a/loss": 2.0, "a/counts": [1.0, 3.0]}


def test_what_is_logged_is_read(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.start()
    for step in (1, 2):
        log.add("a", {"loss": torch.tensor(float(step)), "counts": torch.tensor([1.0, step])})
        log.end_epoch({"step": step})
    logged = read_metrics(log.path)
    assert logged.curves == {"a/loss": ([1, 2], [1.0, 2.0])}
    assert logged.counts == {"a/counts": [1.0, 2.0]} and logged.damaged == 0


@given(line=damaged(LINE))
def test_a_line_that_is_no_line_is_left_out_and_counted(tmp_path_factory, line):
    path = tmp_path_factory.getbasetemp() / "metrics.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{json.dumps(line)}\n")
    logged = read_metrics(path)
    steps, values = logged.curves["a/loss"]
    assert logged.damaged in (0, 1) and steps[0] == 5 and values[0] == 2.0
    assert all(type(step) is int for step in steps)
    assert all(type(value) in (int, float) for value in values)
    assert all(type(x) in (int, float) for counts in logged.counts.values() for x in counts)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_cut_short(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(LINE) + "\n" + json.dumps(LINE)[:-cut])
    logged = read_metrics(path)
    assert logged.curves == {"a/loss": ([5], [2.0])} and logged.damaged == 1


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\x00\n" + json.dumps(LINE).encode())
    assert read_metrics(path).damaged == 1

"""A run that is killed and resumed ends with the bits of one that never was."""

import os
import signal
import subprocess
import sys
import time

import torch

from tests.tools.running import TINY, TOOLS, run
from tspcrep.common.weights import FILE, read_encoder


def test_a_killed_run_resumes_to_identical_weights(csv, tmp_path):
    options = ["--data", csv, "--target", "load", "--max-steps", 60, "--checkpoint-every", 1]
    options += [*TINY, "--epochs", 100]
    whole = run("pretrain_autotcl", *options, "--output", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr

    killed = tmp_path / "killed"
    command = [sys.executable, str(TOOLS / "pretrain_autotcl.py"), *map(str, options)]
    process = subprocess.Popen(
        [*command, "--output", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    metrics = killed / "seed-0" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    # The second epoch's line falls amid training; with a checkpoint at every step, the kill often
    # falls inside a write.
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (killed / "seed-0" / "checkpoint.pt").exists()
    assert not (killed / "seed-0" / FILE).exists(), "killed too late to show anything"

    resumed = run("pretrain_autotcl", *options, "--output", killed, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for name in (FILE, f"seed-0/{FILE}"):  # the order of a header's fields is safetensors' whim
        found, expected = (read_encoder(run / name)[2] for run in (killed, tmp_path / "whole"))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    runs = (killed, tmp_path / "whole")
    lines = [(run / "seed-0" / "metrics.jsonl").read_text().splitlines() for run in runs]
    assert len(lines[0]) == len(lines[1])

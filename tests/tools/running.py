"""Run a tool as a person does, on a tiny series, and look at what it left."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TOOLS = Path(__file__).parents[2] / "tools"
TINY = (
    *("--length", "32", "--dim", "6", "--hidden", "4", "--depth", "2", "--batch-size", "8"),
    *("--horizons", "4", "--seeds", "0", "--device", "cpu"),
)


def run(tool, *arguments):
    """Run ``tools/<tool>.py`` as a person would."""
    return subprocess.run(
        [sys.executable, str(TOOLS / f"{tool}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=600,  # a guard against a tool that hangs, on a machine that may be busy
        check=False,
    )


def torchrun(script, *arguments):
    """Run a tool, by its name, or a script on two processes."""
    path = script if isinstance(script, Path) else TOOLS / f"{script}.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launch, str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TOOLS.parent)},
        timeout=600,
        check=False,
    )


def frame(rows=440, seed=0):
    """Two hourly columns with a daily season."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    day = np.sin(2 * np.pi * t / 24)
    return pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "load": 50 + 10 * day + rng.normal(size=rows),
            "wind": 3 + np.cos(2 * np.pi * t / 24) + 0.3 * rng.normal(size=rows),
        }
    )


def contents(folder):
    """Every file below a folder with its bytes, to see that nothing was written."""
    return {p: p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def is_one_line(status, stderr, *words):
    assert status == 2, stderr
    lines = [line for line in stderr.splitlines() if line]
    assert len(lines) == 1, stderr
    for word in words:
        assert word in lines[0]

"""The tools as a user runs them, on tiny series."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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


@pytest.fixture(scope="session")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "tiny.csv"
    frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def finished(csv, tmp_path_factory):
    """A finished run of two steps on both columns."""
    folder = tmp_path_factory.mktemp("runs") / "two-steps"
    done = run("pretrain_autotcl", "--data", csv, "--output", folder, "--max-steps", 2, *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def tool(monkeypatch, capsys):
    """``tool(name, *arguments)`` in this process: (status, stdout, stderr)."""

    def call(name, *arguments):
        from tspcrep.common.config import run_tool

        monkeypatch.syspath_prepend(str(TOOLS))
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        status = 0
        try:
            run_tool(module.main, module.Config)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return call


def contents(folder):
    """Every file below a folder with its bytes, to see that nothing was written."""
    return {p: p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}

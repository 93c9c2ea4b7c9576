"""Numba's threads beside those of other libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

AFTER_OPEN3D = """
import warnings
import open3d
warnings.simplefilter("error")
import numba
import torch
from tsrep.augment import TimeWarp
TimeWarp()(torch.zeros(64, 64, 32), torch.Generator())
print(numba.threading_layer())
"""


def test_an_old_tbb_of_open3d_is_no_warning():
    pytest.importorskip("open3d", reason="open3d brings the library")
    done = subprocess.run(
        [sys.executable, "-c", AFTER_OPEN3D],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] != "tbb"

"""Two processes train AutoTCL to the weights of one process with twice the batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.distributed

SCRIPT = """
import sys
from pathlib import Path
import numpy as np, torch
from tspcrep.common.training import Training, fit
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
from tsrep.encoders import DilatedConv
from tsrep.datasets.windows import WindowDataset

torch.set_num_threads(1)
torch.manual_seed(0)
method = AutoTCL(DilatedConv(2, 8, 8, depth=2).double(), AutoTCLConfig(head=4)).double()
values = np.random.default_rng(0).normal(size=(1, 90, 2)).astype("float32")
data = WindowDataset(values, 24, 3)  # 23 windows: an uneven last batch
double = type(data).__getitems__
WindowDataset.__getitems__ = lambda self, i: double(self, i)._replace(
    values=double(self, i).values.double()
)
batch = int(sys.argv[1])
training = Training(epochs=4, batch_size=batch, device="cpu", schedule="constant")
fit(method, data, training, seed=3, folder=Path(sys.argv[2]))
"""


@pytest.mark.parametrize("processes", [2, 4])
def test_weights_equal_those_of_one_process_with_the_whole_batch(tmp_path, processes):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    runs = {
        "one": [sys.executable, str(script), "8"],
        "several": [*torchrun, str(processes), str(script), str(8 // processes)],
    }
    states = {}
    for name, command in runs.items():
        folder = tmp_path / name
        done = subprocess.run(
            [*command, str(folder)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        assert state["step"] == 12
        states[name] = state["method"]
    for name, weight in states["one"].items():
        torch.testing.assert_close(states["several"][name], weight, rtol=1e-7, atol=1e-9, msg=name)

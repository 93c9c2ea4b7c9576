"""Methods and data that are quick to train, and the comparison of what two runs leave."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tspcrep.common.distributed import gather
from tspcrep.common.losses import nt_xent
from tspcrep.common.methods import Phase
from tspcrep.common.training import Training

ROWS, FEATURES = 20, 3  # in batches of 4: five steps an epoch


class Rows:
    """Hands out whole batches of a fixed table, and may stop the world at a given batch."""

    def __init__(self, stop_at=None, rows=ROWS):
        self.table = torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(0))
        self.left, self.seen = stop_at, []

    def __len__(self):
        return len(self.table)

    def __getitems__(self, indices):
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        self.seen.append(list(indices))
        return self.table[list(indices)]


class Toy(nn.Module):
    """Two phases, random numbers in each step, an average of weights and a queue to remember."""

    def __init__(self, rates=(1e-2, 1e-3), every=(1, 2), width=4):
        super().__init__()
        torch.manual_seed(7)
        self.encoder = nn.Sequential(nn.Linear(FEATURES, width), nn.Dropout(0.5))
        self.helper = nn.Linear(FEATURES, FEATURES)
        self.averaged = AveragedModel(self.encoder)
        self.register_buffer("queue", torch.zeros(8, width))
        self.rates, self.every, self.calls = rates, every, []

    def phases(self):
        parts = (("helper", self.helper, 1), ("encoder", self.encoder, 0))
        return [
            Phase(name, list(part.parameters()), self.rates[i], self.every[i], weight_decay=0.1)
            for name, part, i in parts
        ]

    def loss(self, batch, phase):
        self.calls.append((phase, self.training))
        z = self.encoder(self.helper(batch) + torch.randn_like(batch))
        if phase == "encoder":
            self.z = z.detach()
        return {"loss": (z - self.queue[:1]).square().mean(), "norm": z.norm()}

    def after_step(self):
        self.averaged.update_parameters(self.encoder)
        self.queue = torch.cat([self.z, self.queue])[: len(self.queue)]


def settings_of(**changes):
    defaults = dict(epochs=4, batch_size=4, checkpoint_every=3, device="cpu")
    return Training(**{**defaults, **changes})


def outcome(folder):
    """All that a run leaves, but for how long it took."""
    state = torch.load(Path(folder) / "checkpoint.pt", weights_only=True)
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert line.pop("seconds") >= 0
    state.pop("metrics_size")  # counts the digits of the seconds
    return state, lines


def assert_equal_bits(found, expected, where="state"):
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype and torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_equal_bits(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_equal_bits(a, b, f"{where}.{i}")
    else:
        assert found == expected, where


def assert_same_run(folder, method, unbroken):
    state, lines, weights = unbroken
    found_state, found_lines = outcome(folder)
    assert_equal_bits(found_state, state)
    assert found_lines == lines
    assert_equal_bits(method.state_dict(), weights)


class Plain(Toy):
    """The toy without random numbers, so that W processes must equal one."""

    def __init__(self):
        super().__init__(rates=(1e-2, 1e-2))
        self.encoder[1].p = 0.0

    def loss(self, batch, phase):
        return {"loss": self.encoder(self.helper(batch)).square().sum(1).mean()}

    def after_step(self):
        self.averaged.update_parameters(self.encoder)


class Pair(nn.Module):
    """NT-Xent of a row and the row with its features reversed, over the rows of all processes."""

    def __init__(self, width=8, depth=1, dropout=0.0):
        super().__init__()
        torch.manual_seed(7)
        widths = [FEATURES] + [width] * depth
        layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.Tanh())]
        self.encoder = nn.Sequential(*layers, nn.Dropout(dropout))
        self.head = nn.Linear(width, 4)

    def phases(self):
        return [Phase("pair", list(self.parameters()), 1e-2)]

    def loss(self, batch, phase):
        return self.contrast(self.embed(batch, phase), phase)

    def embed(self, batch, phase):
        return self.encoder(batch), self.encoder(batch.flip(1))

    def contrast(self, embeddings, phase):
        return {"loss": nt_xent(*(self.head(gather(z)) for z in embeddings), 0.1)}

    def after_step(self):
        pass


def torchrun(script, folder, *arguments):
    """Run ``script`` on two processes."""
    (folder / "rank.py").write_text(script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*launch, str(folder / "rank.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

"""Tiny trainings in processes of their own, killed (signal 9) at a moment that is counted.

A moment is when a file below the output folder is opened, made, renamed or removed; so are those
within the writing of config.toml, of a checkpoint and of result.json. A delay after it falls into
the work between two writes.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import torch

from tests.tools import running
from tests.tools.rooms import write_room
from tspcrep.common.weights import read_encoder

_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.chmod", "os.truncate"}
_COMMON = ("--seeds", "0", "--device", "cpu", "--max-steps", "4", "--checkpoint-every", "2")


class Training(NamedTuple):
    """tool: its module in tools/. options: beside --data and --output. file: of its weights."""

    tool: str
    options: tuple[str, ...]
    data: Callable[[Path], Path]
    file: str = "encoder.safetensors"


def _table(folder: Path) -> Path:
    running.frame(rows=240).to_csv(folder / "tiny.csv", index=False)
    return folder / "tiny.csv"


def _rooms(folder: Path) -> Path:
    for index, part in enumerate(("learn", "learn", "test")):
        write_room(folder / "rooms" / part / f"room{index}.npz", index)
    return folder / "rooms"


TRAININGS = {
    "series": Training("pretrain_autotcl", (*running.TINY, "--target", "load", *_COMMON), _table),
    "forecaster": Training(
        "train_forecaster",
        (
            *("--look-back", "24", "--patch", "8", "--dim", "8", "--heads", "2", "--width", "6"),
            *("--batch-size", "16", "--horizons", "4", "--snapshots", "2", *_COMMON),
        ),
        _table,
        "forecaster.safetensors",
    ),
    "points": Training("pretrain_fac", ("--voxel", "0.2", "--batch-size", "2", *_COMMON), _rooms),
    "segmenter": Training(
        "finetune_segmentation",
        ("--voxel", "0.2", "--batch-size", "2", "--probe-points", "50", *_COMMON),
        _rooms,
        "segmenter.safetensors",
    ),
}


def server() -> ForkServerContext:
    """Where processes of trainings start from: one import of the tools for all runs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.preload"])
    return context


def train(name: str, data: Path, output: Path) -> None:
    """Run a training, or go on with it, in this process."""
    from tspcrep.common.config import run_tool

    torch.set_num_threads(1)
    training = TRAININGS[name]
    module = importlib.import_module(f"tspcrep.tools.{training.tool}")
    options = ["--data", data, "--output", output, "--resume", *training.options]
    run_tool(module.main, module.Config, [*map(str, options)], training.tool, name)


def run(
    name: str, data: Path, output: Path, kill_at: int | None = None, delay: float = 0.0
) -> tuple[int | None, int]:
    """Run a training, or go on with it; its exit status, -9 where it was killed, and its moments.

    kill_at: count of the moment to kill it at, ``delay`` seconds later.
    """
    context = server()
    count = context.Value("i", 0)
    child = context.Process(target=_work, args=(name, data, output, kill_at, delay, count))
    child.start()
    child.join()
    return child.exitcode, count.value


def outcome(name: str, output: Path) -> tuple[dict[str, torch.Tensor], object]:
    """What a run leaves: weights, and the result without times."""
    weights = read_encoder(output / TRAININGS[name].file)[2]
    return weights, _untimed(json.loads((output / "result.json").read_text()))


def differs(found: tuple, expected: tuple) -> str:
    """What two outcomes differ in, "" where in no bit."""
    weights, other = found[0], expected[0]
    if weights.keys() != other.keys():
        return "names of weights"
    for name, tensor in weights.items():
        if not torch.equal(tensor, other[name]):
            return name
    return "" if found[1] == expected[1] else "result.json"


def _untimed(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _untimed(value) for name, value in tree.items() if name != "timing"}
    return [_untimed(value) for value in tree] if isinstance(tree, list) else tree


def _work(name: str, data: Path, output: Path, kill_at: int | None, delay: float, count) -> None:
    os.environ["XDG_CACHE_HOME"] = str(output.parent / "cache")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    below = str(output)

    def hear(event: str, values: tuple) -> None:
        if event not in _EVENTS or not str(values[0]).startswith(below):
            return
        count.value += 1
        if count.value == kill_at:
            threading.Timer(delay, _die).start() if delay else _die()

    sys.addaudithook(hear)
    train(name, data, output)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""A tiny training in a process of its own, in surroundings that a tool cannot choose."""

import importlib
import multiprocessing
import os
import pwd
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.crash.killing import TRAININGS


def run_in(name: str, data: Path, output: Path, surround: Callable[[], None]) -> tuple[int, str]:
    """Exit status and stderr of a training, or of going on with it, after ``surround()``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.preload"])
    told = output.parent / f"{output.name}.stderr"
    child = context.Process(target=_work, args=(name, data, output, surround, told))
    child.start()
    child.join()
    return child.exitcode, told.read_text()


def usual() -> None:
    """Nothing special."""


def nobody() -> None:
    """No home: a user without an entry in the system's table, as in a container."""

    def unknown(number: int):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for variable in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        os.environ.pop(variable, None)
    pwd.getpwuid = unknown


def ascii_locale() -> None:
    """LC_ALL=C on a Python that does not put UTF-8 in its place."""
    for variable in ("LC_ALL", "LANG"):
        os.environ[variable] = "C"
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")


def no_stdout() -> None:
    """Started with ``>&-``."""
    os.close(1)
    sys.stdout = None


def unwritable_cache() -> None:
    os.environ["XDG_CACHE_HOME"] = os.devnull


class FullAfter:
    """No file can grow beyond so many bytes, as on a full disk."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))


def _work(name: str, data: Path, output: Path, surround: Callable, told: Path) -> None:
    from tspcrep.common.config import run_tool

    torch.set_num_threads(1)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = open(told, "w")  # noqa: SIM115
    os.environ["XDG_CACHE_HOME"] = str(output.parent / "cache")
    surround()
    training = TRAININGS[name]
    module = importlib.import_module(f"tspcrep.tools.{training.tool}")
    options = ["--data", data, "--output", output, "--resume", *training.options]
    run_tool(module.main, module.Config, [*map(str, options)], training.tool, name)

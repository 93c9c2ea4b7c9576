"""A tiny training in a process of its own, in surroundings that a tool cannot choose."""

import io
import os
import pwd
import resource
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tests.crash.killing import server, train


def run_in(name: str, data: Path, output: Path, surround: Callable[[], None]) -> tuple[int, str]:
    """Exit status and stderr of a training, or of going on with it, after ``surround()``."""
    context = server()
    ours, theirs = context.Pipe()
    child = context.Process(target=_work, args=(name, data, output, surround, theirs))
    child.start()
    theirs.close()
    told = ours.recv()
    child.join()
    return child.exitcode, told


def usual() -> None:
    """Nothing special."""


def bare() -> None:
    """No home, as of a user without an entry in the system's table in a container; ``LC_ALL=C`` on
    a Python that does not put UTF-8 in its place; and no stdout (``>&-``)."""

    def unknown(number: int):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for variable in ("HOME", "MPLCONFIGDIR"):
        os.environ.pop(variable, None)
    pwd.getpwuid = unknown
    os.environ.update(LC_ALL="C", LANG="C")
    sys.stderr.reconfigure(encoding="ascii", errors="surrogateescape")
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


def _work(
    name: str, data: Path, output: Path, surround: Callable[[], None], wire: Connection
) -> None:
    told = io.BytesIO()  # a file could be full, too
    sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(told)
    os.environ["XDG_CACHE_HOME"] = str(output.parent / "cache")
    surround()
    try:
        train(name, data, output)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stderr.flush()
        lines = told.getvalue().decode().splitlines(keepends=True)
        wire.send("".join(line for line in lines if line.strip() and "%|" not in line))  # no bars

"""One target in a process of its own, with limits of time and memory.

A child that the system ends (out of memory, a crash in a library, ten seconds of processor time)
tells of its input by the number that it sent before.
"""

import multiprocessing
import resource
import signal
import tempfile
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

_MEMORY = 4 << 30
"""Bytes that an input may take, beyond what the process has when it begins."""
_SECONDS = 10
"""Processor time for an input."""
_SILENCE = 300
"""Seconds of the clock after which a child is taken for dead; a busy machine is no fault."""
_WARNINGS = 10
"""More of an input are a storm."""


def failures(name: str, inputs: Sequence[int]) -> dict[int, str]:
    """What went wrong of target ``name``, by the number of the input."""
    context = multiprocessing.get_context("forkserver")  # its children have no threads of ours
    context.set_forkserver_preload(
        ["tests.fuzz.of_series", "tests.fuzz.of_points", "tests.fuzz.of_runs"]
    )
    found, left = {}, list(inputs)
    while left:
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(name, left, theirs), daemon=True)
        child.start()
        theirs.close()
        at, done = _listen(ours, found)
        if not done:
            child.kill()
        child.join()
        if done:
            break
        if at is None:
            found[-1] = f"the child ended before its first input, status {child.exitcode}"
            break
        found[at] = f"ended by signal {-(child.exitcode or 0)}"
        left = left[left.index(at) + 1 :]
    return found


def damaged(name: str, valid: bytes, number: int) -> bytes:
    """Input ``number`` of a target, from its valid file."""
    from tests.fuzz.targets import targets

    return targets()[name].damage(valid, Random(f"{name} {number}"))


def _listen(wire: Connection, found: dict[int, str]) -> tuple[int | None, bool]:
    """The input that the child has begun last, and whether it came to the end."""
    at = None
    try:
        while wire.poll(_SILENCE):
            at, wrong = wire.recv()
            if at is None:
                return None, True
            if wrong:
                found[at] = wrong
    except EOFError:
        pass
    return at, False


def _work(name: str, inputs: Sequence[int], wire: Connection) -> None:
    import torch

    from tests.fuzz.targets import targets

    torch.set_num_threads(1)
    target = targets()[name]
    with tempfile.TemporaryDirectory() as place:
        path = target.make(Path(place))
        valid = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(path)
        _limit_memory()
        for number in inputs:
            wire.send((number, ""))
            _limit_time()
            path.write_bytes(damaged(name, valid, number))
            if wrong := _outcome(target.read, path):
                wire.send((number, wrong))
    wire.send((None, ""))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _limit_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + _SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _outcome(read, path: Path) -> str:
    """What is wrong with how a reader takes a file, "" where it is right."""
    from tspcrep.common.errors import UserError

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            read(path)
        except UserError as error:
            if "\n" in str(error):
                return f"several lines: {str(error)[:300]!r}"
        except BaseException as error:  # of lazrs, a panic is no Exception
            return f"{_place(error)}: {type(error).__name__}: {str(error)[:200]!r}"
    if len(told) > _WARNINGS:
        return f"{len(told)} warnings, the last {str(told[-1].message)[:200]!r}"
    return ""


def _place(error: BaseException) -> str:
    """The last line of ours on the way to an error."""
    found, frame = "?", error.__traceback__
    root = str(Path(__file__).parents[2])
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file.startswith(root) and "/.venv/" not in file:
            found = f"{file.removeprefix(root + '/')}:{frame.tb_lineno}"
        frame = frame.tb_next
    return found

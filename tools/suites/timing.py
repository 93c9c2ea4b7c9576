"""Timing of systems beside each other: fresh processes that take turns, wall, busy time, memory."""

import ctypes
import gc
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from suites.table import Row


class Time(NamedTuple):
    """Milliseconds of the fastest run.

    wall : elapsed time. busy : processor time of the calling thread, an estimate of wall time on an
    idle machine, since the thread takes part in all parallel work and does not spin.
    """

    wall: float
    busy: float


class Cost(NamedTuple):
    """A :class:`Time`, and peak memory in MB."""

    wall: float
    busy: float
    peak: float


def best(job: Callable[[], object], repeats: int) -> Time:
    """The fastest of ``repeats`` runs, after a warm-up run that compiles."""
    job()
    walls, busy = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.thread_time()
        job()
        walls.append(time.perf_counter() - start[0])
        busy.append(time.thread_time() - start[1])
    return Time(1e3 * min(walls), 1e3 * min(busy))


def peak(job: Callable[[], object]) -> float:
    """Peak resident memory of a run above that of the process before it, MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before may not hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # start the high-water mark anew
    before = _status("VmRSS")
    job()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


def race(job: Callable, systems: dict[str, tuple], threads: int, rounds: int) -> dict:
    """The best of ``rounds`` turns of each system, each in a fresh process."""
    fastest: dict = {}
    # Threads that wait leave the core to others: on a shared machine nothing else can be measured.
    variables = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    with _environment(**variables):
        for _ in range(rounds):
            for name, arguments in systems.items():
                with multiprocessing.get_context("spawn").Pool(1, _settle, (threads,)) as pool:
                    found = pool.apply(job, arguments)
                fastest[name] = type(found)(*map(min, fastest.get(name, found), found))
    return fastest


def _settle(threads: int) -> None:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def ratios(case: str, times: dict[str, Time], ours: str) -> list[Row]:
    """Rows of the times, and of the speed-up of ours over each other system."""
    found = []
    for name, t in times.items():
        found += [Row(case, name, "wall", t.wall, "ms"), Row(case, name, "busy", t.busy, "ms")]
        if name != ours:
            found += [
                Row(case, ours, f"wall_times_faster_than_{name}", t.wall / times[ours].wall, "x"),
                Row(case, ours, f"busy_times_faster_than_{name}", t.busy / times[ours].busy, "x"),
            ]
    return found

"""Ctrl-C and SIGTERM: the step is finished, the checkpoint written, one line says how to go on."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from tests.common.toys import Rows, Toy, assert_same_run, outcome, settings_of
from tspcrep.common.interrupts import Terminated, held, terminated_as_interrupt
from tspcrep.common.training import fit

ROOT = Path(__file__).parents[2]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]

TOOL = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from tests.common.toys import Rows, Toy, settings_of
from tspcrep.common.config import run_tool
from tspcrep.common.training import fit

@dataclass(frozen=True)
class Config:
    output: Path
    number: int
    resume: bool = False

class Signalled(Rows):
    def __getitems__(self, indices):
        if len(self.seen) == 7:
            os.kill(os.getpid(), CONFIG.number)
        return super().__getitems__(indices)

def main(config):
    global CONFIG
    CONFIG = config
    fit(Toy(), Signalled(), settings_of(), seed=5, folder=config.output, resume=config.resume)
    print("finished")

run_tool(main, Config)
"""


@pytest.fixture(autouse=True)
def ctrl_c():
    """A shell's background jobs ignore Ctrl-C, and hand that on to what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run(*arguments):
    command = [sys.executable, "-c", TOOL, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_stopped_tool_goes_on_where_it_was(tmp_path, number, status):
    done = run("--output", tmp_path / "run", "--number", int(number))
    assert done.returncode == status and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "-c: stopped; go on with --resume"
    assert "Traceback" not in done.stderr
    left = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert left["step"] == 8  # the step of the signal is done, between two of every third
    method, unbroken = Toy(), Toy()
    fit(unbroken, Rows(), settings_of(), seed=5, folder=tmp_path / "whole")
    fit(method, Rows(), settings_of(), seed=5, folder=tmp_path / "run", resume=True)
    expected = *outcome(tmp_path / "whole"), unbroken.state_dict()
    assert_same_run(tmp_path / "run", method, expected)


def test_a_reader_that_goes_away_is_no_error():
    script = """
from dataclasses import dataclass
from tspcrep.common.config import run_tool
@dataclass(frozen=True)
class Config:
    lines: int = 100_000
def main(config):
    for i in range(config.lines):
        print(i)
run_tool(main, Config)
"""
    command = f"{sys.executable} -c '{script}' | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")


@pytest.mark.parametrize("number", [number for number, _ in SIGNALS])
def test_a_signal_waits_for_the_end_of_the_block_and_a_second_does_not(number):
    before = signal.getsignal(number)
    order = []
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupt():
        with held() as stopped:
            assert not stopped()
            os.kill(os.getpid(), number)
            order.append(stopped())
        order.append("not reached")
    assert order == [True]
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupt(), held():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        order.append("not reached")
    assert order == [True] and signal.getsignal(number) is before


def test_terminated_is_told_from_ctrl_c():
    with pytest.raises(Terminated), terminated_as_interrupt():
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_thread_that_gets_no_signals_trains(tmp_path):
    threads = [
        threading.Thread(
            target=fit, args=(Toy(), Rows(), settings_of(max_steps=2), 0, tmp_path / "run")
        )
    ]
    for thread in threads:
        thread.start()
        thread.join()
    assert (tmp_path / "run" / "checkpoint.pt").exists()

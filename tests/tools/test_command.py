"""The command ``tspcrep``: its words are the tools, with their options and their messages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.running import TOOLS, contents
from tspcrep import __version__
from tspcrep.command import TOOLS as WORDS

NOT_COMMANDS = {"benchmark", "__init__"}


def command(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "tspcrep", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or Path(__file__).parents[2],
    )


def test_every_tool_has_a_word():
    assert {path.stem for path in TOOLS.glob("*.py")} - NOT_COMMANDS == set(WORDS.values())


def test_the_overview_names_them_with_their_first_line():
    for arguments in ((), ("--help",)):
        done = command(*arguments)
        assert done.returncode == 0 and done.stderr == ""
        for word in WORDS:
            assert f"  tspcrep {word} " in done.stdout
    assert command("--version").stdout == f"tspcrep {__version__}\n"


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_threads_do_not_spin_unless_they_are_told_to(monkeypatch, before, after):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if before:
        monkeypatch.setenv("OMP_WAIT_POLICY", before)
    code = """
import os, sys
assert "torch" not in sys.modules
from tspcrep.command import main
sys.argv = ["tspcrep", "view", "--nothing"]
try:
    main()
finally:
    print(os.environ["OMP_WAIT_POLICY"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{after}\n" and done.returncode == 2


def test_a_tool_runs_with_its_help_and_its_messages(tmp_path):
    done = command("embed", "--help")
    assert done.returncode == 0 and "usage: tspcrep embed" in done.stdout
    assert "Turn a series into vectors" in done.stdout and "--own-scale" in done.stdout
    done = command("report", "--run", tmp_path / "nothing")
    assert done.returncode == 2 and done.stderr.startswith("tspcrep report: ")
    assert done.stderr.count("\n") == 1 and contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("forcast",), ("tspcrep: forcast: no such command", "forecast")),
        (("embed", "--encoder"), ("tspcrep embed: ",)),
        (("forecast", "--horizn", "3"), ("tspcrep forecast: --horizn: no such option",)),
    ],
)
def test_what_cannot_be_run_is_one_line(arguments, words):
    done = command(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words)

"""Options read from a tool's source against those that the command line really has."""

import dataclasses
import importlib
import resource
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from tspcrep.common.options import complaint, options_of

TOOLS = Path(__file__).parents[2] / "tools"
CHECKED = sorted(p for p in TOOLS.glob("*.py") if "check_options(__file__)" in p.read_text())


def real(config):
    """(name, required) of the fields of a configuration and of its sections."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from real(hints[field.name])
        else:
            missing = dataclasses.MISSING
            required = field.default is missing and field.default_factory is missing
            yield field.name.replace("_", "-"), required


@pytest.mark.parametrize("tool", CHECKED, ids=lambda path: path.stem)
def test_the_options_of_the_source_are_those_of_the_configuration(tool, monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    module = importlib.import_module(tool.stem)
    found = [(option.name, option.required) for option in options_of(tool)]
    assert sorted(found) == sorted(real(module.Config))


def test_there_are_tools_to_check():
    assert len(CHECKED) >= 6


TOOL = TOOLS / "pretrain_autotcl.py"
GOOD = ["--data", "my.csv", "--output", "runs/x"]


@pytest.mark.parametrize(
    "arguments",
    [
        GOOD,
        [*GOOD, "--max-steps", "3", "--learning-rate=1e-3", "--no-resume", "--univariate"],
        [*GOOD, "--max_steps", "None", "--columns", "a", "b"],
        ["--config", "a.toml"],
        ["--config=a.toml", "--seeds", "0", "1"],
        ["--help"],
        [*GOOD, "--time-column", "Date", "Time"],
    ],
)
def test_nothing_is_said_of_what_may_be_right(arguments):
    assert complaint(options_of(TOOL), arguments) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*GOOD, "--training.max-steps", "3"], "in their name: write --max-steps"),
        ([*GOOD, "--max-step", "3"], "--max-step: no such option: did you mean --max-steps?"),
        ([*GOOD, "--zzzz"], "--zzzz: no such option: see --help"),
        (["--data", "my.csv"], "--output is missing"),
        ([*GOOD, "--max-steps", "few"], "--max-steps: found 'few', expected a number (int)"),
        ([*GOOD, "--max-steps"], "--max-steps: found '', expected a number"),
        ([*GOOD, "--clip", "nan"], "--clip: found 'nan', expected a number (float)"),
        ([*GOOD, "--learning-rate=-inf"], "--learning-rate: found '-inf', expected a number"),
        ([*GOOD, "--max-steps", "9" * 5000], "--max-steps: found '999"),
    ],
)
def test_what_cannot_be_right_is_told(arguments, message):
    assert message in complaint(options_of(TOOL), arguments)


def test_a_user_is_told_before_anything_heavy_is_imported():
    """In two seconds of processor time, of which it takes a fifth."""
    program = "import sys; sys.argv[1:] = ['--training.max-steps', '3']; import runpy; {}"
    run = f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    code = f"""
import atexit, sys
atexit.register(lambda: print(sorted({{'torch', 'numpy', 'pandas'}} & set(sys.modules))))
{program.format(run)}
"""
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout.strip() == "[]"
    assert done.stderr.count("\n") == 1 and "write --max-steps" in done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - started < 2

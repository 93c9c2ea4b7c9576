"""The tools as a user runs them, on tiny series."""

import importlib
import sys

import pytest

from tests.tools.running import TINY, TOOLS, frame, run


@pytest.fixture(scope="session")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "tiny.csv"
    frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def finished(csv, tmp_path_factory):
    """A finished run of two steps on both columns."""
    folder = tmp_path_factory.mktemp("runs") / "two-steps"
    done = run("pretrain_autotcl", "--data", csv, "--output", folder, "--max-steps", 2, *TINY)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def suite(monkeypatch):
    """``suite(name)``: a module of tools/suites, imported anew."""
    monkeypatch.syspath_prepend(str(TOOLS))
    yield lambda name: importlib.import_module(f"suites.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "suites"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def tool(monkeypatch, capsys):
    """``tool(name, *arguments)`` in this process: (status, stdout, stderr)."""

    def call(name, *arguments):
        from tspcrep.common.config import run_tool

        monkeypatch.syspath_prepend(str(TOOLS))
        module = importlib.import_module(name)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        status = 0
        try:
            run_tool(module.main, module.Config)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return call

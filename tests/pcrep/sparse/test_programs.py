"""Random programs of calls: no crash of the interpreter, errors of one line, engines that agree."""

import os
import subprocess
import sys
from pathlib import Path

COUNT = int(os.environ.get("TSPCREP_PROGRAMS", "300"))
"""Programs to run; 10,000 take some minutes."""


def test_programs_of_calls_with_wrong_arguments():
    done = subprocess.run(
        [sys.executable, "-m", "tests.pcrep.sparse.programs", "0", str(COUNT)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )  # a process of its own, which may die
    assert done.returncode == 0, f"status {done.returncode}: {done.stdout}{done.stderr}"
    assert f"{COUNT} programs, 0 wrong" in done.stdout

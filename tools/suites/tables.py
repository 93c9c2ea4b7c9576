"""What it costs to read large tables, beside pandas alone."""

import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from suites.table import Row

from tspcrep.common.errors import DataWarning
from tsrep.datasets import load_any

CASES = {
    "1000000-rows": (10**6, 2, "min"),
    "300-columns": (3000, 300, "h"),
    "10000-series": None,
}
READ = """
import sys
sys.path.insert(0, {folder!r})
from suites import tables
tables.measure({path!r}, {system!r})
"""


def rows() -> Iterator[Row]:
    """Processor seconds and peak memory of reading each table, each in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            path = Path(folder, f"{case}.csv")
            _write(case, path)
            for system in ("load", "pandas"):
                here = str(Path(__file__).parents[1])
                code = READ.format(folder=here, path=str(path), system=system)
                done = subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                )
                seconds, megabytes = map(float, done.stdout.split())
                yield Row(f"read/{case}", system, "cpu", seconds, "s")
                yield Row(f"read/{case}", system, "memory", megabytes, "MB")


def measure(path: str, system: str) -> None:
    """Print processor seconds, and megabytes above those before."""
    before, started = _peak(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        load_any(path) if system == "load" else pd.read_csv(path)
    print(time.process_time() - started, _peak() - before)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _write(case: str, path: Path) -> None:
    rng = np.random.default_rng(0)
    size = CASES[case]
    if size is None:  # a long table of series of 80 to 119 days
        lengths = rng.integers(80, 120, 10_000)
        days = np.concatenate([np.arange(rows) for rows in lengths])
        names = np.repeat([f"s{i}" for i in range(len(lengths))], lengths)
        times = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
        frame = pd.DataFrame({"unique_id": names, "ds": times, "y": rng.normal(size=len(days))})
    else:
        rows, columns, freq = size
        frame = pd.DataFrame(rng.normal(size=(rows, columns))).add_prefix("c")
        frame.insert(0, "date", pd.date_range("2000-01-01", periods=rows, freq=freq))
    frame.to_csv(path, index=False)

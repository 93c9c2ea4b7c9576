"""What it costs to read large tables, beside pandas alone, and to forecast many series at once."""

import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
import pandas as pd
from suites.table import Row

from tspcrep.common.errors import DataWarning
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets import Series, load_any, load_wide
from tsrep.forecasting.fitting import fit_forecaster
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import inputs_of
from tsrep.forecasting.training import LearningConfig, Settings

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


def forecaster_rows(seeds: tuple[int, ...]) -> Iterator[Row]:
    """Processor seconds of forecasters for 100 series of a long table: one, or one for each.

    Of those for each, one a seed is fitted and counts 100 / seeds times.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        path = Path(folder, "long.csv")
        table = _seasonal_series(100)
        table.to_csv(path, index=False)
        whole = load_wide(path)
        together = [_seconds(whole, seed) for seed in seeds]
        apart = []
        for seed in seeds:
            one = table[table["unique_id"] == f"s{seed * 33}"]
            one[["ds", "y"]].to_csv(path, index=False)
            apart.append(100 * _seconds(load_wide(path), seed))
    for system, found in (("one-forecaster", together), ("one-for-each", apart)):
        spread = pstdev(found) if len(found) > 1 else None
        yield Row("forecast/100-series", system, "cpu", fmean(found), "s", spread, len(seeds))


def _seconds(series: Series, seed: int) -> float:
    settings = Settings(
        ForecasterConfig(look_back=56, patch=7),
        ContrastConfig(),
        LearningConfig(),
        Training(epochs=100, max_steps=100, batch_size=64, device="cpu"),
    )
    started = time.process_time()
    fit_forecaster(inputs_of(series), settings, seed, None, (7,))
    return time.process_time() - started


def _seasonal_series(count: int) -> pd.DataFrame:
    """Series of 300 to 499 days with a week and a random walk, which end together."""
    rng, parts = np.random.default_rng(0), []
    for i in range(count):
        days = pd.date_range(end="2024-12-31", periods=int(rng.integers(300, 500)), freq="D")
        week = 5 * np.sin(2 * np.pi * np.arange(len(days)) / 7 + i)
        walk = 0.3 * np.cumsum(rng.normal(size=len(days)))
        y = 10 * i + week + walk + rng.normal(size=len(days))
        parts.append(pd.DataFrame({"unique_id": f"s{i}", "ds": days, "y": y}))
    return pd.concat(parts)


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

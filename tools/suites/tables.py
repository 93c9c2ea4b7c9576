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
from tsrep.datasets import load_any
from tsrep.forecasting.global_model import fit_global

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
    """Processor seconds and errors of forecasts of 100 series: one forecaster, or one for each.

    A seed makes the series. Errors are of the last 7 days, which neither is fitted to, in
    deviations of each series; beside them those of repeating the last week.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for seed in seeds:
        series = _seasonal_series(100, seed)
        known = [one.iloc[:-7] for one in series]
        started = time.process_time()
        model = fit_global(known, 7)
        together = [model.forecast(one) for one in known]
        between = time.process_time()
        apart = [fit_global([one], 7).forecast(one) for one in known]
        ended = time.process_time()
        week = [one.to_numpy()[-7:] for one in known]
        seconds = {"one-forecaster": between - started, "one-for-each": ended - between}
        for system, ahead in (
            ("one-forecaster", together),
            ("one-for-each", apart),
            ("seasonal_naive", week),
        ):
            errors = [
                np.square((own - one.to_numpy()[-7:]) / one.std()).mean()
                for own, one in zip(ahead, series, strict=True)
            ]
            found.setdefault((system, "mse"), []).append(float(np.mean(errors)))
        for system, cpu in seconds.items():
            found.setdefault((system, "cpu"), []).append(cpu)
    for (system, metric), numbers in found.items():
        spread = pstdev(numbers) if len(numbers) > 1 else None
        unit = "s" if metric == "cpu" else ""
        yield Row("forecast/100-series", system, metric, fmean(numbers), unit, spread, len(seeds))


def many_rows() -> Iterator[Row]:
    """Processor seconds of one forecaster for 10,000 series of 200 days, and of its forecasts."""
    series = _seasonal_series(10_000, 0, (200, 201))
    started = time.process_time()
    model = fit_global(series, 28)
    fitted = time.process_time()
    for one in series:
        model.forecast(one)
    case, system = "forecast/10000-series", "one-forecaster"
    yield Row(case, system, "cpu to fit", fitted - started, "s")
    yield Row(case, system, "cpu to forecast all", time.process_time() - fitted, "s")


def _seasonal_series(count: int, seed: int, rows: tuple[int, int] = (300, 500)) -> list[pd.Series]:
    """Series of 300 to 499 days with a week and a random walk, which end together."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        days = pd.date_range(end="2024-12-31", periods=int(rng.integers(*rows)), freq="D")
        week = 5 * np.sin(2 * np.pi * np.arange(len(days)) / 7 + i)
        walk = 0.3 * np.cumsum(rng.normal(size=len(days)))
        values = 10 * i + week + walk + rng.normal(size=len(days))
        found.append(pd.Series(values, days, name=f"s{i}"))
    return found


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

"""Rows of a benchmark, and the CSV in ``results/`` that the README's claims rest on."""

import csv
import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[2] / "results"


@dataclass(frozen=True)
class Row:
    """One number: ``case`` says what was done, ``system`` who did it, ``metric`` what was measured.

    ``std`` is the standard deviation over ``seeds`` runs; both stay empty where a number has no
    random part. ``over`` says what differs between the runs, where the suite tells it.
    """

    case: str
    system: str
    metric: str
    value: float
    unit: str = ""
    std: float | None = None
    seeds: int | None = None
    over: str = ""


def machine() -> str:
    """A short name of this machine's kind: ``cpu2``, or the GPU's name where one is visible."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name().lower().replace("nvidia", "").strip().replace(" ", "-")
    return f"cpu{len(os.sched_getaffinity(0)) if sys.platform == 'linux' else os.cpu_count()}"


def versions(*packages: str) -> str:
    """``python-3.11.7 torch-2.13.0 ...`` for the named packages."""
    found = [f"{name}-{version(name)}" for name in ("torch", "numpy", *packages)]
    return " ".join([f"python-{platform.python_version()}", *found])


def measured(suite: str) -> set[tuple[str, str]]:
    """Cases and systems that ``results/`` holds of a suite, measured on this kind of machine."""
    path = RESULTS / f"{suite}-{machine()}.csv"
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {(row["case"], row["system"]) for row in csv.DictReader(file)}


def values(suite: str) -> dict[tuple[str, str, str], float]:
    """Values by case, system and metric that ``results/`` holds of a suite."""
    path = RESULTS / f"{suite}-{machine()}.csv"
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {
            (r["case"], r["system"], r["metric"]): float(r["value"]) for r in csv.DictReader(file)
        }


def write(suite: str, rows: Iterable[Row], command: str, *packages: str) -> Path:
    """Write ``results/<suite>-<machine>.csv``, replacing the cases that ``rows`` measured again."""
    path = RESULTS / f"{suite}-{machine()}.csv"
    same = {"suite": suite, "machine": machine(), "versions": versions(*packages)}
    columns = ["suite", *(f.name for f in fields(Row)), "machine", "versions", "command"]
    fresh = [{**same, **asdict(row), "command": command} for row in rows]
    measured = {(row["case"], row["system"], row["metric"]) for row in fresh}
    kept = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [
                row
                for row in csv.DictReader(file)
                if (row["case"], row["system"], row["metric"]) not in measured
            ]
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(sorted(kept + fresh, key=lambda r: (r["case"], r["metric"], r["system"])))
    os.chmod(file.name, 0o644)  # a temporary file is its owner's alone
    os.replace(file.name, path)
    return path

"""Measure what the README claims, and write it to results/.

    python tools/benchmark.py series
    python tools/benchmark.py series --cases ETTh1/univariate --seeds 0 1 2
    python tools/benchmark.py augmentations
    python tools/benchmark.py forecasting --missing
    python tools/benchmark.py points --cases mosd/untrained mosd/fac
    python tools/benchmark.py archive --quick
    python tools/benchmark.py gift --cases ett1/h/short
    python tools/benchmark.py held --data one.csv other.csv
    python tools/benchmark.py all

Peers that are not installed are left out (`pip install -e '.[bench]'` brings them).
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import tyro
from suites import table

from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError


@dataclass(frozen=True)
class Config:
    suite: tyro.conf.Positional[
        Literal[
            "series",
            "classification",
            "pretraining",
            "forecasting",
            "augmentations",
            "ridge",
            "losses",
            "sparse",
            "points",
            "archive",
            "mining",
            "tables",
            "gift",
            "held",
            "coverage",
            "scans",
            "all",
        ]
    ]
    """What to measure."""
    cases: tuple[str, ...] = ()
    """Of the series, forecasting, points, sparse, archive, gift, coverage and scans suites: those
    alone, such as ETTh1/univariate."""
    data: tuple[Path, ...] = ()
    """Of the held suite: tables that nobody tuned on, such as your own."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Encoders to train for each case."""
    missing: bool = False
    """Of the forecasting suite: what results/ does not hold yet, alone."""
    quick: bool = False
    """Of the archive suite: six small sets and one seed; nothing is written to results/."""
    archive: Path | None = None
    """Of the archive and mining suites: a folder of labelled sets, by default series/ucr in
    $TSPCREP_DATA."""
    encoder: str = "series-small"
    """Of the archive and mining suites: the encoder to measure, by name, run folder or file."""


def main(config: Config) -> None:
    suites: dict[str, Callable[[Config], None]] = {
        "series": series,
        "classification": classification,
        "pretraining": pretraining,
        "forecasting": forecasting,
        "augmentations": augmentations,
        "ridge": ridge,
        "losses": losses,
        "sparse": sparse,
        "points": points,
        "archive": archive,
        "mining": mining,
        "tables": tables,
        "gift": gift,
        "held": held,
        "coverage": coverage,
        "scans": scans,
    }
    if config.suite == "all" and not config.data:
        del suites["held"]
    for name in suites if config.suite == "all" else [config.suite]:
        suites[name](config)


def series(config: Config) -> None:
    from suites import series

    check_cases(config, series.CASES)
    for case in config.cases or series.CASES:
        save("series", series.rows(case, config.seeds), "scikit-learn", "pandas")


def classification(config: Config) -> None:
    from suites import classification, forecasting_peers

    save("classification", classification.classification_rows(config.seeds), "sktime")
    save("classification", forecasting_peers.minirocket_rows(config.seeds), "sktime")


def pretraining(config: Config) -> None:
    from suites import pretraining

    save("pretraining", pretraining.rows(config.seeds))


def forecasting(config: Config) -> None:
    """Each job is written as soon as it is measured, so that the suite can go on after a stop."""
    from suites import forecasting, forecasting_peers

    check_cases(config, forecasting.PRODUCT)
    for job in forecasting.jobs():
        if config.cases and job.case not in config.cases:
            continue
        done = table.measured("forecasting") if config.missing else set()
        if not all((f"{job.case}/average", system) in done for system in job.systems):
            save("forecasting", job.rows(config.seeds), "neuralforecast")
    if not config.cases and not config.missing:
        save("forecasting", forecasting_peers.step_rows(), "neuralforecast")


def augmentations(config: Config) -> None:
    from suites import augmentations

    save("augmentations", augmentations.rows(), "numba", "scipy", "tsaug")


def ridge(config: Config) -> None:
    from suites import ridge

    save("ridge", ridge.rows(), "scikit-learn")


def losses(config: Config) -> None:
    from suites import losses

    save("losses", losses.rows(), "pytorch-metric-learning", "lightly")


def sparse(config: Config) -> None:
    from suites import sparse

    check_cases(config, sparse.cases())
    for case in config.cases or sparse.cases():
        save("sparse", sparse.rows(case), "numba", "open3d-cpu", "MinkowskiEngine")


def points(config: Config) -> None:
    from suites import (
        points,
        points_cars,
        points_instances,
        points_objectives,
        points_preparation,
        points_shipped,
        points_tiles,
        points_views,
    )

    alone = {
        points_shipped.CASE: points_shipped.rows,
        points_instances.CASE: points_instances.rows,
        points_cars.CASE: partial(points_cars.rows, config.seeds),
    }
    alone |= {
        case: partial(points_objectives.rows, case, config.seeds)
        for case in points_objectives.cases()
    }
    alone |= {case: partial(points_tiles.rows, case) for case in points_tiles.cases()}
    check_cases(config, (*alone, *points.cases(), *points.single()))
    if not config.cases:
        save("points", points_preparation.rows(), "numba", "scikit-learn")
        save("points", points_views.rows(), "numba", "MinkowskiEngine")
    for case in config.cases or (*alone, *points.cases()):
        rows = alone[case]() if case in alone else points.rows(case, config.seeds)
        save("points", rows, "numba", "scikit-learn")


def archive(config: Config) -> None:
    from suites import archive

    source = archive.folder(config.archive)
    rows = archive.rows(source, config.encoder, config.seeds, config.cases, config.quick)
    if config.quick:
        show(rows)
    else:
        save("archive", rows, "scikit-learn", "sktime", "pycatch22")


def mining(config: Config) -> None:
    from suites import archive, mining

    rows = mining.rows(archive.folder(config.archive), config.encoder, config.seeds)
    save("mining", rows, "scikit-learn", "stumpy")


def tables(config: Config) -> None:
    from suites import tables

    save("tables", tables.rows(), "pandas", "pyarrow")
    save("tables", tables.forecaster_rows(config.seeds), "pandas")
    save("tables", tables.many_rows(), "pandas")


def scans(config: Config) -> None:
    from suites import scans

    check_cases(config, scans.CASES)
    for case in config.cases or scans.CASES:
        save("scans", scans.rows(case), "laspy")


def coverage(config: Config) -> None:
    from suites import coverage

    check_cases(config, coverage.CASES)
    for case in config.cases or coverage.CASES:
        save("coverage", coverage.rows(case, config.seeds), "scipy")


def gift(config: Config) -> None:
    from suites import gift

    check_cases(config, [case.name for case in gift.CASES])
    for case in config.cases or [case.name for case in gift.CASES]:
        save("gift", gift.rows(case), "pandas")
    save("gift", gift.means(table.values("gift")), "pandas")


def held(config: Config) -> None:
    from suites import held

    names = [path.stem for path in config.data]
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"--data: found {', '.join(names) or 'none'}, expected files of unlike names"
        )
    for path in config.data:
        save("held", held.rows(path, config.seeds), "pandas", "scikit-learn")
    save("held", held.means(table.values("held"), names), "pandas")


def check_cases(config: Config, cases: Iterable[str]) -> None:
    unknown = sorted(set(config.cases) - set(cases))
    if unknown:
        raise UserError(f"--cases: no case {unknown[0]!r}, expected {', '.join(cases)}")


def save(suite: str, rows, *packages: str) -> None:
    """Write the rows and print them; packages that are not there are left out of the versions."""

    def installed(name: str) -> bool:
        try:
            return bool(version(name))
        except PackageNotFoundError:
            return False

    rows = list(rows)
    command = "tools/benchmark.py " + " ".join(sys.argv[1:])
    path = table.write(suite, rows, command, *filter(installed, packages))
    show(rows)
    print(path)


def show(rows) -> None:
    for row in rows:
        spread = f" +- {row.std:.3g}" if row.std is not None else ""
        print(f"{row.case:<32}{row.system:<28}{row.metric:<32}{row.value:.4g}{spread} {row.unit}")


if __name__ == "__main__":
    run_tool(main, Config)

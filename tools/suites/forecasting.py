"""Strategies, backbones and objectives on the same windows, and the product, beside the controls.

Each seed repeats the whole procedure, so that the spread is that of the procedure. Nothing is
chosen on test rows: settings were tuned once for all systems, on the validation rows of ETTh1 and
ETTm1, multivariate; snapshots and ridges are chosen on validation rows.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev

from suites import forecasting_peers
from suites.table import Row

from tspcrep.common.training import Training
from tspcrep.tools import train_forecaster
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets import load
from tsrep.evaluation import forecasts
from tsrep.forecasting.fitting import fit_forecaster, linear_path
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import Task, inputs_of, network_forecasts
from tsrep.forecasting.training import LearningConfig, Settings, learn

SETTINGS = Settings(
    ForecasterConfig(dim=32),
    ContrastConfig(),
    LearningConfig(learning_rate=3e-3),
    Training(epochs=100, max_steps=300, batch_size=32, checkpoint_every=1000, device="cpu"),
)
"""Settings of the table, small enough for some two hundred trainings on one core."""
PRODUCT_SETTINGS = train_forecaster.Config("", Path()).settings
"""Settings of the product: the defaults of ``tools/train_forecaster.py``."""
WIDTHS = {"transformer": 32, "tcn": 16, "lstm": 32}
"""Channels by backbone. A TCN computes every step, a Transformer patches: narrower, it costs the
same."""
PAPER = {"ETTh1/multivariate": 0.724, "ETTm1/multivariate": 0.606}
"""Average MSE of the Informer with MoCo2, end to end (Zhang et al. 2023, Table 3)."""
TABLE = ("ETTh1/multivariate", "ETTm1/multivariate", "ETTh1/univariate", "ETTm1/univariate")
PRODUCT = tuple(
    f"{name}/{mode}"
    for mode in ("univariate", "multivariate")
    for name in ("ETTh1", "ETTh2", "ETTm1")
)
CONTROLS = ("persistence", "seasonal_naive", "lag_ridge", "nridge", "lag_ridge_calendar")
TWO_STEPS = ("finetune", "frozen-mlp", "frozen-ridge")


@dataclass(frozen=True)
class Job:
    """Systems of a case that are measured together; ``rows`` maps seeds to rows."""

    case: str
    systems: tuple[str, ...]
    rows: Callable[[tuple[int, ...]], Iterator[Row]]


def jobs() -> list[Job]:
    """All jobs, the most important first."""
    ours = [("transformer-none-e2e",), ("transformer-moco2-e2e",)]
    ours += [tuple(f"transformer-moco2-{strategy}" for strategy in TWO_STEPS)]
    more = [(f"transformer-{o}-e2e",) for o in ("moco", "hcl", "moco2+hcl", "autotcl")]
    others: list[tuple[str, ...]] = []
    for backbone in ("tcn", "lstm"):
        others += [(f"{backbone}-{objective}-e2e",) for objective in ("none", "moco2")]
        others += [tuple(f"{backbone}-moco2-{strategy}" for strategy in TWO_STEPS)]

    def table(groups: list[tuple[str, ...]]) -> list[Job]:
        return [
            Job(case, systems, partial(_strategies, case, systems))
            for case in TABLE
            for systems in groups
        ]

    product = [Job(case, ("product",), partial(_product, case)) for case in PRODUCT]
    controls = [Job(case, CONTROLS, partial(_controls, case)) for case in PRODUCT]
    peers = [
        Job(f"{name}/multivariate", (system,), partial(forecasting_peers.rows, name, peer))
        for peer, system in forecasting_peers.installed().items()
        for name in forecasting_peers.CASES
    ]
    return [*product, *table(ours), *controls, *peers, *table(more), *table(others)]


def _strategies(case: str, systems: tuple[str, ...], seeds: tuple[int, ...]) -> Iterator[Row]:
    """Systems ``backbone-objective-strategy`` of one backbone and objective.

    The two-step strategies share their first step.
    """
    series = _series(case)
    task = Task.of(series)
    scores: dict[str, list] = {system: [] for system in systems}
    seconds: dict[str, list[float]] = {system: [] for system in systems}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            first = Path(folder) / systems[0] / "contrast"
            for system in systems:
                own = Path(folder) / system
                if system != systems[0] and first.exists():
                    shutil.copytree(first, own / "contrast")
                started = time.process_time()
                model, _ = learn(task, settings(system), seed, own, resume=True)
                seconds[system].append(time.process_time() - started)
                scores[system].append(forecasts.score(network_forecasts(model, task), series))
    for system in systems:
        yield from forecasting_peers.score_rows(case, system, scores[system])
        spent = seconds[system]
        yield Row(f"{case}/time", system, "cpu_s", fmean(spent), "s", pstdev(spent), len(spent))
        if system == "transformer-moco2-e2e" and case in PAPER:
            yield Row(f"{case}/average", "informer-moco2-e2e-paper", "mse", PAPER[case])


def settings(system: str) -> Settings:
    """Settings of a system ``backbone-objective-strategy``."""
    backbone, objective, strategy = system.split("-", 2)
    return replace(
        SETTINGS,
        model=replace(SETTINGS.model, backbone=backbone, dim=WIDTHS[backbone]),
        contrast=replace(SETTINGS.contrast, objective=objective),
        learning=replace(SETTINGS.learning, strategy=strategy),
    )


def _product(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    data = inputs_of(_series(case))
    found, seconds = [], []
    for seed in seeds:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            model = fit_forecaster(data, PRODUCT_SETTINGS, seed, folder)
        seconds.append(time.process_time() - started)
        found.append(forecasts.score(model.forecasts(data), data.series))
    yield from forecasting_peers.score_rows(case, "product", found)
    yield from forecasting_peers.score_rows(
        case, "linear_path", [forecasts.score(linear_path(data), data.series)]
    )
    yield Row(f"{case}/time", "product", "cpu_s", fmean(seconds), "s", pstdev(seconds), len(seeds))


def _controls(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    for system, scores in forecasts.control_scores(_series(case)).items():
        yield from forecasting_peers.score_rows(case, system, [scores])


def _series(case: str):
    name, mode = case.split("/")
    return load(name, univariate=mode == "univariate")

"""Train a network, choose between simple forecasts, ridges and it, and test what was chosen.

    python tools/train_forecaster.py --data ETTh1 --output runs/e2e
    python tools/train_forecaster.py --data ETTh1 --output runs/hcl --objective hcl --no-linear
    python tools/train_forecaster.py --data my.csv --target load --known-columns price \\
        --past-columns wind --output runs/load --seeds 0
    python tools/train_forecaster.py --data my.csv --target load --known-columns promotion \\
        --holidays US --output runs/load
    python tools/train_forecaster.py --config tools/configs/forecasting/finetune.toml \\
        --data ETTh1 --backbone tcn --output runs/finetune
    python tools/train_forecaster.py --data ETTh1 --output runs/e2e --resume
    torchrun --nproc-per-node 2 tools/train_forecaster.py --data ETTh1 --output runs/two

The run folder receives result.json, report.html and forecaster.safetensors, which
``tsrep.load_forecaster`` opens.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import tsrep.reports.forecaster
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_rank
from tspcrep.common.errors import UserError
from tspcrep.common.runs import Run
from tspcrep.common.training import Training
from tsrep.contrast.objectives import ContrastConfig
from tsrep.datasets import load_wide
from tsrep.datasets.categories import expanded
from tsrep.datasets.holidays import holiday_column
from tsrep.datasets.loading import with_holidays
from tsrep.datasets.tables import TableConfig
from tsrep.evaluation import forecasts
from tsrep.evaluation.forecasts import FORECASTING, check_horizons, control_scores, score
from tsrep.forecasting.files import FORECASTER_FILE, load_forecaster, save_forecaster
from tsrep.forecasting.fitting import fit_forecaster, interval_scores, linear_path
from tsrep.forecasting.network import ForecasterConfig
from tsrep.forecasting.task import ForecastData, inputs_of, network_forecasts
from tsrep.forecasting.training import LearningConfig, Settings, learn, set_ridge_head
from tsrep.reports.results import read_result


@dataclass(frozen=True)
class Config:
    data: str
    """ETTh1, ETTh2, ETTm1, WTH, mitdb, or a CSV or Parquet file; of a long table each series is a
    column."""
    output: Path
    """Folder of the run."""
    target: str | None = None
    """Forecast only this column."""
    univariate: bool = False
    """Forecast only the published target of a named set, or the last column of a file."""
    columns: tuple[str, ...] | None = None
    """Columns to forecast; all numeric columns by default."""
    known_columns: tuple[str, ...] = ()
    """Columns whose values are known ahead, such as planned prices; they are not forecast. Of text,
    each value is a column of 0 and 1."""
    past_columns: tuple[str, ...] = ()
    """Columns that are known up to the present; they are read and not forecast; also text."""
    holidays: str | None = None
    """Country whose public holidays are known ahead, such as US or DE-BY."""
    data_root: Path | None = None
    """Folder of the named sets; by default $TSPCREP_DATA or the cache of tools/prepare_data.py."""
    horizons: tuple[int, ...] | None = None
    """Horizons in steps, all forecast by one network; the published ones by default."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; one network is trained per seed."""
    resume: bool = False
    """Continue the run that the output folder holds."""
    linear: bool = True
    """Choose among simple forecasts, ridges and the network; otherwise it forecasts alone."""
    table: TableConfig = TableConfig()
    model: ForecasterConfig = ForecasterConfig()
    contrast: ContrastConfig = ContrastConfig()
    learning: LearningConfig = LearningConfig()
    training: Training = field(
        default_factory=lambda: Training(epochs=100, max_steps=300, batch_size=64)
    )

    @property
    def settings(self) -> Settings:
        return Settings(self.model, self.contrast, self.learning, self.training)


def main(config: Config) -> None:
    run = Run("train_forecaster", config)
    inputs = _load_inputs(config)
    series = inputs.series
    for seed in run.start():
        if launched_rank():  # a follower under torchrun trains along and writes nothing
            task, folder = inputs.task(config.horizons), run.seed_folder(seed)
            learn(task, config.settings, seed, folder, config.resume)
        else:
            run.add(seed, train_one(config, inputs, seed, run.seed_folder(seed)))
    if launched_rank():
        return
    results = run.results()
    summary = forecasts.forecaster_summary(
        series, config.seeds, results, control_scores(series, config.horizons)
    )
    run.finish(summary, FORECASTING.best_seed(config.seeds, results), FORECASTER_FILE)
    print(FORECASTING.table(summary))
    print(forecasts.interval_table(summary))
    print(run.output / "result.json")
    print(report(run.output, config, inputs))


def report(folder: Path, config: Config, inputs: ForecastData | None = None) -> Path:
    """Write ``report.html`` of a finished run; the data are read if they are not given."""
    result, model = read_result(folder, "forecasting"), load_forecaster(folder)
    inputs = inputs or _load_inputs(config)
    return tsrep.reports.forecaster.write(folder, result, inputs, model)


def _load_inputs(config: Config) -> ForecastData:
    """Load the series and its inputs, and check the options before anything is written."""
    settings = config.settings  # which checks that they fit together
    beside = (*config.known_columns, *config.past_columns)
    options = {"root": config.data_root, **vars(config.table)}
    if beside and (config.target is not None or config.columns is not None):
        wanted = config.columns or (config.target,)
        series = load_wide(config.data, columns=(*wanted, *beside), categories=beside, **options)
    elif config.univariate and beside:
        raise UserError("univariate: with exogenous columns, name what to forecast by --target")
    else:
        series = load_wide(
            config.data,
            target=config.target,
            univariate=config.univariate,
            columns=config.columns,
            categories=beside,
            **options,
        )
    known = expanded(config.known_columns, series.columns)
    if config.holidays is not None:
        series = with_holidays(series, config.holidays)
        known = (*known, holiday_column(config.holidays))
    inputs = inputs_of(series, known, expanded(config.past_columns, series.columns))
    horizons = config.horizons or series.horizons
    check_horizons(inputs.series, horizons, config.model.look_back or 0)
    inputs.task(horizons).build(settings.model)
    return inputs


def train_one(config: Config, inputs: ForecastData, seed: int, folder: Path) -> dict[str, Any]:
    """Train and save the forecaster of one seed, and test it beside its own controls."""
    series = inputs.series
    started = time.perf_counter()
    model = fit_forecaster(
        inputs,
        config.settings,
        seed,
        folder,
        config.horizons,
        config.resume,
        linear=config.linear,
    )
    train_s = time.perf_counter() - started
    save_forecaster(folder / FORECASTER_FILE, model)
    started = time.perf_counter()
    found = model.forecasts(inputs)
    result: dict[str, Any] = {"forecast": score(found, series)}
    result |= interval_scores(model, inputs, found, series.split.test)
    if config.linear:
        result["linear_path"] = score(linear_path(inputs, config.horizons), series)
        result["choices"] = model.choices
        result["validation"] = fmean(choice["error"] for choice in model.choices.values())
    else:
        valid = series.split.valid
        on_validation = score(model.forecasts(inputs, valid), series, valid)
        result["validation"] = on_validation["average"]["mse"]
    result["random_encoder"] = score(_untrained(config, inputs, seed), series)
    result["timing"] = {"train_s": train_s, "test_s": time.perf_counter() - started}
    return result


def _untrained(config: Config, inputs: ForecastData, seed: int):
    """Forecasts of a ridge on the vectors of the untrained network."""
    torch.manual_seed(seed)
    task = inputs.task(config.horizons)
    model = task.build(replace(config.model, head="linear", quantiles=()))
    return network_forecasts(set_ridge_head(model, task)[0], task)


if __name__ == "__main__":
    run_tool(main, Config)

"""Pretrain AutoTCL on a series and forecast with the encoder, or on a labelled set and classify.

    python tools/pretrain_autotcl.py --data ETTh1 --univariate --output runs/etth1
    python tools/pretrain_autotcl.py --data my.csv --target load --output runs/load --seeds 0
    python tools/pretrain_autotcl.py --data ETTh1 --univariate --output runs/etth1 --resume
    python tools/pretrain_autotcl.py --config tools/configs/classification.toml \\
        --data BasicMotions --output runs/basic
    torchrun --nproc-per-node 2 tools/pretrain_autotcl.py --data my.csv --output runs/two

The run folder ends with result.json, report.html and encoder.safetensors.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

import tsrep.reports.autotcl
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_rank
from tspcrep.common.runs import Run
from tspcrep.common.training import Training
from tspcrep.common.weights import FILE
from tsrep.contrast.autotcl import AutoTCLConfig
from tsrep.contrast.pretraining import WindowConfig, train_encoder, training_windows
from tsrep.datasets import is_classification, load_classification, load_wide
from tsrep.datasets.series import Panel, Series
from tsrep.datasets.tables import TableConfig
from tsrep.encoders import Encoder
from tsrep.encoders.config import EncoderConfig
from tsrep.encoders.files import load_encoder, save_encoder
from tsrep.evaluation import TASKS, classification, forecasts
from tsrep.reports.results import read_result


@dataclass(frozen=True)
class Config:
    data: str
    """ETTh1, ETTh2, ETTm1, WTH, mitdb, a CSV or Parquet file, or a set of the UEA/UCR archive. Of
    a long table each series is a column."""
    output: Path
    """Folder to write the run into."""
    target: str | None = None
    """Train on and forecast this column only."""
    univariate: bool = False
    """Use only the published target of a named set, or the last column of a file."""
    columns: tuple[str, ...] | None = None
    """Columns to use; by default all numeric columns."""
    data_root: Path | None = None
    """Folder with the named sets; default: $TSPCREP_DATA, then the cache of prepare_data.py."""
    horizons: tuple[int, ...] | None = None
    """Forecast horizons in steps; by default the published ones."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; one encoder is trained for each."""
    resume: bool = False
    """Continue the run in the output folder."""
    label: str | None = None
    """Column of the classes in a table of one's own, which makes it a labelled set."""
    table: TableConfig = TableConfig()
    encoder: EncoderConfig = EncoderConfig()
    window: WindowConfig = WindowConfig()
    method: AutoTCLConfig = AutoTCLConfig()
    training: Training = field(default_factory=lambda: Training(epochs=20, max_steps=100))


def main(config: Config) -> None:
    run = Run("pretrain_autotcl", config)
    data = load_data(config)
    for seed in run.start():
        if launched_rank():  # a follower under torchrun trains along and writes nothing
            train(config, data, seed, run.seed_folder(seed))
        else:
            run.add(seed, train_and_score(config, data, seed, run.seed_folder(seed)))
    if launched_rank():
        return
    results = run.results()
    if isinstance(data, Panel):
        summary = classification.summary(data, config.seeds, results)
    else:
        controls = forecasts.control_scores(data, config.horizons)
        summary = forecasts.summary(data, config.seeds, results, controls)
    task = TASKS[summary["task"]]
    run.finish(summary, task.best_seed(config.seeds, results), FILE)
    print(task.table(summary))
    print(run.output / "result.json")
    print(report(run.output, config, data))


def report(folder: Path, config: Config, data: Series | Panel | None = None) -> Path:
    """Write ``report.html`` of a finished run; the data are read if they are not given."""
    result, encoder = read_result(folder, *TASKS), load_encoder(folder / FILE)
    data = data or load_data(config)
    windows = training_windows(data.train, encoder, config.window)
    window = windows.__getitems__([len(windows) // 2]).values  # (1, L, C)
    return tsrep.reports.autotcl.write(folder, result, data, encoder, window, config.method)


def load_data(config: Config) -> Series | Panel:
    """The data to train on; raises UserError for bad data or options before anything is written."""
    data: Series | Panel
    if is_classification(config.data, config.label):
        data = load_classification(
            config.data, label=config.label, root=config.data_root, **vars(config.table)
        )
    else:
        data = load_wide(
            config.data,
            target=config.target,
            univariate=config.univariate,
            columns=config.columns,
            root=config.data_root,
            **vars(config.table),
        )
        horizons = config.horizons or data.horizons
        forecasts.check_horizons(data, horizons, config.window.length)
    config.encoder.build(data)
    return data


def train_and_score(config: Config, data: Series | Panel, seed: int, folder: Path) -> dict:
    """Train the encoder of one seed, save it, and score it beside the same encoder untrained."""
    trained, untrained, seconds = train(config, data, seed, folder)
    if isinstance(data, Series):
        result = forecasts.forecasting(trained, untrained, data, config.horizons)
    else:
        result = classification.classification(trained, untrained, data)
    result["timing"]["train_s"] = seconds
    return result


def train(
    config: Config, data: Series | Panel, seed: int, folder: Path
) -> tuple[Encoder, Encoder, float]:
    """The trained encoder, saved in ``folder``, the same before training, and the seconds."""
    torch.manual_seed(seed)
    encoder = config.encoder.build(data)
    untrained = copy.deepcopy(encoder)
    windows = training_windows(data.train, encoder, config.window)
    started = time.perf_counter()
    trained = train_encoder(
        encoder, windows, config.method, config.training, seed, folder, config.resume
    )
    seconds = time.perf_counter() - started
    if launched_rank() == 0:
        save_encoder(folder / FILE, trained, data.scaler, data.columns)
    return trained, untrained, seconds


if __name__ == "__main__":
    run_tool(main, Config)

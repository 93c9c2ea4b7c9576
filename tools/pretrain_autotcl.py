"""Pretrain AutoTCL on a series and forecast with the encoder, beside the controls.

python tools/pretrain_autotcl.py --data ETTh1 --univariate --output runs/etth1
python tools/pretrain_autotcl.py --data my.csv --target load --output runs/load --seeds 0
python tools/pretrain_autotcl.py --data ETTh1 --univariate --output runs/etth1 --resume
torchrun --nproc-per-node 2 tools/pretrain_autotcl.py --data my.csv --output runs/two
"""

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from common.config import run_tool
from common.runs import Run, write_json
from common.training import Training, fit
from tsrep import evaluation
from tsrep.autotcl import AutoTCL, AutoTCLConfig
from tsrep.datasets import check_length, load
from tsrep.encoders import Centred, save_encoder
from tsrep.pretraining import EncoderConfig, WindowConfig, inner, training_windows
from tsrep.series import Series


@dataclass(frozen=True)
class Config:
    data: str
    """Name of a set (ETTh1, ETTh2, ETTm1, WTH, mitdb), or a CSV or Parquet file."""
    output: Path
    """Folder of the run."""
    target: str | None = None
    """Learn and forecast this column alone."""
    univariate: bool = False
    """The published target of a named set, or the last column of a file, alone."""
    columns: tuple[str, ...] | None = None
    """Columns to use; all numeric ones by default."""
    time_column: str | None = None
    """Column of the timestamps; found by itself where there is one."""
    data_root: Path | None = None
    """Folder of the named sets; then $TSPCREP_DATA, then the cache of tools/prepare_data.py."""
    horizons: tuple[int, ...] | None = None
    """Steps to forecast; the published ones by default."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One encoder is trained for each."""
    resume: bool = False
    """Continue the run that the output folder holds."""
    encoder: EncoderConfig = EncoderConfig()
    window: WindowConfig = WindowConfig()
    method: AutoTCLConfig = AutoTCLConfig()
    training: Training = field(default_factory=lambda: Training(epochs=20, max_steps=100))


def main(config: Config) -> None:
    series = load(
        config.data,
        target=config.target,
        univariate=config.univariate,
        columns=config.columns,
        time_column=config.time_column,
        root=config.data_root,
    )
    horizons = config.horizons or series.horizons
    check_length(series, config.window.length, max(horizons))
    run = Run(config.output, config, config.resume)
    for seed in run.unfinished(config.seeds):
        run.add(seed, train_one(config, series, horizons, seed, run.seed_folder(seed)))
    results = run.results(config.seeds)
    summary = evaluation.summary(
        series, config.seeds, results, evaluation.control_scores(series, horizons)
    )
    write_json(run.output / "result.json", summary)
    print(evaluation.table(summary))
    print(f"{run.output / 'result.json'}")


def train_one(
    config: Config, series: Series, horizons: tuple[int, ...], seed: int, folder: Path
) -> dict:
    """Train the encoder of one seed, save it, and score it beside its untrained self."""
    torch.manual_seed(seed)
    encoder = config.encoder.build(series)
    untrained = copy.deepcopy(encoder)
    method = AutoTCL(inner(encoder), config.method)
    data = training_windows(series, encoder, config.window)
    started = time.perf_counter()
    fit(method, data, config.training, seed, folder, config.resume)
    seconds = time.perf_counter() - started
    trained = method.averaged.module
    if isinstance(encoder, Centred):
        trained = Centred(trained, encoder.window)
    save_encoder(folder / "encoder.safetensors", trained)
    result = evaluation.forecasting(trained, untrained, series, horizons)
    result["timing"]["train_s"] = seconds
    return result


if __name__ == "__main__":
    run_tool(main, Config)

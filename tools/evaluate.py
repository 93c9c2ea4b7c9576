"""Evaluate an encoder on a series or a labelled set, beside its untrained self and the controls.

    python tools/evaluate.py --encoder runs/etth1 --data ETTh1 --univariate
    python tools/evaluate.py --encoder runs/etth1 --data ETTh2 --univariate --mode probe
    python tools/evaluate.py --encoder runs/basic --data BasicMotions --output runs/basic-again
    python tools/evaluate.py --encoder runs/e2e --data ETTh1 --receptive-field --output runs/e2e

Only ridges and classifiers are trained, on the frozen vectors. Errors are in units of the standard
deviation of the data's train rows. ``--receptive-field`` evaluates a run of
tools/train_forecaster.py instead: it measures which past values the forecasts depend on
(receptive.npz, field (horizon, lags), lag 0 first; receptive.png), and the share at whole seasons.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tspcrep.common.figures import on_paper
from tspcrep.common.runs import write_atomically, write_json
from tsrep.datasets import is_classification, load_classification, load_wide
from tsrep.datasets.series import Panel, Series, check_length
from tsrep.datasets.tables import TableConfig
from tsrep.encoders import Encoder
from tsrep.encoders.files import load_encoder
from tsrep.evaluation import TASKS, TaskName
from tsrep.evaluation.tables import Readout
from tsrep.forecasting.files import load_forecaster
from tsrep.forecasting.receptive_field import measured, period_within, periodicity
from tsrep.reports import plots


@dataclass(frozen=True)
class Config:
    encoder: Path
    """Run folder, or path of an encoder.safetensors."""
    data: str
    """ETTh1, ETTh2, ETTm1, WTH, mitdb, a CSV or Parquet file, or a set of the UEA/UCR archive."""
    output: Path | None = None
    """Folder for result.json or the receptive field; nothing is written by default."""
    target: str | None = None
    """Forecast only this column."""
    univariate: bool = False
    """Forecast only the published target of a named set, or the last column of a file."""
    columns: tuple[str, ...] | None = None
    """Columns to use; those that the encoder was trained on by default."""
    data_root: Path | None = None
    """Folder of the named sets; by default $TSPCREP_DATA or the cache of tools/prepare_data.py."""
    horizons: tuple[int, ...] | None = None
    """Horizons in steps; the published ones by default."""
    task: TaskName | None = None
    """Downstream task; classification of a labelled set and forecasting of a series by default."""
    mode: Readout | None = None
    """Readout to show; both by default."""
    window: int | None = None
    """Steps of the window, ending at a step, that it is encoded from; the whole past by default, or
    201 steps for an encoder that looks ahead."""
    receptive_field: bool = False
    """Measure the empirical receptive field of a trained forecaster at the longest horizon."""
    label: str | None = None
    """Column of the classes in a table of one's own, which makes it a labelled set."""
    table: TableConfig = TableConfig()


def main(config: Config) -> None:
    if config.receptive_field:
        _measure_field(config)
        return
    encoder = load_encoder(config.encoder)
    task = TASKS[config.task or _default_task(config)]
    data = read(config, encoder.columns, task.reads)
    _check_channels(encoder, data.channels, data.name)
    options = {name: getattr(config, name) for name in task.options}
    result = task.evaluate(encoder, data, **options)
    print(task.table(result, config.mode))
    if config.output is not None:
        path = config.output / "result.json"
        write_json(path, result)
        print(path)


def _default_task(config: Config) -> str:
    labelled = is_classification(config.data, config.label)
    return "classification" if labelled else "forecasting"


def _measure_field(config: Config) -> None:
    model = load_forecaster(config.encoder)
    series = read_series(config, model.names.columns)
    if series.columns != model.names.columns:
        raise UserError(
            f"{series.name} has the columns {', '.join(series.columns)}, the forecaster was fitted "
            f"to {', '.join(model.names.columns)}: choose them with --columns"
        )
    horizon = max(config.horizons or model.horizons)
    check_length(series, model.look_back, horizon)
    field = measured(model, series, horizon)
    period = period_within(field, series)
    if period:
        score = periodicity(field, (period,))
        print(
            f"periodicity {score:.4f}: 1 all at whole seasons of {period} steps, 0 as a flat field"
        )
    if config.output is not None:
        picture = on_paper(plots.receptive_field(field, period))
        with_field = partial(np.savez_compressed, field=field.astype(np.float32))
        save(config.output / "receptive.npz", with_field)
        save(config.output / "receptive.png", lambda file: file.write(picture))


def read(config: Config, columns: Sequence[str], kind: type[Series | Panel]) -> Series | Panel:
    if kind is Series:
        return read_series(config, columns)
    return load_classification(
        config.data, label=config.label, root=config.data_root, **vars(config.table)
    )


def read_series(config: Config, columns: Sequence[str]) -> Series:
    """The series of ``columns``, unless the configuration names some."""
    chosen = config.target is not None or config.univariate or config.columns is not None
    return load_wide(
        config.data,
        target=config.target,
        univariate=config.univariate,
        columns=config.columns if chosen else tuple(columns) or None,
        root=config.data_root,
        **vars(config.table),
    )


def save(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    write_atomically(path, write)
    print(path)


def _check_channels(encoder: Encoder, channels: int, name: str) -> None:
    if encoder.in_channels not in (1, channels):
        raise UserError(
            f"{name} has {channels} channels, the encoder reads {encoder.in_channels} together: "
            "choose --columns, or an encoder that was trained on such data"
        )


if __name__ == "__main__":
    run_tool(main, Config)

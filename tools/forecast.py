"""Forecast a table: a CSV or Parquet file with times and intervals.

    python tools/forecast.py --data shops.csv --horizon 28 --output ahead.csv
    python tools/forecast.py --data shops.csv --backtest 3 --output errors.csv
    python tools/forecast.py --run runs/load --data my.csv --output ahead.csv
    python tools/forecast.py --run runs/load --data my.csv --horizon 24 --quantiles 0.05 0.5 0.95 \\
        --output ahead.parquet
    python tools/forecast.py --run runs/load --data my.csv --backtest 5 --output errors.csv

Without ``--run`` one forecaster is fitted, in closed form and in seconds, to all series of the
table: those of a long table (id, time, value), of any lengths, or its numeric columns. With a run
of tools/train_forecaster.py, that forecaster is used, which may read inputs known ahead from the
rows of the table behind the last value to forecast.

The file has a row for each step: time, then each column with its quantiles (load, load_q0.1,
load_q0.9); of a long table, id and time. A series that ends before the others is forecast from its
own end.

With ``--backtest K`` the file has the errors of forecasts from K cutoffs, one horizon apart, beside
those of repeating the last season. Without a run, the forecaster is fitted again at each cutoff, to
the values before it; that of a run is not.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tspcrep.common.config import run_tool
from tspcrep.common.errors import UserError
from tsrep.datasets.categories import sources, with_levels
from tsrep.datasets.channels import note
from tsrep.datasets.files import check_table_name, column_names, write_table
from tsrep.datasets.holidays import country_of
from tsrep.datasets.named import NAMED, find
from tsrep.datasets.tables import TableConfig, read_tables, widened
from tsrep.forecast import backtest, backtest_all, forecast, forecast_all
from tsrep.forecasting.files import load_forecaster
from tsrep.forecasting.forecaster import SeriesForecaster


@dataclass(frozen=True)
class Config:
    data: str
    """Name of a set, or a CSV or Parquet file with the columns that the forecaster reads."""
    output: Path
    """File to write, .csv or .parquet."""
    run: Path | None = None
    """Run folder of tools/train_forecaster.py, or a file forecaster.safetensors; by default a
    forecaster is fitted to all series of the table."""
    horizon: int | None = None
    """Steps to forecast; by default a season, or of a run the longest that was trained, as far as
    inputs are known."""
    quantiles: tuple[float, ...] = (0.1, 0.9)
    """Quantiles to write beside the forecast."""
    backtest: int = 0
    """Write errors of forecasts from this number of cutoffs instead; the forecaster is fitted again
    at each, but for that of a run."""
    data_root: Path | None = None
    """Folder with the named sets; default: $TSPCREP_DATA, then the cache of prepare_data.py."""
    table: TableConfig = TableConfig()


def main(config: Config) -> None:
    check_table_name(config.output)
    if config.backtest < 0:
        raise UserError(f"backtest: found {config.backtest}, expected a number of cutoffs")
    found = _by_fitting(config) if config.run is None else _by_run(config, config.run)
    if config.backtest:
        print(_errors(found))
        print(
            "The forecaster was fitted again at each cutoff, to the values before it."
            if config.run is None
            else "The forecaster of the run was not fitted again: it may have learned from rows "
            "behind these cutoffs."
        )
    write_table(found, config.output)
    print(config.output)


def _by_fitting(config: Config) -> pd.DataFrame:
    """Forecasts, or errors, of one forecaster that is fitted to all series of the table."""
    series, long = read_all(config)
    if config.backtest:
        return backtest_all(series, config.horizon, config.backtest)
    found = forecast_all(series, config.horizon, config.quantiles)
    if long:
        return found
    parts = []
    for name, part in found.groupby("id", sort=False):
        part = part.drop(columns="id").set_index("time")
        parts.append(part.set_axis([_named(name, column) for column in part], axis=1))
    return pd.concat(parts, axis=1, sort=True).reset_index()


def _named(name: str, column: str) -> str:
    return name if column == "forecast" else f"{name}_{column}"


def _by_run(config: Config, run: Path) -> pd.DataFrame:
    """Forecasts, or errors, of a trained forecaster."""
    model = load_forecaster(run)
    frame, long = read(config, model)
    if config.backtest:
        return backtest(model, frame, config.horizon, config.backtest)
    if long:
        return _of_each(model, frame, config)
    found = forecast(model, frame, config.horizon, config.quantiles)
    return found.rename_axis("time").reset_index()


def read_all(config: Config) -> tuple[list[pd.Series], bool]:
    """The series of a table, each by its name, and whether the table is a long one."""
    named = NAMED.get(config.data)
    path = find(config.data, config.data_root) if named else Path(config.data)
    columns = named.channels if named else None
    tables = read_tables(path, columns=columns, **vars(config.table))
    long, several = len(tables.series) > 1, len(tables.columns) > 1
    found = []
    for one in tables.series:
        for column, values in zip(tables.columns, one.values.T, strict=True):
            name = (f"{one.id}/{column}" if several else one.id) if long else column
            if np.isnan(values).all():
                note(f"{path}: left out, without a number: {name}")
            else:
                found.append(pd.Series(values, one.times, name=name))
    return found, long


def read(config: Config, model: SeriesForecaster) -> tuple[pd.DataFrame, bool]:
    """The table, and whether it was a long one, whose series are then columns."""
    path = find(config.data, config.data_root) if config.data in NAMED else Path(config.data)
    names = model.names
    wanted = [*names.columns, *names.known, *names.past]
    wanted = [name for name in wanted if country_of(name) is None]
    held = column_names(path)
    texts = sources(wanted, held)
    raw = [name for name in wanted if name.partition("=")[0] not in texts]
    columns = [*raw, *texts] if {*raw, *texts} & set(held) else None  # of a long table: series
    tables = read_tables(path, columns=columns, categories=texts, **vars(config.table))
    long = len(tables.series) > 1
    if long:
        tables = widened(tables, path)
    one = tables.series[0]
    frame = pd.DataFrame(one.values, index=one.times, columns=list(tables.columns))
    frame = with_levels(frame, wanted)
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        what = "series" if long else "column"
        raise UserError(
            f"{path} has no {what} {absent[0]!r}: the forecaster was trained on "
            f"{', '.join(wanted[:20])}"
        )
    return frame[wanted], long


def _of_each(model: SeriesForecaster, frame: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Forecasts of the series of a long table, one below the other, each from its own end."""
    held = frame.notna().to_numpy()
    ends = len(frame) - held[::-1].argmax(axis=0)
    parts = {}
    for end in np.unique(ends):
        ahead = forecast(model, frame.iloc[:end], config.horizon, config.quantiles)
        for name in frame.columns[ends == end]:
            own = [name, *(f"{name}_q{q:g}" for q in config.quantiles)]
            columns = ["time", "forecast", *(f"q{q:g}" for q in config.quantiles)]
            part = ahead[own].reset_index().set_axis(columns, axis=1)
            part.insert(0, "id", name)
            parts[name] = part
    return pd.concat([parts[name] for name in frame.columns], ignore_index=True)


def _errors(found: pd.DataFrame) -> str:
    """Means over columns by cutoff, and over all."""
    means = found.groupby("cutoff").mean(numeric_only=True)
    means.index = means.index.map(str)
    means.loc["mean"] = means.mean()
    return means.to_string(float_format="{:.4g}".format)


if __name__ == "__main__":
    run_tool(main, Config)

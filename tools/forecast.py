"""Forecast a table with a trained forecaster: a CSV or Parquet file with times and intervals.

    python tools/forecast.py --run runs/load --data my.csv --output ahead.csv
    python tools/forecast.py --run runs/load --data my.csv --horizon 24 --quantiles 0.05 0.5 0.95 \\
        --output ahead.parquet
    python tools/forecast.py --run runs/load --data my.csv --backtest 5 --output errors.csv

The run is one of tools/train_forecaster.py. The file has a row for each step: time, then each
column with its quantiles (load, load_q0.1, load_q0.9); of a long table, id and time. Inputs known
ahead are read from the rows of the table behind the last value to forecast. A series that ends
before the others is forecast from its own end.

With ``--backtest K`` the file has the errors of forecasts from K cutoffs, one horizon apart, beside
those of repeating the last season. The forecaster is not fitted again.
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
from tspcrep.common.runs import write_atomically
from tsrep.datasets.files import column_names
from tsrep.datasets.named import NAMED, find
from tsrep.datasets.tables import TableConfig, read_tables, widened
from tsrep.forecast import backtest, forecast
from tsrep.forecasting.forecaster import SeriesForecaster, load_forecaster


@dataclass(frozen=True)
class Config:
    run: Path
    """Run folder of tools/train_forecaster.py, or a file forecaster.safetensors."""
    data: str
    """Name of a set, or a CSV or Parquet file with the columns that the forecaster reads."""
    output: Path
    """File to write, .csv or .parquet."""
    horizon: int | None = None
    """Steps to forecast; by default the longest that was trained, or as far as inputs are known."""
    quantiles: tuple[float, ...] = (0.1, 0.9)
    """Quantiles to write beside the forecast."""
    backtest: int = 0
    """Write errors of forecasts from this number of cutoffs instead."""
    data_root: Path | None = None
    """Folder with the named sets; default: $TSPCREP_DATA, then the cache of prepare_data.py."""
    table: TableConfig = TableConfig()


def main(config: Config) -> None:
    if config.output.suffix not in (".csv", ".parquet"):
        raise UserError(f"output {config.output}: expected a name that ends in .csv or .parquet")
    if config.backtest < 0:
        raise UserError(f"backtest: found {config.backtest}, expected a number of cutoffs")
    model = load_forecaster(config.run)
    frame, long = read(config, model)
    if config.backtest:
        found = backtest(model, frame, config.horizon, config.backtest)
        print(_errors(found))
    elif long:
        found = _of_each(model, frame, config)
    else:
        found = forecast(model, frame, config.horizon, config.quantiles)
        found = found.rename_axis("time").reset_index()
    write(found, config.output)
    print(config.output)


def read(config: Config, model: SeriesForecaster) -> tuple[pd.DataFrame, bool]:
    """The table, and whether it was a long one, whose series are then columns."""
    path = find(config.data, config.data_root) if config.data in NAMED else Path(config.data)
    names = model.names
    wanted = [*names.columns, *names.known, *names.past]
    columns = wanted if set(wanted) & set(column_names(path)) else None  # of a long table: series
    tables = read_tables(path, columns=columns, **vars(config.table))
    long = len(tables.series) > 1
    if long:
        tables = widened(tables, path)
    one = tables.series[0]
    frame = pd.DataFrame(one.values, index=one.times, columns=list(tables.columns))
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


def write(frame: pd.DataFrame, path: Path) -> None:
    save = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
    write_atomically(path, lambda file: save(file, index=False))


if __name__ == "__main__":
    run_tool(main, Config)

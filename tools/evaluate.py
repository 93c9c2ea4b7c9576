"""Measure an encoder on a series or a labelled set, beside its untrained self and the controls.

    python tools/evaluate.py --encoder runs/etth1 --data ETTh1 --univariate
    python tools/evaluate.py --encoder runs/etth1 --data ETTh2 --univariate --mode probe
    python tools/evaluate.py --encoder runs/basic --data BasicMotions --output runs/basic-again

Nothing is trained but ridges and classifiers on the frozen vectors. Errors are in units of the
data's own train rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from common.config import run_tool
from common.errors import UserError
from common.runs import write_json
from tsrep import classification, evaluation
from tsrep.datasets import is_classification, load, load_classification
from tsrep.encoders import load_encoder, untrained


@dataclass(frozen=True)
class Config:
    encoder: Path
    """A run folder, or an encoder.safetensors."""
    data: str
    """ETTh1, ETTh2, ETTm1, WTH, mitdb, a CSV or Parquet file, or a set of the UEA/UCR archive."""
    output: Path | None = None
    """Folder to write result.json into."""
    target: str | None = None
    """Forecast this column alone."""
    univariate: bool = False
    """The published target of a named set, or the last column of a file, alone."""
    columns: tuple[str, ...] | None = None
    """Columns to use; by default those that the encoder was trained on."""
    time_column: str | None = None
    """Column of the timestamps; found by itself where there is one."""
    data_root: Path | None = None
    """Folder of the named sets; then $TSPCREP_DATA, then the cache of tools/prepare_data.py."""
    horizons: tuple[int, ...] | None = None
    """Steps to forecast; the published ones by default."""
    mode: evaluation.Readout | None = None
    """Show this readout alone; both by default."""
    window: int | None = None
    """See each step through the window of so many steps that ends there; the whole past if none."""


def main(config: Config) -> None:
    encoder = load_encoder(config.encoder)
    if is_classification(config.data):
        result = classify(config, encoder)
    else:
        result = forecast(config, encoder)
    print(evaluation.table(result, config.mode))
    if config.output is not None:
        path = config.output / "result.json"
        try:
            write_json(path, result)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
        print(path)


def classify(config: Config, encoder: nn.Module) -> dict[str, Any]:
    panel = load_classification(config.data, root=config.data_root)
    check_channels(encoder, panel.channels, panel.name)
    found = classification.classification(encoder, untrained(encoder), panel)
    return classification.summary(panel, [0], [found])


def forecast(config: Config, encoder: nn.Module) -> dict[str, Any]:
    chosen = config.target is not None or config.univariate or config.columns is not None
    series = load(
        config.data,
        target=config.target,
        univariate=config.univariate,
        columns=config.columns if chosen else encoder.columns or None,
        time_column=config.time_column,
        root=config.data_root,
    )
    check_channels(encoder, series.channels, series.name)
    horizons = evaluation.check_horizons(series, config.horizons or series.horizons)
    found = evaluation.forecasting(encoder, untrained(encoder), series, horizons, config.window)
    return evaluation.summary(series, [0], [found], evaluation.control_scores(series, horizons))


def check_channels(encoder: nn.Module, channels: int, name: str) -> None:
    if encoder.in_channels not in (1, channels):
        raise UserError(
            f"{name} has {channels} channels, the encoder reads {encoder.in_channels} together: "
            "choose --columns, or an encoder that was trained on such data"
        )


if __name__ == "__main__":
    run_tool(main, Config)

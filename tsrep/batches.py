"""Vectors and forecasts of tables larger than memory: callables of batches that can be pickled.

    embed = Embedder("series-small", own_scale=True)
    table = embed(table)  # an Arrow table with a column "values" of lists gets a column "vector"

    dataset.map_batches(Embedder("runs/mine"))  # Ray Data

A batch is an Arrow table or a dict of numpy arrays. A row holds a window or a whole series. The
weights are read when a process sees its first batch, once, and are not in the pickle.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from tspcrep.common.batches import Batch, cells, names_of, versioned, with_columns
from tspcrep.common.errors import UserError
from tspcrep.common.weights import encoder_file, encoder_path
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode
from tsrep.encoders.files import SHIPPED, load_encoder
from tsrep.forecast import forecast
from tsrep.forecasting.files import FORECASTER_FILE, load_forecaster
from tsrep.forecasting.forecaster import SeriesForecaster


@dataclass(frozen=True)
class Embedder:
    """Adds one vector for each row: the summary of its series, as ``encode(..., pool=True)``.

    encoder : a run folder, an encoder file, or the name of a shipped encoder. It must be there for
        each process.
    column : of the series, lists (T,) or (T, C); lengths may differ between rows, NaN or null where
        missing.
    output : of the vectors, lists of D numbers; an encoder of one channel reads each of K channels
        by itself and gives K D.
    own_scale : standardise each row by its own mean and deviation, not by those of the training.

    Raises
    ------
    UserError
        Of the call: no such encoder; no such column, or ``output`` is there; a row without a
        number; channels that are not the encoder's.
    """

    encoder: str | Path
    column: str = "values"
    output: str = "vector"
    own_scale: bool = False

    def __call__(self, batch: Batch) -> Batch:
        encoder = _encoder(*versioned(encoder_file(encoder_path(self.encoder, SHIPPED))))
        rows = [_steps(row) for row in cells(batch, self.column)]
        channels = encoder.in_channels if encoder.scaler is None else len(encoder.scaler.mean)
        values = _together(rows or [np.zeros((1, channels))], self.column)  # no row: for its width
        values = self._own_scaled(values) if self.own_scale else self._scaled(encoder, values)
        vectors = encode(encoder, values, pool=True, apart=True)
        return with_columns(batch, {self.output: vectors[: len(rows)]})

    def _scaled(self, encoder: Encoder, values: np.ndarray) -> np.ndarray:
        scaler = encoder.scaler
        if scaler is None:
            raise UserError(f"{self.encoder}: knows no scale of its data: give own_scale=True")
        if len(scaler.mean) != values.shape[2]:
            raise UserError(
                f"column {self.column!r}: found {values.shape[2]} channels, the encoder was "
                f"trained on {len(scaler.mean)}: choose another, or give own_scale=True"
            )
        return scaler.transform(values)

    def _own_scaled(self, values: np.ndarray) -> np.ndarray:
        """Each channel of each series standardised by itself; a constant one keeps its unit."""
        empty = np.isnan(values).all(axis=1).any(axis=1)
        if empty.any():
            raise UserError(
                f"row {int(empty.argmax())} of column {self.column!r} has a channel without a "
                "number: leave it out"
            )
        mean, std = (f(values, axis=1, keepdims=True) for f in (np.nanmean, np.nanstd))
        constant = std <= 1e-12 * np.nanmax(np.abs(values), axis=1, keepdims=True)
        return (values - mean) / np.where(constant, 1.0, std)


@dataclass(frozen=True)
class Forecast:
    """Adds the next steps of the series of each row, by :func:`tsrep.forecast.forecast`.

    run : of ``tools/train_forecaster.py``, or its forecaster.safetensors.
    horizon, quantiles : as of :func:`tsrep.forecast.forecast`.
    time : column of the times, lists (T,); without it, steps are numbered from 0.

    Columns that the forecaster reads are lists (T,) by their names. Of a forecaster of ``load``,
    the columns forecast_time, forecast_load, forecast_load_q0.1, .. are added, lists (H,).
    """

    run: str | Path
    horizon: int | None = None
    quantiles: tuple[float, ...] = (0.1, 0.9)
    time: str = "time"

    def __call__(self, batch: Batch) -> Batch:
        path = Path(self.run)
        model = _forecaster(*versioned(path / FORECASTER_FILE if path.is_dir() else path))
        read = model.names.columns + model.names.known + model.names.past
        columns = {name: cells(batch, name) for name in read}
        times = cells(batch, self.time) if self.time in names_of(batch) else None
        return with_columns(batch, self._forecasts(model, columns, times))

    def _forecasts(
        self,
        model: SeriesForecaster,
        columns: dict[str, list[np.ndarray]],
        times: list[np.ndarray] | None,
    ) -> dict[str, list[np.ndarray]]:
        """The columns to add."""
        rows = list(zip(*columns.values(), strict=True))
        if times is None:
            times = [np.arange(len(row[0])) for row in rows]
        frames = [
            self._forecast(model, dict(zip(columns, row, strict=True)), when, number)
            for number, (row, when) in enumerate(zip(rows, times, strict=True))
        ]
        wanted = [
            name
            for column in model.names.columns
            for name in (column, *(f"{column}_q{q:g}" for q in self.quantiles))
        ]
        new = {f"forecast_{name}": [frame[name].to_numpy() for frame in frames] for name in wanted}
        return {"forecast_time": [frame.index.to_numpy() for frame in frames], **new}

    def _forecast(
        self, model: SeriesForecaster, row: dict[str, np.ndarray], times: np.ndarray, number: int
    ) -> pd.DataFrame:
        lengths = {len(values) for values in (*row.values(), times)}
        if len(lengths) > 1:
            raise UserError(
                f"row {number}: lists of {min(lengths)} to {max(lengths)} steps, expected as many "
                f"in each of {', '.join(row)} and {self.time}"
            )
        frame = pd.DataFrame(row, index=pd.Index(times))
        try:
            return forecast(model, frame, self.horizon, self.quantiles)
        except UserError as error:
            raise UserError(f"row {number}: {error}") from None


@lru_cache(maxsize=1)
def _encoder(path: Path, changed: int) -> Encoder:
    return load_encoder(path)


@lru_cache(maxsize=1)
def _forecaster(path: Path, changed: int) -> SeriesForecaster:
    return load_forecaster(path)


def _steps(row: np.ndarray) -> np.ndarray:
    """A row as (T, C)."""
    return row[:, None] if row.ndim == 1 else row


def _together(rows: list[np.ndarray], column: str) -> np.ndarray:
    """Rows (T, C) of unequal length as (N, T, C) float64, NaN behind the end of the shorter."""
    channels = {row.shape[1:] for row in rows}
    if len(channels) > 1 or rows[0].ndim != 2:
        raise UserError(
            f"column {column!r}: rows of shapes {sorted(channels)} a step, expected the same "
            "number of channels in each"
        )
    values = np.full((len(rows), max(map(len, rows)), rows[0].shape[1]), np.nan)
    for place, row in zip(values, rows, strict=True):
        place[: len(row)] = row
    return values

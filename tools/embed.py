"""Turn a series into vectors: CSV or Parquet in, Parquet of vectors with their timestamps out.

    python tools/embed.py --encoder runs/etth1 --data ETTh1 --output vectors.parquet
    python tools/embed.py --encoder runs/load --data new.csv --output one.parquet --pool

Columns of the output: time, v0 .. vD-1; where an encoder of one channel reads several columns,
load_v0, load_v1, .. for each. The data are scaled as those that the encoder was trained on.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn
from tqdm import tqdm

from common.config import run_tool
from common.errors import UserError
from common.runs import write_atomically
from tsrep.datasets import standardised
from tsrep.encoders import load_encoder
from tsrep.encoding import encode_in_chunks
from tsrep.named import NAMED, find
from tsrep.series import Scaler
from tsrep.tables import read_table


@dataclass(frozen=True)
class Config:
    encoder: Path
    """A run folder, or an encoder.safetensors."""
    data: str
    """Name of a set (ETTh1, ETTh2, ETTm1, WTH, mitdb), or a CSV or Parquet file."""
    output: Path
    """Parquet file to write."""
    columns: tuple[str, ...] | None = None
    """Columns to encode; by default those that the encoder was trained on."""
    own_scale: bool = False
    """Standardise by the data's own mean and deviation instead of the training series'."""
    time_column: str | None = None
    """Column of the timestamps; found by itself where there is one."""
    data_root: Path | None = None
    """Folder of the named sets; then $TSPCREP_DATA, then the cache of tools/prepare_data.py."""
    pool: bool = False
    """One vector for the whole series, the maximum over time, stamped with the last time."""
    window: int | None = None
    """See each step through the window of so many steps that ends there; the whole past if none."""


def main(config: Config) -> None:
    encoder = load_encoder(config.encoder)
    path = find(config.data, config.data_root) if config.data in NAMED else Path(config.data)
    columns = config.columns or encoder.columns or None
    times, frame = read_table(path, columns=columns, time_column=config.time_column)
    names = tuple(frame.columns)
    if encoder.in_channels not in (1, len(names)):
        raise UserError(
            f"{path}: {len(names)} columns ({', '.join(names)}), the encoder reads "
            f"{encoder.in_channels} together: choose them with --columns"
        )
    for name in names:
        if frame[name].isna().all():
            raise UserError(f"{path}: column {name!r} has no number: leave it out")
    fitted = scaler(config, encoder, names, frame.to_numpy(), path)
    values = standardised(frame, fitted, path)[0]
    parts = rows(encoder, values, config.window)
    if config.pool:
        pooled = np.maximum.reduce([known_maximum(z, values[r]) for r, z in parts])
        parts = iter([(slice(len(times) - 1, len(times)), pooled[None])])
    first = next(parts)  # what is amiss with an option shows before a file is opened
    parts = itertools.chain([first], parts)
    try:
        write_atomically(
            config.output, lambda file: write_parquet(file, times, parts, encoder, names)
        )
    except OSError as error:
        raise UserError(f"{config.output} cannot be written: {error.strerror or error}") from None
    print(config.output)


def scaler(
    config: Config, encoder: nn.Module, names: tuple[str, ...], values: np.ndarray, path: Path
) -> Scaler:
    """The training series' scaler for these columns, or the data's own where that is asked for."""
    if config.own_scale:
        return Scaler.fit(values, names, str(path))
    if encoder.scaler is None:
        raise UserError(f"{config.encoder}: knows no scale of its data: give --own-scale")
    unknown = [name for name in names if name not in encoder.columns]
    if unknown:
        raise UserError(
            f"{config.encoder}: was not trained on column {unknown[0]!r} but on "
            f"{', '.join(encoder.columns)}; choose --columns, or scale by the data with --own-scale"
        )
    if encoder.in_channels > 1 and names != encoder.columns:
        raise UserError(
            f"columns {', '.join(names)}: the encoder reads {', '.join(encoder.columns)} together, "
            "in this order"
        )
    order = [encoder.columns.index(name) for name in names]
    return Scaler(encoder.scaler.mean[order], encoder.scaler.std[order])


def rows(
    encoder: nn.Module, values: np.ndarray, window: int | None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Vectors (t, K D) of a few rows at a time: K columns side by side for one-channel encoders."""
    apart = np.split(values, values.shape[1], axis=1) if encoder.in_channels == 1 else [values]
    streams = [encode_in_chunks(encoder, x, window=window) for x in apart]
    bar = tqdm(total=len(values), desc="embed", unit="row", delay=2, leave=False)
    with bar:
        for found in zip(*streams, strict=True):
            part = found[0][0]
            bar.update(part.stop - part.start)
            yield part, np.concatenate([vectors for _, vectors in found], axis=1)


def known_maximum(vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The maximum (D,) over the steps with a value; -inf where there is none."""
    known = vectors[~np.isnan(values).all(axis=1)]
    return known.max(axis=0, initial=-np.inf)


def write_parquet(file, times, parts, encoder: nn.Module, names: tuple[str, ...]) -> None:
    numbers = [f"v{i}" for i in range(encoder.dim)]
    if encoder.in_channels == 1 and len(names) > 1:
        numbers = [f"{name}_{v}" for name in names for v in numbers]
    stamps = times.to_series().reset_index(drop=True)
    schema = pa.schema(
        [("time", pa.Array.from_pandas(stamps[:1]).type), *((n, pa.float32()) for n in numbers)]
    )
    with pq.ParquetWriter(file, schema) as writer:
        for rows, vectors in parts:
            columns = [pa.Array.from_pandas(stamps[rows], type=schema.field("time").type)]
            columns += [pa.array(column) for column in np.ascontiguousarray(vectors.T)]
            writer.write_table(pa.table(columns, schema=schema))


if __name__ == "__main__":
    run_tool(main, Config)

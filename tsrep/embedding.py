"""Encode the columns of a table: a Parquet file with one row of vectors per time step."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically
from tsrep.datasets.loading import standardised
from tsrep.datasets.named import NAMED, find
from tsrep.datasets.series import Scaler
from tsrep.datasets.tables import read_table
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode, encode_in_chunks
from tsrep.encoders.files import load_encoder


@dataclass(frozen=True)
class Request:
    """A request to encode columns of a table.

    encoder : a run folder or an encoder file. data : name of a set, or a CSV or Parquet file.
    columns : columns to encode; None for those that the encoder was trained on. own_scale :
    standardise by mean and deviation of these data, not of the training data. time_column : None to
    find it. data_root : folder of the named sets. pool : write one vector, ``encoder.summary``,
    with the last timestamp. window : length in steps of the window through which each step is seen;
    None for the whole past.
    """

    encoder: Path
    data: str
    columns: tuple[str, ...] | None = None
    own_scale: bool = False
    time_column: str | None = None
    data_root: Path | None = None
    pool: bool = False
    window: int | None = None


def embed(request: Request, output: Path) -> None:
    """Write a Parquet file: time, v0 .. vD-1, or load_v0, load_v1, .. for each of several columns.

    Raises
    ------
    UserError
        The data do not fit the encoder; the output cannot be written.
    """
    encoder = load_encoder(request.encoder)
    named = request.data in NAMED
    path = find(request.data, request.data_root) if named else Path(request.data)
    columns = request.columns or encoder.columns or None
    times, frame = read_table(path, columns=columns, time_column=request.time_column)
    names = tuple(frame.columns)
    if encoder.in_channels not in (1, len(names)):
        raise UserError(
            f"{path}: {len(names)} columns ({', '.join(names)}), the encoder reads "
            f"{encoder.in_channels} together: choose them with --columns"
        )
    for name in names:
        if frame[name].isna().all():
            raise UserError(f"{path}: column {name!r} has no number: leave it out")
    fitted = _scaler(request, encoder, names, frame.to_numpy(), path)
    values = standardised(frame, fitted, path)[0]
    parts = _rows(encoder, values, request.window)
    if request.pool:
        pooled = _pooled(encoder, values, request.window)
        parts = iter([(slice(len(times) - 1, len(times)), pooled[None])])
    first = next(parts)  # what is amiss with an option shows before a file is opened
    parts = itertools.chain([first], parts)
    width = first[1].shape[1]
    numbers = [f"v{i}" for i in range(width)]
    if encoder.in_channels == 1 and len(names) > 1:
        numbers = [f"{name}_v{i}" for name in names for i in range(width // len(names))]
    try:
        write_atomically(output, lambda file: _write_parquet(file, times, parts, numbers))
    except OSError as error:
        raise UserError(f"{output} cannot be written: {error.strerror or error}") from None


def _scaler(
    request: Request, encoder: Encoder, names: tuple[str, ...], values: np.ndarray, path: Path
) -> Scaler:
    """The training series' scaler for these columns, or the data's own where that is asked for."""
    if request.own_scale:
        return Scaler.fit(values, names, str(path))
    if encoder.scaler is None:
        raise UserError(f"{request.encoder}: knows no scale of its data: give --own-scale")
    unknown = [name for name in names if name not in encoder.columns]
    if unknown:
        raise UserError(
            f"{request.encoder}: was not trained on column {unknown[0]!r} but on "
            f"{', '.join(encoder.columns)}; choose --columns, or scale by the data with --own-scale"
        )
    if encoder.in_channels > 1 and names != encoder.columns:
        raise UserError(
            f"columns {', '.join(names)}: the encoder reads {', '.join(encoder.columns)} together, "
            "in this order"
        )
    order = [encoder.columns.index(name) for name in names]
    return encoder.scaler.part(order)


def _rows(
    encoder: Encoder, values: np.ndarray, window: int | None
) -> Iterator[tuple[slice, np.ndarray]]:
    """Vectors (t, K D) of a few rows at a time: K columns side by side for one-channel encoders."""
    streams = [encode_in_chunks(encoder, x, window=window) for x in encoder.apart(values)]
    bar = tqdm(total=len(values), desc="embed", unit="row", delay=2, leave=False)
    with bar:
        for found in zip(*streams, strict=True):
            part = found[0][0]
            bar.update(part.stop - part.start)
            yield part, np.concatenate([vectors for _, vectors in found], axis=1)


def _pooled(encoder: Encoder, values: np.ndarray, window: int | None) -> np.ndarray:
    """One vector of ``values (T, C)``, without those of all steps in memory where they stream."""
    if window is None and not encoder.causal:
        return encode(encoder, values[None], pool=True, apart=True)[0]
    parts = _rows(encoder, values, window)
    return np.maximum.reduce([_known_maximum(z, values[rows]) for rows, z in parts])


def _known_maximum(vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The maximum (D,) over the steps with a value; -inf where there is none."""
    known = vectors[~np.isnan(values).all(axis=1)]
    return known.max(axis=0, initial=-np.inf)


def _write_parquet(file, times, parts, numbers: list[str]) -> None:
    stamps = times.to_series().reset_index(drop=True)
    schema = pa.schema(
        [("time", pa.Array.from_pandas(stamps[:1]).type), *((n, pa.float32()) for n in numbers)]
    )
    with pq.ParquetWriter(file, schema) as writer:
        for rows, vectors in parts:
            columns = [pa.Array.from_pandas(stamps[rows], type=schema.field("time").type)]
            columns += [pa.array(column) for column in np.ascontiguousarray(vectors.T)]
            writer.write_table(pa.table(columns, schema=schema))

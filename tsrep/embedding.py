"""Encode the columns of a table: a Parquet file with a row of vectors for each time step."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically
from tsrep.datasets.files import column_names
from tsrep.datasets.loading import is_classification, labelled_parts, standardised
from tsrep.datasets.named import NAMED, find
from tsrep.datasets.series import Scaler
from tsrep.datasets.tables import OneSeries, TableConfig, read_tables
from tsrep.encoders import Encoder
from tsrep.encoders.encoding import encode, encode_in_chunks
from tsrep.encoders.files import load_encoder

_Part = tuple[str, pd.Index, np.ndarray]
"""The name of a series, times (t,) and vectors (t, K D) of some of its rows."""


@dataclass(frozen=True)
class Request:
    """A request to encode columns of a table.

    encoder : a run folder or an encoder file. data : name of a set, or a CSV or Parquet file.
    columns : columns to encode; None for those that the encoder was trained on. own_scale :
    standardise by mean and deviation of these data, each series of a long table by itself, not of
    the training data. table : how the file is written. label : column of the classes, which makes
    the data a labelled set. data_root : folder of the named sets. pool : write one vector a series,
    ``encoder.summary``, with the last timestamp. window : length in steps of the window through
    which each step is seen; None for the whole past.
    """

    encoder: Path
    data: str
    columns: tuple[str, ...] | None = None
    own_scale: bool = False
    table: TableConfig = TableConfig()
    label: str | None = None
    data_root: Path | None = None
    pool: bool = False
    window: int | None = None


def embed(request: Request, output: Path) -> None:
    """Write a Parquet file: time, v0 .. vD-1, or load_v0, load_v1, .. for each of several columns.

    The vectors of a long table have the column id before the others, the name of their series. Of a
    labelled set each series has one vector: part (train, test, all), label, v0 .. vD-1.

    Raises
    ------
    UserError
        The data do not fit the encoder; the output cannot be written.
    """
    encoder = load_encoder(request.encoder)
    if is_classification(request.data, request.label):
        _embed_instances(request, encoder, output)
        return
    named = request.data in NAMED
    path = find(request.data, request.data_root) if named else Path(request.data)
    own = set(encoder.columns) & set(column_names(path)) or named  # else a long table's series
    columns = request.columns or (encoder.columns if own else None) or None
    names, series = read_tables(path, columns=columns, **vars(request.table))
    if encoder.in_channels not in (1, len(names)):
        raise UserError(
            f"{path}: {len(names)} columns ({', '.join(names)}), the encoder reads "
            f"{encoder.in_channels} together: choose them with --columns"
        )
    encoded = (part for one in series for part in _encoded(request, encoder, names, one, path))
    first = next(encoded)  # what is amiss with an option shows before a file is opened
    parts = itertools.chain([first], encoded)
    width = first[2].shape[1]
    numbers = [f"v{i}" for i in range(width)]
    if encoder.in_channels == 1 and len(names) > 1:
        numbers = [f"{name}_v{i}" for name in names for i in range(width // len(names))]
    write_atomically(output, lambda file: _write_parquet(file, parts, numbers))


def _embed_instances(request: Request, encoder: Encoder, output: Path) -> None:
    """Write one vector a series of a labelled set, with its part and class, in their order."""
    _, parts = labelled_parts(
        request.data, label=request.label, root=request.data_root, **vars(request.table)
    )
    whole = [found.values.reshape(-1, found.values.shape[2]) for found in parts.values()]
    names = encoder.columns or tuple(map(str, range(whole[0].shape[1])))
    scaler = encoder.scaler
    if request.own_scale:
        scaler = Scaler.fit(np.concatenate(whole), where=request.data, keep_constant=True)
    if scaler is None:
        raise UserError(f"{request.encoder}: knows no scale of its data: give --own-scale")
    if len(scaler.mean) != whole[0].shape[1] or encoder.in_channels not in (1, len(names)):
        raise UserError(
            f"{request.data} has {whole[0].shape[1]} channels, the encoder was trained on "
            f"{len(scaler.mean)}: choose another encoder, or give --own-scale"
        )
    tables = []
    for part, found in parts.items():
        vectors = encode(encoder, scaler.transform(found.values), pool=True, apart=True)
        columns = {f"v{i}": column for i, column in enumerate(vectors.T)}
        tables.append(pd.DataFrame({"part": part, "label": found.labels, **columns}))
    table = pa.Table.from_pandas(pd.concat(tables), preserve_index=False)
    write_atomically(output, lambda file: pq.write_table(table, file))


def _encoded(
    request: Request, encoder: Encoder, names: tuple[str, ...], one: OneSeries, path: Path
) -> Iterator[_Part]:
    """The vectors of a few rows of a series at a time."""
    for name, column in zip(names, one.values.T, strict=True):
        if np.isnan(column).all():
            where = f"{path}, series {one.id!r}" if one.id else path
            raise UserError(f"{where}: column {name!r} has no number: leave it out")
    fitted = _scaler(request, encoder, names, one, path)
    values = standardised(one.values, names, fitted, path)[0]
    if request.pool:
        yield one.id, one.times[-1:], _pooled(encoder, values, request.window)[None]
        return
    for rows, vectors in _rows(encoder, values, request.window):
        yield one.id, one.times[rows], vectors


def _scaler(
    request: Request, encoder: Encoder, names: tuple[str, ...], one: OneSeries, path: Path
) -> Scaler:
    """The training series' scaler for these columns, or the data's own where that is asked for."""
    if request.own_scale:
        where = f"series {one.id!r} of {path}" if one.id else str(path)
        return Scaler.fit(one.values, names, where, keep_constant=bool(one.id))
    if encoder.scaler is None:
        raise UserError(f"{request.encoder}: knows no scale of its data: give --own-scale")
    if one.id in encoder.columns and len(names) == 1:
        return encoder.scaler.part([encoder.columns.index(one.id)])
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


def _write_parquet(file: BinaryIO, parts: Iterator[_Part], numbers: list[str]) -> None:
    tables = (_table(part, numbers) for part in parts)
    first = next(tables)
    with pq.ParquetWriter(file, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table.cast(first.schema))
    writer.close()


def _table(part: _Part, numbers: list[str]) -> pa.Table:
    name, times, vectors = part
    arrays = {"id": pa.array([name] * len(times))} if name else {}
    arrays["time"] = pa.Array.from_pandas(times.to_series())
    arrays |= dict(zip(numbers, map(pa.array, np.ascontiguousarray(vectors.T)), strict=True))
    return pa.table(arrays)

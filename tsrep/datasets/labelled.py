"""Labelled sets in files of one's own: tables, the UCR archive's .tsv, ARFF, NumPy arrays.

parts = read_labelled("walks.csv", label="activity")  # one row a series, or long
parts = read_labelled("Beef_TRAIN.tsv")               # and Beef_TEST.tsv beside it
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.io import arff

from tspcrep.common.arrays import read_array, read_arrays
from tspcrep.common.errors import UserError
from tsrep.datasets.channels import is_words
from tsrep.datasets.files import read_fields
from tsrep.datasets.ids import find_ids, joined_ids, named_id, row_names
from tsrep.datasets.numbers import is_time, parsed
from tsrep.datasets.relational_arff import read_relational
from tsrep.datasets.series import stacked
from tsrep.datasets.tables import TableConfig, check_column
from tsrep.datasets.times import Times, find_times, read_times

SUFFIXES = (".ts", ".arff", ".npz", ".npy")
"""Of files that hold labelled sets whatever their names; others are NAME_TRAIN and NAME_TEST."""
_ARRAYS = ("train", "train_labels", "test", "test_labels")


class Labelled(NamedTuple):
    """values: float64 (N, T, C), NaN where missing and behind the end. labels: text (N,)."""

    values: np.ndarray
    labels: np.ndarray


def read_labelled(path: str | Path, label: str | None = None, **table: Any) -> dict[str, Labelled]:
    """The parts of a labelled set: train and test where its files are split so, else all.

    path: a table (CSV, Parquet) with one row a series, whose numeric columns are its steps in
    order; a long table, with a row for each series and time (``id_column``), whose numeric columns
    are its channels; a .tsv of the UCR archive, the class first in each row; ARFF, also of several
    channels (:mod:`tsrep.datasets.relational_arff`); .npy, (N, T) or (N, T, C); .npz with train,
    train_labels, test, test_labels, or with X and y. Of NAME_TRAIN and NAME_TEST one is given, and
    both are read. label: column of the classes; the file of the classes (N,) of a .npy. table:
    fields of :class:`TableConfig`.

    Raises UserError for what is no such file, a table without ``label``, several classes in one
    series. Nothing is unpickled.
    """
    path = Path(path).expanduser()
    if path.suffix == ".npz":
        return _read_npz(path)
    pair = _pair(path)
    if pair is not None:
        return {part: _read(file, label, table) for part, file in pair.items()}
    return {"all": _read(path, label, table)}


def read_instances(
    path: str | Path, label: str | None = None, **table: Any
) -> tuple[list[object], np.ndarray]:
    """Series to classify: their names, or numbers from 1, and values (N, T, C) in the data's units.

    path: a table with one row a series, or a long one, as in :func:`read_labelled`; or .npy. label:
    a column to leave out, where the table still has it. Raises UserError for what cannot be read.
    """
    path = Path(path).expanduser()
    if path.suffix == ".npy":
        found = read_array(path)
        values = _checked(found, np.zeros(len(found) if found.ndim else 0), str(path)).values
        return list(range(1, len(values) + 1)), values
    config = TableConfig(**table)
    frame, comma = read_fields(path)
    for name in (*config.drop_columns, *config.id_column, *config.time_column):
        check_column(name, list(frame.columns), path)
    left_out = [name for name in (label, *config.drop_columns) if name in frame.columns]
    values, names, _ = _series_of(frame.drop(columns=left_out), comma, config, path)
    return list(names), values


def split_by_class(found: Labelled, share: float = 0.7) -> dict[str, Labelled]:
    """Train and test of a set that has no split: of each class the share ``share``, drawn evenly.

    The draw depends on nothing but the number of series. A class of one series is in train.
    """
    rng, train = np.random.default_rng(0), np.zeros(len(found.labels), dtype=bool)
    for name in np.unique(found.labels):
        rows = rng.permutation(np.flatnonzero(found.labels == name))
        train[rows[: max(1, round(share * len(rows)))]] = True
    if train.all():
        raise UserError(
            "each class has one series, expected at least two of one, to train and to test with"
        )
    parts = {"train": train, "test": ~train}
    return {part: Labelled(found.values[at], found.labels[at]) for part, at in parts.items()}


def _pair(path: Path) -> dict[str, Path] | None:
    """The two files of a set that is split, None where the name of ``path`` does not say so."""
    stem, _, part = path.stem.rpartition("_")
    if part not in ("TRAIN", "TEST"):
        return None
    pair = {name: path.with_stem(f"{stem}_{name.upper()}") for name in ("train", "test")}
    for file in pair.values():
        if not file.is_file():
            raise UserError(f"{file} does not exist: expected a train and a test file together")
    return pair


def _read(path: Path, label: str | None, table: dict) -> Labelled:
    if path.suffix == ".tsv" and label is None:
        return _read_ucr(path)
    if path.suffix == ".arff":
        return _read_arff(path)
    if path.suffix == ".npy":
        return _read_npy(path, label)
    if label is None:
        raise UserError(
            f"{path} is a table: name the column of its classes with --label, or use a tool that "
            "reads series without classes"
        )
    return _read_table(path, label, TableConfig(**table))


def _read_table(path: Path, label: str, config: TableConfig) -> Labelled:
    frame, comma = read_fields(path)
    for name in (label, *config.drop_columns, *config.id_column, *config.time_column):
        check_column(name, list(frame.columns), path)
    frame = frame.drop(columns=list(config.drop_columns))
    if frame[label].isna().any():
        row = int(frame[label].isna().to_numpy().argmax()) + 1
        raise UserError(f"{path}: row {row} has no class in {label!r}: fill or drop the row")
    labels = frame[label].astype(str).to_numpy(dtype=str)
    values, names, rows = _series_of(frame.drop(columns=label), comma, config, path)
    for series, at in zip(names, rows, strict=True):
        if (labels[at] != labels[at[0]]).any():
            raise UserError(
                f"{path}: series {series!r} has the classes {labels[at[0]]!r} and "
                f"{labels[at][labels[at] != labels[at[0]]][0]!r}, expected one"
            )
    return Labelled(values, labels[[at[0] for at in rows]])


def _series_of(
    frame: pd.DataFrame, comma: bool, config: TableConfig, path: Path
) -> tuple[np.ndarray, Sequence[object], list[np.ndarray]]:
    """The series (N, T, C) of a table without its classes, their names, and the rows of each."""
    ids, times, taken = _rows_of_series(frame, config, path)
    named = row_names(frame)
    rest = frame.drop(columns=taken)
    numeric = [
        name
        for name in rest
        if not is_time(rest[name]) and not is_words(rest[name], comma, config.missing)
    ]
    if not numeric:
        raise UserError(f"{path} has no column of numbers that could be the values of series")
    values = np.stack([parsed(rest[name], comma, config.missing) for name in numeric], axis=1)
    if ids is None:
        names = frame[named].to_list() if named is not None else list(range(1, len(frame) + 1))
        return values[..., None], names, list(np.arange(len(frame))[:, None])
    codes, names = pd.factorize(ids)
    order = np.lexsort((times, codes))
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = [order[start:stop] for start, stop in itertools.pairwise(bounds)]
    return stacked([values[at] for at in rows]).astype(np.float64), list(names), rows


def _rows_of_series(frame: pd.DataFrame, config: TableConfig, path: Path) -> tuple:
    """Of a long table the series of each row, its time, and the columns they come from."""
    columns, named = config.id_column, named_id(frame)
    if not columns and named is not None and not frame[named].is_unique:
        columns = (named,)
    rest = frame.drop(columns=list(columns))
    times: Times | None
    if config.time_column:
        times = read_times(rest, config.time_column, config.time_format, str(path))
    else:
        times = find_times(rest, str(path), long=bool(columns))
    if not columns and times is not None and not times.index.is_unique:
        found = find_ids(rest.drop(columns=list(times.columns)), times.index)
        columns = () if found is None else (found,)
    if not columns:
        return None, None, [n for n in [row_names(frame)] if n is not None]
    taken = [*columns, *(() if times is None else times.columns)]
    stamps = np.arange(len(frame)) if times is None else np.asarray(times.index)
    return joined_ids(frame, columns), stamps, taken


def _read_ucr(path: Path) -> Labelled:
    try:
        frame = pd.read_csv(path, sep="\t", header=None)
        values = frame.iloc[:, 1:].to_numpy(np.float64)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a .tsv of the UCR archive: {_line(error)}") from None
    if values.shape[1] == 0:
        raise UserError(f"{path} has one column, expected a class and the steps of a series a row")
    return Labelled(values[..., None], frame[0].map(_class).to_numpy(dtype=str))


def _read_arff(path: Path) -> Labelled:
    try:
        several = read_relational(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not ARFF of labelled series: {_line(error)}") from None
    if several is not None:
        return Labelled(*several)
    try:
        rows, meta = arff.loadarff(path)
    except Exception as error:  # a damaged file makes SciPy raise almost anything
        raise UserError(f"{path} is not ARFF of labelled series: {_line(error)}") from None
    names = meta.names()
    numeric = [n for n, kind in zip(names, meta.types(), strict=True) if kind == "numeric"]
    if not names or names[-1] in numeric or len(numeric) != len(names) - 1:
        raise UserError(f"{path}: expected numbers, and the class as the last attribute")
    values = np.stack([rows[name] for name in numeric], axis=1)
    return Labelled(values[..., None], rows[names[-1]].astype(str))


def _read_npy(path: Path, label: str | None) -> Labelled:
    if label is None:
        raise UserError(f"{path} holds no classes: give the .npy file of them with --label")
    values, labels = (read_array(Path(file).expanduser()) for file in (path, label))
    return _checked(values, labels, str(path))


def _read_npz(path: Path) -> dict[str, Labelled]:
    arrays = read_arrays(path, {*_ARRAYS, "X", "y"}.__contains__)
    if "X" in arrays and "y" in arrays:
        return {"all": _checked(arrays["X"], arrays["y"], f"X of {path}")}
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise UserError(
            f"{path} is not a set of labelled series (no {missing[0]}), expected a .npz with the "
            f"arrays {', '.join(_ARRAYS)}, or X and y"
        )
    return {
        part: _checked(arrays[part], arrays[f"{part}_labels"], f"{part} of {path}")
        for part in ("train", "test")
    }


def _checked(values: np.ndarray, labels: np.ndarray, what: str) -> Labelled:
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise UserError(
            f"{what} has shape {values.shape} of {values.dtype}, expected numbers (N, T) or "
            "(N, T, C)"
        )
    if labels.shape != values.shape[:1]:
        raise UserError(
            f"{what.split(' of ')[0]} has {len(values)} series and labels of shape {labels.shape}, "
            "expected one label a series"
        )
    return Labelled(values.astype(np.float64), np.char.mod("%s", labels))


def _class(value: object) -> str:
    """1.0 and 1 as 1."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]

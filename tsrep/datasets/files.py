"""The fields of a CSV or Parquet file or of a data frame, before it is known what they mean."""

import csv
import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically
from tsrep.datasets.numbers import all_thousands, has_decimal_comma, is_text

_NOT_TEXT = "is neither a Parquet file nor CSV in UTF-8: export it as one of them"
_FIELD_OF_A_ROW = re.compile(r"[+-]?\.?\d[\d\s.,:/+%TZeE-]*")  # a number, or a date


def located(source: Any) -> tuple[Path, Any]:
    """The path of a file, and None; or, for messages, a path called frame, and the data frame."""
    if isinstance(source, (str, Path)):
        return Path(source).expanduser(), None
    return Path("frame"), source


def frame_fields(frame: Any) -> tuple[pd.DataFrame, bool]:
    """:func:`read_fields` of an eager data frame of pandas, polars or Arrow, which stays as it is.

    A named index, or one of pandas that does not count rows, is read as columns. Raises UserError
    for anything else.
    """
    try:
        found = nw.from_native(frame, eager_only=True).to_pandas().copy(deep=False)
    except nw.exceptions.DuplicateError as error:
        said = " ".join(str(error).split())
        raise UserError(f"frame: {said}: give each column its own name") from None
    except TypeError:
        remedy = "; collect() it first" if hasattr(frame, "collect") else ""
        raise UserError(
            f"found a {type(frame).__name__}, expected a path, or a data frame of pandas, polars "
            f"or Arrow{remedy}"
        ) from None
    path = located(frame)[0]
    found = _without_index(found, path)
    found.columns = [str(name) for name in found.columns]
    return _checked(found, "", path)


def read_fields(path: Path) -> tuple[pd.DataFrame, bool]:
    """All columns of a file, and whether text in them has a decimal comma.

    Rows at the end and nameless columns in which every field is empty are left out. Raises
    UserError for a path that is no such file, an empty one, one without a header, and repeated
    column names.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: expected a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            raise UserError(f"{path} is empty: expected a CSV or Parquet file")
        if start == b"PAR1" or path.suffix.lower() in {".parquet", ".pq"}:
            frame, separator = _read_parquet(path), ""
        else:
            frame, separator = _read_csv(path, gzipped=start[:2] == b"\x1f\x8b")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: expected a CSV or Parquet file") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path} cannot be read: {_first_line(reason)}") from None
    return _checked(frame, separator, path)


def _checked(frame: pd.DataFrame, separator: str, path: Path) -> tuple[pd.DataFrame, bool]:
    _check_names(frame, path)
    frame = _without_blanks(frame)
    if len(frame) == 0:
        raise UserError(f"{path} has no rows: expected at least one below the header")
    comma = has_decimal_comma((frame[n] for n in frame if is_text(frame[n])), separator or ",")
    if comma and separator:
        frame = _with_thousands(frame, path, separator)
    return frame, comma


def check_table_name(path: Path) -> None:
    """Raise UserError for a name that :func:`write_table` has no format for."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"output {path}: expected a name that ends in .csv or .parquet")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write the columns to a file, CSV where its name ends so, else Parquet."""
    save = frame.to_csv if path.suffix == ".csv" else frame.to_parquet
    write_atomically(path, lambda file: save(file, index=False))


def column_names(source: Any) -> list[str]:
    """The names of the columns of a file or a data frame, [] where it cannot be read."""
    path, frame = located(source)
    if frame is not None:
        return list(frame_fields(frame)[0])
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PAR1":
            return list(pq.read_schema(path).names)
        return _first_lines(path, gzipped=start[:2] == b"\x1f\x8b")[0]
    except (OSError, EOFError, zlib.error, pa.ArrowException, UserError):
        return []


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except Exception as error:  # what pandas keeps beside the columns may hold anything
        raise UserError(
            f"{path} is not a readable Parquet file ({_first_line(error)}): write it again"
        ) from None
    return _without_index(frame, path)


def _without_index(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    # pandas keeps a frame's own index (often its timestamps) apart from its columns.
    counts_rows = isinstance(frame.index, pd.RangeIndex)
    if counts_rows:
        return frame
    names = pd.Index([*frame.index.names, *frame])
    if names.has_duplicates:
        raise UserError(
            f"{path}: {names[names.duplicated()][0]!r} is the name of an index and of another, or "
            "of a column: expected names that differ"
        )
    return frame.reset_index()


def _read_csv(path: Path, gzipped: bool) -> tuple[pd.DataFrame, str]:
    names, row, separator = _first_lines(path, gzipped)
    repeated = [name for i, name in enumerate(names) if name and name in names[:i]]
    if repeated:
        raise UserError(f"{path} has two columns named {repeated[0]!r}: give each its own name")
    numbered = [name for name in names if name] == [str(i) for i in range(sum(map(bool, names)))]
    if not numbered and all(_FIELD_OF_A_ROW.fullmatch(name) for name in names if name):
        raise UserError(
            f"{path} has numbers in its first row: expected a header; add a row of column names"
        )
    ends_empty = len(row) > len(names) and not any(row[len(names) :])  # separators at row ends
    if len(row) > len(names) and not ends_empty:
        # pandas would take the first columns for an index and shift every name.
        raise UserError(
            f"{path} has {len(row)} fields in its first row, expected the {len(names)} of its "
            f"header ({', '.join(names)}): name every column"
        )
    try:
        frame = _fields(path, separator, **({"index_col": False} if ends_empty else {}))
    except pd.errors.EmptyDataError:
        raise UserError(f"{path} is empty: expected a header and rows") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} {_NOT_TEXT}") from None
    except pd.errors.ParserError as error:
        raise UserError(f"{path} is not a regular CSV file: {_first_line(error)}") from None
    return frame, separator


def _fields(path: Path, separator: str, **options: Any) -> pd.DataFrame:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    frame = pd.read_csv(
        path,
        sep=separator,
        compression="gzip" if gzipped else None,
        encoding="utf-8-sig",
        skipinitialspace=True,
        low_memory=False,
        **options,
    )
    return frame.rename(columns=str.strip)


def _with_thousands(frame: pd.DataFrame, path: Path, separator: str) -> pd.DataFrame:
    """``frame`` with columns such as 1.234 as text, where they were read as fractions."""
    suspects = [name for name in frame if frame[name].dtype.kind == "f"]
    if not suspects:
        return frame
    text = _fields(path, separator, dtype=str, index_col=False)[suspects].iloc[: len(frame)]
    return frame.assign(**{name: text[name] for name in suspects if all_thousands(text[name])})


def _first_lines(path: Path, gzipped: bool) -> tuple[list[str], list[str], str]:
    """The header's names, the first row's fields, and the separator between them."""
    opened = gzip.open if gzipped else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            start = file.read(65536)
    except UnicodeDecodeError:
        start = "\0"
    if "\0" in start:
        raise UserError(f"{path} {_NOT_TEXT}")
    lines = [line for line in start.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{path} is empty: expected a header and rows")
    separator = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines[:2], delimiter=separator, skipinitialspace=True))
    header = [name.strip() for name in rows[0]]
    return header, rows[1] if len(rows) > 1 else [], separator


def _check_names(frame: pd.DataFrame, path: Path) -> None:
    frame.columns = frame.columns.map(str)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{path} has two columns named {repeated[0]!r}: give each its own name")


def _without_blanks(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` without empty nameless columns and without empty rows at its end."""
    nameless = [name for name in frame if name == "" or name.startswith("Unnamed: ")]
    frame = frame.drop(columns=[name for name in nameless if frame[name].isna().all()])
    if len(frame) == 0 or not frame.iloc[-1].isna().all():
        return frame
    filled = frame.notna().any(axis=1).to_numpy()
    return frame.iloc[: int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0]


def _first_line(error: object) -> str:
    return " ".join(str(error).split())[:200]

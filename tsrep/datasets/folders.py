"""A folder of tables as a corpus: every column of every file is a series."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.tables import read_tables

_SHORTEST = 8  # steps; fewer say nothing
_SUFFIXES = (".parquet", ".csv", ".csv.gz")


class FolderCorpus:
    """Pieces of real series (T, 1), float32, from the tables of a folder.

    Each numeric column is a series, whatever the number of columns and rows of a file, and in a
    long table each numeric column of each of its series. It is standardised and cut into pieces of
    ``steps``; a shorter last piece is kept, NaN behind its end.

    Parameters
    ----------
    folder : with Parquet or CSV files, also in folders inside it.
    steps : most steps of a piece.
    table : how the files are written, fields of :class:`tsrep.datasets.tables.TableConfig`.

    Warns
    -----
    DataWarning
        Files that cannot be read, or hold no series of 8 steps, are left out: which, and how many.

    Raises
    ------
    UserError
        No such folder, no table in it, or no more than half of its files can be used.
    """

    def __init__(self, folder: str | Path, steps: int = 512, **table: Any):
        folder = Path(folder).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, expected one of Parquet or CSV files")
        files = sorted(p for p in folder.rglob("*") if p.name.endswith(_SUFFIXES))
        if not files:
            raise UserError(f"{folder}: holds no Parquet or CSV file, expected at least one")
        pieces, bad = [], []
        for file in files:
            try:
                pieces.extend(_pieces(file, steps, table))
            except UserError as error:
                bad.append(str(error))
        if 2 * len(bad) >= len(files):
            raise UserError(
                f"{folder}: {len(bad)} of {len(files)} files cannot be used, expected fewer than "
                f"half; the first: {bad[0]}"
            )
        if bad:
            warnings.warn(
                f"{folder}: {len(bad)} of {len(files)} files are left out: " + "; ".join(bad),
                DataWarning,
                stacklevel=2,
            )
        self.values = np.full((len(pieces), steps, 1), np.nan, np.float32)
        for row, piece in zip(self.values, pieces, strict=True):
            row[: len(piece), 0] = piece

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> np.ndarray:
        """Piece ``index``, (T, 1) float32, NaN where missing and behind its end."""
        return self.values[index]

    def fingerprint(self) -> str:
        return fingerprint(self.values)


def _pieces(file: Path, steps: int, table: dict[str, Any]) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a line a file is too much
        tables = read_tables(file, **table)
    found: list[np.ndarray] = []
    for series in (column for one in tables.series for column in one.values.T):
        if np.isnan(series).all():
            continue
        spread = np.nanstd(series)
        series = (series - np.nanmean(series)) / (spread if spread > 0 else 1.0)
        parts = (series[start : start + steps] for start in range(0, len(series), steps))
        found.extend(part for part in parts if np.isfinite(part).sum() >= _SHORTEST)
    if not found:
        raise UserError(f"{file}: holds no series of {_SHORTEST} values")
    return found

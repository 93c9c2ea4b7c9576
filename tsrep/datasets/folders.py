"""A folder of tables as a corpus: every column of every file is a series.

No more than one file, or one row group of a large Parquet file, is in memory at a time, and the
pieces up to a limit; beyond it they are on disk. So a corpus may be larger than memory.
"""

import warnings
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pooch
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from tspcrep.common.checkpoints import fingerprint
from tspcrep.common.datafiles import cache_folder
from tspcrep.common.errors import DataWarning, UserError
from tspcrep.common.runs import write_atomically
from tsrep.datasets.tables import Tables, read_tables

_SHORTEST = 8  # steps; fewer say nothing
_SUFFIXES = (".parquet", ".csv", ".csv.gz")
_MEMORY = 1 << 30  # bytes


class FolderCorpus:
    """Pieces of real series (T, 1), float32, from the tables of a folder.

    Each numeric column is a series, whatever the number of columns and rows of a file, and in a
    long table each numeric column of each of its series. It is standardised and cut into pieces of
    ``steps``; a shorter last piece is kept, NaN behind its end.

    Pieces of more than ``memory`` are kept on disk, in the user cache, under a name that the files'
    content and the options give: made once, and deleted at will. A Parquet file of more than that
    is read one row group at a time, each as a table of its own; a CSV of any size is read at once.

    Parameters
    ----------
    folder : with Parquet or CSV files, also in folders inside it.
    steps : most steps of a piece.
    memory : bytes; 1 GB by default.
    table : how the files are written, fields of :class:`tsrep.datasets.tables.TableConfig`.

    Warns
    -----
    DataWarning
        Files that cannot be read, or hold no series of 8 steps, are left out: which, and how many.

    Raises
    ------
    UserError
        No such folder, no table in it, or no more than half of its files can be used; no room for
        pieces on disk.
    """

    def __init__(
        self, folder: str | Path, steps: int = 512, *, memory: int = _MEMORY, **table: Any
    ):
        folder = Path(folder).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, expected one of Parquet or CSV files")
        files = sorted(p for p in folder.rglob("*") if p.name.endswith(_SUFFIXES))
        if not files:
            raise UserError(f"{folder}: holds no Parquet or CSV file, expected at least one")
        self._told = fingerprint(*_contents(folder, files), str(steps), repr(sorted(table.items())))
        bad: list[str] = []
        pieces = _pieces_of(files, steps, memory, table, bad)
        self.values = _kept(pieces, steps, memory, self._told)  # (N, T, 1)
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

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> np.ndarray:
        """Piece ``index``, (T, 1) float32, NaN where missing and behind its end."""
        return self.values[index]

    def __getstate__(self) -> dict[str, Any]:
        on_disk = isinstance(self.values, np.memmap)  # which would be sent whole
        return vars(self) | ({"values": self.values.shape} if on_disk else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self.values, tuple):
            self.values = _opened(self._told, self.values[1])

    def fingerprint(self) -> str:
        """A hash of the names and contents of the files, and of how they are read."""
        return self._told


def _contents(folder: Path, files: list[Path]) -> Iterator[str]:
    for file in files:
        yield f"{file.relative_to(folder)} {pooch.file_hash(str(file))}"


def _kept(pieces: Iterator[np.ndarray], steps: int, memory: int, name: str) -> np.ndarray:
    """The pieces (N, steps, 1), in memory where they fit, else as a file of the user cache."""
    fit = list(islice(pieces, max(memory // (4 * steps), 1)))
    if (more := next(pieces, None)) is None:
        return np.stack(fit) if fit else np.empty((0, steps, 1), np.float32)

    def write(file: BinaryIO) -> None:
        for piece in chain(fit, [more], pieces):
            file.write(piece.tobytes())

    write_atomically(_place(name), write)
    return _opened(name, steps)


def _opened(name: str, steps: int) -> np.ndarray:
    return np.memmap(_place(name), np.float32, "r").reshape(-1, steps, 1)


def _place(name: str) -> Path:
    return cache_folder() / "pieces" / f"{name}.f32"


def _pieces_of(
    files: list[Path], steps: int, memory: int, table: dict[str, Any], bad: list[str]
) -> Iterator[np.ndarray]:
    """Pieces (steps, 1) of each file in turn, NaN behind their ends; adds to ``bad`` what fails."""
    for file in tqdm(files, desc="read tables", unit="file", delay=2, leave=False):
        found = False
        try:
            for tables in _tables_of(file, memory, table):
                for piece in _pieces(tables, steps):
                    found = True
                    yield piece
            if not found:
                raise UserError(f"{file}: holds no series of {_SHORTEST} values")
        except UserError as error:
            bad.append(str(error))


def _tables_of(file: Path, memory: int, table: dict[str, Any]) -> Iterator[Tables]:
    """The file as one table, or a large Parquet file as one of each row group."""
    if not _is_large(file, memory):
        yield _quietly(file, table)
        return
    with pq.ParquetFile(file) as groups:
        for number in range(groups.num_row_groups):
            try:
                # Without what pandas keeps beside the columns: its index is a column here.
                group = groups.read_row_group(number).replace_schema_metadata(None)
                found = _quietly(group, table)
            except (pa.ArrowException, OSError, UserError) as error:
                raise UserError(f"{file}: row group {number}: {error}") from None
            yield found


def _quietly(source: Any, table: dict[str, Any]) -> Tables:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # a line a file is too much
        return read_tables(source, **table)


def _is_large(file: Path, memory: int) -> bool:
    """Whether a Parquet file is larger, unpacked, than what may be in memory."""
    if not file.name.endswith(".parquet"):
        return False
    try:
        found = pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        return False  # which reading it says in a line
    sizes = (found.row_group(i).total_byte_size for i in range(found.num_row_groups))
    return found.num_row_groups > 1 and sum(sizes) > memory


def _pieces(tables: Tables, steps: int) -> Iterator[np.ndarray]:
    for series in (column for one in tables.series for column in one.values.T):
        if np.isnan(series).all():
            continue
        spread = np.nanstd(series)
        series = (series - np.nanmean(series)) / (spread if spread > 0 else 1.0)
        for start in range(0, len(series), steps):
            part = series[start : start + steps]
            if np.isfinite(part).sum() >= _SHORTEST:
                piece = np.full((steps, 1), np.nan, np.float32)
                piece[: len(part), 0] = part
                yield piece

"""Read binary records, or a random subset where there are more than a scene may have."""

import warnings
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError

MAX_POINTS = 20_000_000  # about 1 GB with colours and labels, read one scene at a time
CHUNK = 1_000_000  # records read at once

Rows = np.ndarray | slice  # rising indices, or all


def rows_to_read(count: int, path: Path, most: int) -> Rows:
    """Rows to read: all, or with a warning a random one of every k consecutive records.

    Random within each k, since scanners write ring after ring or line after line, of which a fixed
    step would skip some altogether. The draw is the same each time.
    """
    if count <= most:
        return slice(None)
    step = -(-count // most)
    warnings.warn(
        f"{path}: holds {count:,} points, more than {most:,}: one in every {step} is read; crop it "
        "or cut it into tiles, one file each, to use all",
        stacklevel=4,
    )
    first = np.arange(0, count, step)
    drawn = np.random.default_rng(0).integers(0, step, len(first))
    return np.minimum(first + drawn, count - 1)


def numbered(columns: dict[str, np.ndarray], rows: Rows) -> dict[str, np.ndarray]:
    """The columns, with the ``row`` of each point in the file where not all were read."""
    return columns if isinstance(rows, slice) else {**columns, "row": rows}


def within(rows: Rows, start: int, length: int) -> Rows:
    """The rows that fall into a chunk, relative to its start."""
    if isinstance(rows, slice):
        return rows
    first, last = np.searchsorted(rows, [start, start + length])
    return rows[first:last] - start


def records(path: Path, start: int, count: int, record: np.dtype, rows: Rows) -> np.ndarray:
    """Read the ``rows`` of ``count`` binary records that begin at byte ``start``."""
    parts = []
    with path.open("rb") as file:
        file.seek(start)
        for first in range(0, count, CHUNK):
            part = np.fromfile(file, record, min(CHUNK, count - first))
            parts.append(part[within(rows, first, len(part))])
    return np.concatenate(parts)


def judge_records(path: Path, start: int, count: int, record: np.dtype) -> None:
    """:func:`judge_whole` of binary records; before rows are drawn, as many as a header says."""
    judge_whole(path, max(0, path.stat().st_size - start) // record.itemsize, count)


def judge_whole(path: Path, found: int, count: int) -> None:
    """Raise UserError where a file holds fewer points than its header announces."""
    if found < count:
        raise UserError(
            f"{path}: holds {found} points, expected {count} from its header; it is cut off, get "
            "it again"
        )


def judge_count(count: int, path: Path, most: int) -> None:
    """Raise UserError for too large a file of a format that cannot be subsampled."""
    if count > most:
        raise UserError(
            f"{path}: holds {count:,} points, expected at most {most:,} in this format; crop it, "
            "cut it into tiles, one file each, or save it as LAS or binary PLY"
        )

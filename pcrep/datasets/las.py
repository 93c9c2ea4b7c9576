"""LAS and LAZ through laspy."""

from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.datasets.columns import Columns, select
from pcrep.datasets.headers import judge_whole
from pcrep.datasets.size import rows_to_read

CHUNK = 1_000_000  # points read at once
COLOURS = ("red", "green", "blue")


def read(path: Path, max_points: int) -> Columns:
    """Columns of an airborne or terrestrial scan.

    Coordinates are float64, as the file's integers, scale and offset give them; ``to_cloud`` takes
    an origin off. ``classification`` becomes the label, ``treeID`` the instance. Colours, an
    intensity or a classification that are 0 throughout were never filled in, and are left out.
    """
    laspy = _laspy()
    try:
        with laspy.open(path) as file:
            count = file.header.point_count
            rows = rows_to_read(count, path, max_points)
            chunks, found = [], 0
            for chunk in file.chunk_iterator(CHUNK):
                chunks.append(_columns(chunk[_inside(rows, found, len(chunk))]))
                found += len(chunk)
    # laspy, its LAZ backend and numpy each raise their own for the same broken bytes.
    except Exception as error:
        raise UserError(
            f"{path}: cannot be read as LAS ({error}); it is cut off or damaged, get it again"
        ) from None
    judge_whole(path, found, count)
    if not chunks:
        return {"coords": np.empty((0, 3))}
    arrays = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    columns = select(arrays, path)
    return {n: v for n, v in columns.items() if n == "coords" or v.any()}


def _inside(rows: np.ndarray | slice, start: int, length: int) -> np.ndarray | slice:
    """Those of the rows that are in a chunk, counted from its start."""
    if isinstance(rows, slice):
        return rows
    first, last = np.searchsorted(rows, [start, start + length])
    return rows[first:last] - start


def _columns(chunk) -> dict[str, np.ndarray]:
    wanted = {"intensity", "classification", "treeID", *COLOURS}
    names = wanted.intersection(chunk.point_format.dimension_names)
    arrays = {axis: np.asarray(getattr(chunk, axis)) for axis in "xyz"}
    return arrays | {name: np.asarray(chunk[name]) for name in names}


def _laspy():
    try:
        import laspy
    except ImportError:
        raise UserError("LAS files need laspy: pip install 'tspcrep[points]'") from None
    return laspy

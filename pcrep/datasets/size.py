"""Files of more points than a scene may have."""

import warnings
from pathlib import Path

import numpy as np

from common.errors import UserError

MAX_POINTS = 20_000_000  # about 1 GB with colours and labels, read one scene at a time


def rows_to_read(count: int, path: Path, most: int) -> np.ndarray | slice:
    """Which of a file's records to read: all, or with a warning one of each k in turn, at random.

    At random within each k, for scanners write ring after ring or line after line, of which a fixed
    step would read some and leave out others. The draw is the same each time.
    """
    if count <= most:
        return slice(None)
    step = -(-count // most)
    warnings.warn(
        f"{path}: holds {count:,} points, more than {most:,}: one of each {step} is read; crop it "
        "or cut it into tiles, one file each, to use all",
        stacklevel=5,
    )
    first = np.arange(0, count, step)
    drawn = np.random.default_rng(0).integers(0, step, len(first))
    return np.minimum(first + drawn, count - 1)


def judge_count(count: int, path: Path, most: int) -> None:
    """Raise UserError for a file too large to be a scene whose records cannot be picked."""
    if count > most:
        raise UserError(
            f"{path}: holds {count:,} points, expected at most {most:,} in this format; crop it, "
            "cut it into tiles, one file each, or save it as LAS or binary PLY"
        )

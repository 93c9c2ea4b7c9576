"""A toy format of points: a line VERT, their number, and their coordinates."""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format
from pcrep.datasets.formats.records import judge_count


def _read(path: Path, max_points: int) -> Columns:
    count = int(path.read_text().split()[1])
    judge_count(count, path, max_points)
    return {"coords": np.loadtxt(path, skiprows=2, max_rows=count)}


FORMAT = Format("VERT", (".vert",), _read, (b"VERT",))

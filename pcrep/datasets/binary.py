"""Headerless float32 records."""

from pathlib import Path

import numpy as np

from pcrep.datasets.columns import Columns


def read(path: Path, max_points: int) -> Columns:
    values = np.fromfile(path, np.float32)
    if values.size % 6 == 0 and values.reshape(-1, 6)[:, 3:].min() >= 0:
        rows = values.reshape(-1, 6)
        return {"coords": rows[:, :3], "colour": rows[:, 3:]}
    rows = values.reshape(-1, 4)
    columns = {"coords": rows[:, :3], "intensity": rows[:, 3]}
    beside = path.with_suffix(".label")
    if beside.is_file():
        words = np.fromfile(beside, np.uint32)
        columns["label"] = words & 0xFFFF
        columns["instance"] = np.where(words >> 16, words.astype(np.int64), -1)
    return columns

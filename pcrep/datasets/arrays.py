"""NumPy archives: arrays by name."""

import zipfile
from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.datasets.columns import Columns, judge_count

NAMES = {
    "coords": ("coords", "coord", "xyz", "points", "pos"),
    "colour": ("colour", "color", "colours", "colors", "rgb"),
    "intensity": ("intensity", "reflectance"),
    "normal": ("normal", "normals"),
    "label": ("label", "labels", "semantic", "semantic_label"),
    "instance": ("instance", "instances", "instance_label"),
}


def read(path: Path, max_points: int) -> Columns:
    """Columns of an ``.npz``, by any of ``NAMES``; what has another name is left out."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            columns = {
                field: archive[name]
                for field, names in NAMES.items()
                for name in [next((n for n in names if n in archive), None)]
                if name is not None
            }
            found = list(archive)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path}: cannot be read as NPZ ({error}); write it again") from None
    if "coords" not in columns:
        raise UserError(f"{path}: holds the arrays {found}, expected one of {NAMES['coords']}")
    judge_count(len(columns["coords"]), path, max_points)
    return columns

"""Load point clouds from files, folders and named data sets."""

from pcrep.datasets.formats import load_points
from pcrep.datasets.loading import (
    Split,
    find_split,
    labelled_split,
    load_scenes,
    pretraining_scenes,
)
from pcrep.datasets.reading import Reading

__all__ = [
    "Reading",
    "Split",
    "find_split",
    "labelled_split",
    "load_points",
    "load_scenes",
    "pretraining_scenes",
]

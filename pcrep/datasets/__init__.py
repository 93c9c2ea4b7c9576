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
from pcrep.datasets.rgbd import cloud_of_depth, read_frames

__all__ = [
    "Reading",
    "Split",
    "cloud_of_depth",
    "find_split",
    "labelled_split",
    "load_points",
    "load_scenes",
    "pretraining_scenes",
    "read_frames",
]

"""Load point clouds from files, folders and named data sets."""

from pcrep.datasets.formats import load_points
from pcrep.datasets.loading import Split, labelled_split, load_scenes

__all__ = ["Split", "labelled_split", "load_points", "load_scenes"]

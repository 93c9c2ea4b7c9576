"""Point clouds from files, folders and named sets."""

from pcrep.datasets.named import Split, labelled_split, load_scenes
from pcrep.datasets.points import load_points

__all__ = ["Split", "labelled_split", "load_points", "load_scenes"]

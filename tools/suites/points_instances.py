"""Objects on the test scenes of mOSD, from the frozen features of the encoder of rooms that ships.

Segments that touch are joined by their features and their form; beside it each foreground segment
alone, and clusters of foreground points by DBSCAN. All read the same predicted classes.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

from suites.points_shipped import DRAWS, NAME, SETS, scenes
from suites.table import Row

from pcrep.encoders.unet import load_encoder
from pcrep.evaluation.instances import instance_scores
from pcrep.evaluation.segmentation import SegmentationConfig, choose_scenes
from tspcrep.tools import finetune_segmentation

CASE = "instances"
DATA = "mosd"


def rows() -> Iterator[Row]:
    """Panoptic quality and average precision, over draws of the head's points or of its scenes."""
    encoder = load_encoder(NAME)
    learn, test = scenes(DATA, encoder)
    config = finetune_segmentation.Config(
        data=DATA, output=Path(), segmentation=SegmentationConfig(voxel=SETS[DATA][0])
    )
    for count in (None, 4):
        found = []
        for draw in range(DRAWS):
            part = learn if count is None else learn.subset(choose_scenes(learn, count, draw))
            segmenter = finetune_segmentation.frozen(config, encoder, draw, part).eval()
            found.append(instance_scores(segmenter, test))
        case = f"{DATA}/{CASE}" if count is None else f"{DATA}/{CASE}-{count}"
        what = "the points of the head" if count is None else "labels"
        for system in found[0]:
            for metric in found[0][system]:
                values = [one[system][metric] for one in found]
                spread = ("", pstdev(values), DRAWS, f"draws of {what}, of one encoder")
                yield Row(case, system, metric, fmean(values), *spread)

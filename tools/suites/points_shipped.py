"""The encoder of rooms that ships, frozen and without retraining, beside the same untrained."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import fmean, pstdev

from suites.table import Row

from pcrep.cloud import Scenes, keep
from pcrep.datasets import labelled_split
from pcrep.encoders.encoding import untrained
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder
from pcrep.evaluation.scores import fit_probe, probe, score
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter, choose_scenes
from pcrep.preparation.planes import upright

CASE = "shipped"
NAME = "points-indoor"
SETS = {"mosd": (0.015, (4, 2)), "procedural": (None, (2,))}
"""Voxel size, the encoder's own where there is none, and numbers of labelled scenes beside all."""
DRAWS = 3


def rows() -> Iterator[Row]:
    """mIoU of a linear head on test scenes: of all labelled ones, and of draws of a few."""
    trained = load_encoder(NAME)
    for data, (voxel, counts) in SETS.items():
        learn, test = scenes(data, trained)
        for encoder, system in ((trained, NAME), (untrained(trained, 0), f"{NAME}-untrained")):
            plain = partial(_plain, encoder, test, voxel)
            yield from _rows(f"{data}/{CASE}", "", system, plain, learn, counts)
        found = probe(trained, learn, test, voxel, levels="decoder")["miou"]
        yield Row(f"{data}/{CASE}:decoder", NAME, "miou", found)
        smooth = partial(_smooth, trained, test, voxel)
        yield from _rows(f"{data}/{CASE}", ":smooth", NAME, smooth, learn, counts)


def scenes(data: str, encoder: SparseUNet) -> tuple[Scenes, Scenes]:
    """The scenes of a set to learn from and to test on, with the inputs of an encoder."""
    split, ready = labelled_split(data), partial(completed, names=encoder.inputs)
    learn, test = (keep(s.map(upright).map(ready)) for s in (split.learn, split.test))
    return learn, test


def _rows(
    case: str,
    suffix: str,
    system: str,
    measure: Callable[[Scenes, int], float],
    learn: Scenes,
    counts: tuple[int, ...],
) -> Iterator[Row]:
    """measure: from labelled scenes and a seed to mIoU."""
    yield Row(f"{case}{suffix}", system, "miou", measure(learn, 0))
    for count in counts:
        few = [learn.subset(choose_scenes(learn, count, draw)) for draw in range(DRAWS)]
        found = [measure(part, draw) for draw, part in enumerate(few)]
        spread = (fmean(found), "", pstdev(found), DRAWS, "draws of labels, of one encoder")
        yield Row(f"{case}-{count}{suffix}", system, "miou", *spread)


def _plain(
    encoder: SparseUNet, test: Scenes, voxel: float | None, learn: Scenes, seed: int
) -> float:
    return probe(encoder, learn, test, voxel, seed=seed)["miou"]


def _smooth(
    encoder: SparseUNet, test: Scenes, voxel: float | None, learn: Scenes, seed: int
) -> float:
    """:func:`_plain` with predictions averaged over segments.

    Better than without on halves of the scenes of mOSD to learn from, by .3 to 1.3 points.
    """
    head = fit_probe(encoder, learn, voxel, seed=seed)
    config = SegmentationConfig(voxel=voxel)
    made = Segmenter(encoder, len(learn.classes), config, head, smooth=True)
    return score(test, made.predict)["miou"]

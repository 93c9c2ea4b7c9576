"""The encoder of rooms that ships, frozen and without retraining, beside the same untrained."""

from collections.abc import Iterator
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
            yield from _rows(encoder, system, learn, test, voxel, counts, data)
        found = probe(trained, learn, test, voxel, levels="decoder")["miou"]
        yield Row(f"{data}/{CASE}:decoder", NAME, "miou", found)
        found = _smooth(trained, learn, test, voxel)
        yield Row(f"{data}/{CASE}:smooth", NAME, "miou", found)
        for count in counts:
            few = _draws(learn, count)
            each = [_smooth(trained, part, test, voxel, draw) for draw, part in enumerate(few)]
            yield Row(f"{data}/{CASE}-{count}:smooth", NAME, "miou", *_spread(each))


def scenes(data: str, encoder: SparseUNet) -> tuple[Scenes, Scenes]:
    """The scenes of a set to learn from and to test on, with the inputs of an encoder."""
    split, ready = labelled_split(data), partial(completed, names=encoder.inputs)
    learn, test = (keep(s.map(upright).map(ready)) for s in (split.learn, split.test))
    return learn, test


def _smooth(
    encoder: SparseUNet, learn: Scenes, test: Scenes, voxel: float | None, draw: int = 0
) -> float:
    """mIoU of :func:`pcrep.evaluation.scores.probe` with predictions averaged over segments.

    Better than without on halves of the scenes of mOSD to learn from, by .3 to 1.0 points.
    """
    head = fit_probe(encoder, learn, voxel, seed=draw)
    config = SegmentationConfig(voxel=voxel)
    made = Segmenter(encoder, len(learn.classes), config, head, smooth=True)
    return score(test, made.predict)["miou"]


def _rows(
    encoder: SparseUNet,
    system: str,
    learn: Scenes,
    test: Scenes,
    voxel: float | None,
    counts: tuple[int, ...],
    data: str,
) -> Iterator[Row]:
    yield Row(f"{data}/{CASE}", system, "miou", probe(encoder, learn, test, voxel)["miou"])
    for count in counts:
        found = [
            probe(encoder, part, test, voxel, seed=draw)["miou"]
            for draw, part in enumerate(_draws(learn, count))
        ]
        yield Row(f"{data}/{CASE}-{count}", system, "miou", *_spread(found))


def _draws(learn: Scenes, count: int) -> list[Scenes]:
    return [learn.subset(choose_scenes(learn, count, draw)) for draw in range(DRAWS)]


def _spread(found: list[float]) -> tuple[float, str, float, int, str]:
    return fmean(found), "", pstdev(found), len(found), "draws of labels, of one encoder"

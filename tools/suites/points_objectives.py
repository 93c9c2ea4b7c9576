"""Which objective at which levels of the network pays, on scenes to learn from alone.

Pretrained on the scenes of mOSD without labels; a probe of the frozen features is fitted to half of
the labelled scenes to learn from and scored on the other half, and the other way round.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from tempfile import TemporaryDirectory

from suites import points
from suites.table import Row

from pcrep.cloud import Scenes
from pcrep.contrast.both import FACAndDistillation
from pcrep.contrast.distillation import SelfDistillation
from pcrep.contrast.fac import FAC
from pcrep.encoders.unet import SparseUNet
from pcrep.evaluation.scores import probe
from tspcrep.tools import pretrain_fac

CASE = "objectives"
SYSTEMS = (
    (FAC.name, "decoder"),
    (FAC.name, "encoder"),
    (FAC.name, "both"),
    (SelfDistillation.name, "decoder"),
    (SelfDistillation.name, "both"),
    (FACAndDistillation.name, "decoder"),
)


def cases() -> list[str]:
    return [f"{CASE}/{method}:{levels}" for method, levels in SYSTEMS]


def rows(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """mIoU of probes of all levels and of the decoder's end, of an objective on certain levels."""
    method, _, levels = case.removeprefix(f"{CASE}/").partition(":")
    encoders = [_pretrained(method, levels, seed) for seed in seeds]
    for read in ("both", "decoder"):
        found = [fmean(_halves(encoder, read)) for encoder in encoders]
        spread = (pstdev(found), len(found), "seeds of pretraining")
        shown = f"mosd/{CASE}/probe-of-{read}"
        yield Row(shown, f"{method}:{levels}", "miou", fmean(found), "", *spread)


def _pretrained(method: str, levels: str, seed: int) -> SparseUNet:
    config = points.configuration("mosd", "fac")
    pretraining = replace(config.pretraining, levels=levels)
    config = replace(config, method=method, pretraining=pretraining)
    data = points.batches("mosd", config.pretraining.views.voxel)
    with TemporaryDirectory() as folder:
        return pretrain_fac.train(config, data, seed, Path(folder))[0]


def _halves(encoder: SparseUNet, levels: str) -> list[float]:
    learn: Scenes = points.load("mosd")[1].learn
    parts = [learn.subset(range(start, len(learn), 2)) for start in (0, 1)]
    return [
        probe(encoder, own, other, levels=levels)["miou"] for own, other in (parts, reversed(parts))
    ]

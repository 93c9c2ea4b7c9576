"""Semantic segmentation from few labels: fine-tune an encoder, or probe its frozen features.

    python tools/finetune_segmentation.py --data mosd --encoder runs/fac --labelled-scenes 2 \\
        --output runs/seg
    python tools/finetune_segmentation.py --data mosd --encoder runs/fac --mode linear \\
        --output runs/probe
    python tools/finetune_segmentation.py --data mosd --labelled-fraction 0.001 --output runs/few

Controls are the same network trained from scratch, on the same labels for as many steps, and a
probe of an untrained network. The run folder holds result.json, report.html and, of the first seed,
segmenter.safetensors for tools/predict.py (but not of a kNN probe) and, after fine-tuning,
encoder.safetensors.
"""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

import pcrep.reports.segmentation
from pcrep.cloud import Scenes, keep
from pcrep.datasets import Reading, labelled_split
from pcrep.encoders.encoding import check_encoder, new_encoder, untrained, voxel_size
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder, save_encoder
from pcrep.evaluation import scores
from pcrep.evaluation.checks import read_through, voxel_of
from pcrep.evaluation.scores import ProbeConfig
from pcrep.evaluation.segmentation import (
    SEGMENTER,
    LabelledScenes,
    SegmentationConfig,
    Segmenter,
    choose_scenes,
    load_segmenter,
    save_segmenter,
    with_few_labels,
    with_labels,
)
from pcrep.preparation.planes import upright
from tspcrep.common.classifiers import linear_map
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import refuse_ranks
from tspcrep.common.errors import UserError
from tspcrep.common.pages import read_json
from tspcrep.common.runs import Run
from tspcrep.common.training import Training, fit
from tspcrep.common.weights import FILE


@dataclass(frozen=True)
class Config:
    data: str
    """A labelled data set such as mosd, or a folder; see pcrep.datasets.labelled_split."""
    output: Path
    """Folder to write the run to."""
    encoder: Path | None = None
    """A run folder or an encoder.safetensors; without it the network is trained from scratch."""
    network: str = "small"
    """Network to train without an encoder: small, or a Res16UNet such as 34C."""
    inputs: tuple[str, ...] = ("colour",)
    """What such a network reads: colour, height (over ground), normal, intensity."""
    mode: Literal["finetune", "linear", "knn"] = "finetune"
    """Train the whole network, or fit a classifier (linear or kNN) to frozen features."""
    labelled_scenes: int | None = None
    """Number of labelled scenes, drawn for each seed; all by default."""
    labelled_fraction: float = 1.0
    """Fraction of the labels of these scenes that is used."""
    data_root: Path | None = None
    """Folder of named data sets, before $TSPCREP_DATA and the cache of tools/prepare_data.py."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each draws the labels and the random weights."""
    resume: bool = False
    """Continue the run in the output folder."""
    reading: Reading = Reading()
    segmentation: SegmentationConfig = SegmentationConfig()
    probe: ProbeConfig = ProbeConfig()
    training: Training = field(
        default_factory=lambda: Training(epochs=1_000_000, max_steps=200, batch_size=4)
    )


def main(config: Config) -> None:
    refuse_ranks("fine-tuning")
    run = Run("finetune_segmentation", config)
    learn, test = load(config)
    config = with_voxel(config, learn)
    for seed in run.start():
        run.add(seed, _one_seed(config, learn, test, seed, run.seed_folder(seed)))
    result = summary(config, len(learn), run.results())
    run.finish(result, config.seeds[0], FILE, SEGMENTER)
    print(scores.table(result))
    print(run.output / "result.json")
    print(report(run.output, config))


def report(folder: Path, config: Config) -> Path:
    """Write ``report.html`` of a finished run; it shows the first test scene, if not of a probe."""
    result = read_json(folder / "result.json")
    if not (folder / SEGMENTER).exists():
        return pcrep.reports.segmentation.write(folder, result)
    segmenter, classes = load_segmenter(folder / SEGMENTER)
    test = labelled_split(config.data, config.data_root, config.reading).test.map(upright)
    return pcrep.reports.segmentation.write(folder, result, segmenter, with_labels(test, classes))


def load(config: Config) -> tuple[Scenes, Scenes]:
    """Training and test scenes, upright.

    Raises UserError where the data or an option is invalid; nothing is written before.
    """
    if config.mode != "finetune" and config.encoder is None:
        raise UserError(f"mode {config.mode}: there is nothing to probe: give --encoder")
    encoder = build(config)
    voxel_size(encoder, config.segmentation.voxel)
    split = labelled_split(config.data, config.data_root, config.reading)
    complete = partial(completed, names=encoder.inputs)
    learn, test = (keep(s.map(upright).map(complete)) for s in (split.learn, split.test))
    learn = with_labels(learn)
    test = with_labels(test, learn.classes)
    labelled(config, learn, config.seeds[0])
    voxel = voxel_size(encoder, with_voxel(config, learn).segmentation.voxel)
    for part in (learn, test):
        read_through(part, voxel, encoder.inputs)
    return learn, test


def with_voxel(config: Config, learn: Scenes) -> Config:
    """The configuration with a voxel size that fits the points, where neither it nor the encoder
    has one."""
    if config.segmentation.voxel is not None or build(config).voxel is not None:
        return config
    return replace(config, segmentation=replace(config.segmentation, voxel=voxel_of(learn)))


def labelled(config: Config, learn: Scenes, seed: int) -> Scenes:
    """The scenes with the labels that are used for a seed."""
    if config.labelled_scenes is not None:
        learn = learn.subset(choose_scenes(learn, config.labelled_scenes, seed))
    return with_few_labels(learn, config.labelled_fraction, seed)


def build(config: Config) -> SparseUNet:
    """The pretrained encoder, or a randomly initialised one."""
    if config.encoder is not None:
        encoder = load_encoder(config.encoder)
        check_encoder(encoder, str(config.encoder))
        return encoder
    return new_encoder(config.network, config.inputs)


def _one_seed(
    config: Config, learn: Scenes, test: Scenes, seed: int, folder: Path
) -> dict[str, Any]:
    """Scores of the network and of its controls, on the same labels."""
    learn = labelled(config, learn, seed)
    found: dict[str, Any] = {"labelled": list(learn.names)}
    started = time.perf_counter()

    def probe(encoder: SparseUNet, mode: str) -> dict[str, Any]:
        voxel = config.segmentation.voxel
        return scores.probe(encoder, learn, test, voxel, mode, config.probe, seed)

    given = build(config)
    if config.mode == "finetune":
        name = "scratch" if config.encoder is None else "finetune"
        encoder = untrained(given, seed) if config.encoder is None else given
        found |= train(config, learn, test, encoder, seed, folder, name)
    else:
        found |= probe(given, config.mode)
        if config.mode == "linear":
            save_probe(config, learn, given, seed, folder)
    scratch = {key: found[key] for key in found if key in ("miou", "iou", "foreground")}
    if config.encoder is not None:
        scratch = train(config, learn, test, untrained(given, seed), seed, folder, "scratch")
    kind = "linear" if config.mode == "finetune" else config.mode
    random = probe(untrained(given, seed), kind)
    found["controls"] = {"scratch": scratch, "random_encoder_probe": random}
    return {**found, "timing": {"seconds": time.perf_counter() - started}}


def save_probe(config: Config, learn: Scenes, encoder: SparseUNet, seed: int, folder: Path) -> None:
    """Save the encoder with the linear probe as its head, for tools/predict.py."""
    voxel = config.segmentation.voxel
    probe = scores.fit_probe(encoder, learn, voxel, "linear", config.probe, seed)
    head = linear_map(probe, len(learn.classes))
    segmenter = Segmenter(encoder, len(learn.classes), config.segmentation, head)
    save_segmenter(folder / SEGMENTER, segmenter, learn.classes)


def train(
    config: Config,
    learn: Scenes,
    test: Scenes,
    encoder: SparseUNet,
    seed: int,
    folder: Path,
    name: str,
) -> dict[str, Any]:
    """Train encoder and head, and score them on all points of the test scenes."""
    torch.manual_seed(seed)
    classes, head = len(learn.classes), None
    if name == "finetune":
        voxel = config.segmentation.voxel
        probe = scores.fit_probe(encoder, learn, voxel, "linear", config.probe, seed)
        head = linear_map(probe, classes)
    segmenter = Segmenter(encoder, classes, config.segmentation, head)
    data = LabelledScenes(learn, config.training.batch_size)
    fit(segmenter, data, config.training, seed, folder / name, config.resume)
    if name == "finetune" or config.encoder is None:
        encoder.voxel = segmenter.voxel
        save_encoder(folder / FILE, encoder)
        save_segmenter(folder / SEGMENTER, segmenter, learn.classes)
    return scores.score(test, segmenter.predict)


def summary(config: Config, scenes: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    """``result.json``: means over seeds, with controls. scenes : number of training scenes."""
    labelled = len(results[0]["labelled"])
    controls = {
        name: scores.over_seeds([r["controls"][name] for r in results])
        for name in results[0]["controls"]
    }
    return {
        "task": "segmentation",
        "data": config.data,
        "mode": "scratch" if config.encoder is None else config.mode,
        "labelled_scenes": labelled,
        "labelled_fraction": config.labelled_fraction * labelled / scenes,
        "seeds": list(config.seeds),
        **scores.over_seeds(results),
        "labelled": [r["labelled"] for r in results],
        "controls": controls,
        "timing": {"seconds": sum(r["timing"]["seconds"] for r in results)},
    }


if __name__ == "__main__":
    run_tool(main, Config)

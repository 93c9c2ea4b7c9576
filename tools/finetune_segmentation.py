"""Semantic segmentation from few labels: tune an encoder, or read its frozen features.

    python tools/finetune_segmentation.py --data mosd --encoder runs/fac --labelled-scenes 2 \\
        --output runs/seg
    python tools/finetune_segmentation.py --data mosd --encoder runs/fac --mode linear \\
        --output runs/probe
    python tools/finetune_segmentation.py --data mosd --labelled-fraction 0.001 --output runs/few
    python tools/finetune_segmentation.py --data my_scans --encoder runs/fac \\
        --labelled-points clicks.csv --output runs/clicks
    torchrun --nproc-per-node 2 tools/finetune_segmentation.py --data mosd --output runs/two

By default (``--mode auto``) the encoder is tuned as far as cross-validation over the labelled
scenes says that it pays, from not at all to training as if from scratch. Controls are the frozen
features with a linear head, the same network trained from scratch, on the same labels for as many
steps, and a probe of an untrained network. The run folder holds result.json, report.html and, of
the first seed and but for kNN, segmenter.safetensors for tools/predict.py, and encoder.safetensors
where it was trained.
"""

import copy
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

import pcrep.reports.segmentation
from pcrep.cloud import Scenes, keep
from pcrep.datasets import Reading, labelled_split
from pcrep.encoders.encoding import Levels, check_encoder, new_encoder, untrained, voxel_size
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder, save_encoder
from pcrep.evaluation import detections, scores
from pcrep.evaluation.checks import read_through, voxel_of
from pcrep.evaluation.clicks import draw_clicks, read_clicks, spread
from pcrep.evaluation.heads import Head
from pcrep.evaluation.instances import instance_scores
from pcrep.evaluation.scores import ProbeConfig
from pcrep.evaluation.segmentation import (
    SEGMENTER,
    LabelledScenes,
    SegmentationConfig,
    Segmenter,
    choose_scenes,
    class_weights,
    load_segmenter,
    save_segmenter,
    with_few_labels,
    with_labels,
)
from pcrep.evaluation.smoothing import with_segments
from pcrep.evaluation.tuning import tune
from pcrep.preparation.planes import upright
from pcrep.reports.results import read_result
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_processes, launched_rank
from tspcrep.common.errors import UserError
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
    mode: Literal["auto", "finetune", "full", "linear", "knn"] = "auto"
    """Tune the encoder as far as cross-validation says (auto), with care (finetune: a small rate,
    frozen batch statistics) or as if from scratch (full), or fit a classifier (linear or kNN) to
    frozen features."""
    levels: Levels = "both"
    """Features that are read: the end of the decoder, all levels of the encoder, or both."""
    smooth: bool = False
    """Average predictions over the segments of an over-segmentation."""
    instances: bool = False
    """Find objects and the oriented boxes around them, beside segments alone and DBSCAN."""
    labelled_scenes: int | None = None
    """Number of labelled scenes, drawn for each seed; all by default."""
    labelled_fraction: float = 1.0
    """Fraction of the labels of these scenes that is used."""
    labelled_points: str | None = None
    """Number of labelled points per scene, or a CSV file of clicks (scene, x, y, z, class); each
    labels the segment that it hits."""
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
    run = Run("finetune_segmentation", config)
    config, learn, test = load(config)
    for seed in run.start():
        run.add(seed, _one_seed(config, learn, test, seed, run.seed_folder(seed)))
    if launched_rank():
        return
    result = summary(config, len(learn), run.results())
    run.finish(result, config.seeds[0], FILE, SEGMENTER)
    print(scores.table(result))
    if config.instances:
        print(detections.table(result["instances"]))
    print(run.output / "result.json")
    print(report(run.output, config))


def report(folder: Path, config: Config) -> Path:
    """Write ``report.html`` of a finished run; it shows the first test scene, if not of kNN."""
    result = read_result(folder, "segmentation")
    if not (folder / SEGMENTER).exists():
        return pcrep.reports.segmentation.write(folder, result)
    segmenter, classes = load_segmenter(folder / SEGMENTER)
    test = labelled_split(config.data, config.data_root, config.reading).test.map(upright)
    return pcrep.reports.segmentation.write(folder, result, segmenter, with_labels(test, classes))


def load(config: Config) -> tuple[Config, Scenes, Scenes]:
    """The configuration with its voxel size, and training and test scenes, upright.

    Raises UserError where the data or an option is invalid; nothing is written before.
    """
    _check_mode(config)
    encoder = build(config)
    voxel_size(encoder, config.segmentation.voxel)
    split = labelled_split(config.data, config.data_root, config.reading)
    learn, test = split.learn, split.test
    if (clicks := _clicks_file(config)) is not None:
        classes = learn.classes or with_labels(test).classes
        learn = read_clicks(replace(learn, classes=classes), clicks)
    complete = partial(completed, names=encoder.inputs)
    learn, test = (s.map(upright).map(complete) for s in (learn, test))
    if config.labelled_points is not None or config.smooth:
        learn = learn.map(with_segments)
    if config.smooth:
        test = test.map(with_segments)
    learn, test = with_labels(keep(learn)), keep(test)
    test = with_labels(test, learn.classes)
    labelled(config, learn, config.seeds[0])
    config = with_voxel(config, encoder, learn)
    voxel = voxel_size(encoder, config.segmentation.voxel)
    for part in (learn, test):
        read_through(part, voxel, encoder.inputs)
    if config.instances and (not test.things or test[0].instance is None):
        raise UserError(
            f"instances: {config.data} does not say which points are of one object, expected "
            "labelled instances, as of mosd or procedural"
        )
    return config, learn, test


def with_voxel(config: Config, encoder: SparseUNet, learn: Scenes) -> Config:
    """The configuration with a voxel size that fits the points, where neither it nor the encoder
    has one."""
    if config.segmentation.voxel is not None or encoder.voxel is not None:
        return config
    return replace(config, segmentation=replace(config.segmentation, voxel=voxel_of(learn)))


def _check_mode(config: Config) -> None:
    if config.mode in ("linear", "knn") and config.encoder is None:
        raise UserError(f"mode {config.mode}: there is nothing to probe: give --encoder")
    if config.mode == "knn" and (config.smooth or config.instances):
        raise UserError(
            "mode knn: gives no probabilities to --smooth or --instances, expected another --mode"
        )
    if _clicks_file(config) is not None and config.labelled_scenes is not None:
        raise UserError(
            "labelled_scenes: the file of --labelled-points says which scenes have labels; leave "
            "one of the two out"
        )
    if config.labelled_points is not None and config.labelled_fraction != 1:
        raise UserError(
            "labelled_fraction: found with labelled_points, expected one of the two, which both "
            "say how many points have labels"
        )


def _clicks_file(config: Config) -> str | None:
    given = config.labelled_points
    return None if given is None or given.isdigit() else given


def labelled(config: Config, learn: Scenes, seed: int) -> Scenes:
    """The scenes with the labels that are used for a seed."""
    if config.labelled_scenes is not None:
        learn = learn.subset(choose_scenes(learn, config.labelled_scenes, seed))
    if config.labelled_points is None:
        return with_few_labels(learn, config.labelled_fraction, seed)
    if _clicks_file(config) is None:
        learn = draw_clicks(learn, int(config.labelled_points), seed)
    return learn.map(spread)


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
    """Scores of the network and of its controls, on the same labels.

    A follower under torchrun trains along; it measures and writes nothing.
    """
    learn = labelled(config, learn, seed)
    started = time.perf_counter()
    given = build(config)

    def measure(encoder: SparseUNet, mode: str, keep: bool = False) -> dict[str, Any]:
        if launched_rank() and mode in ("linear", "knn"):
            return {}
        if mode == "knn":
            voxel = config.segmentation.voxel
            return scores.probe(
                encoder, learn, test, voxel, "knn", config.probe, seed, config.levels
            )
        segmenter, told = fitted(config, learn, encoder, seed, folder / mode, mode)
        if launched_rank():
            return {}
        if keep:
            segmenter.numbers = learn.numbers
            save_segmenter(folder / SEGMENTER, segmenter, learn.classes)
            if mode != "linear":
                segmenter.encoder.voxel = segmenter.voxel
                save_encoder(folder / FILE, segmenter.encoder)
            if config.instances:
                told["instances"] = instance_scores(segmenter, test)
        return {**scores.score(test, segmenter.predict), **told}

    own = "scratch" if config.encoder is None else config.mode
    found = measure(untrained(given, seed) if config.encoder is None else given, own, keep=True)
    controls = {}
    if own in ("auto", "finetune", "full"):
        controls["frozen"] = measure(given, "linear")
    controls["scratch"] = found if own == "scratch" else measure(untrained(given, seed), "scratch")
    kind = "knn" if own == "knn" else "linear"
    controls["random_encoder_probe"] = measure(untrained(given, seed), kind)
    seconds = time.perf_counter() - started
    return {
        **found,
        "labelled": list(learn.names),
        "controls": controls,
        "timing": {"seconds": seconds},
    }


def fitted(
    config: Config, learn: Scenes, encoder: SparseUNet, seed: int, folder: Path, mode: str
) -> tuple[Segmenter, dict[str, Any]]:
    """A segmenter of ``mode`` (one of the options, or ``scratch``), and how it was chosen.

    folder : of the checkpoint and metrics of a training.
    """
    torch.manual_seed(seed)
    if mode == "linear":
        return frozen(config, encoder, seed, learn).eval(), {}
    if mode == "auto":
        start = partial(frozen, config, encoder, seed)
        segmenter, choice, found = tune(start, learn, config.training, seed, folder, config.resume)
        return segmenter, {"tuned": choice, "validation": {str(s): v for s, v in found.items()}}
    if mode in ("finetune", "full"):
        segmenter = frozen(config, encoder, seed, learn)
        segmenter.careful = mode == "finetune"
    else:
        weight = class_weights(learn, config.probe.balance)
        options = (None, weight, config.levels, config.smooth)
        segmenter = Segmenter(encoder, len(learn.classes), config.segmentation, *options)
    data = LabelledScenes(learn, config.training.batch_size * launched_processes())
    fit(segmenter, data, config.training, seed, folder, config.resume)
    return segmenter, {}


def frozen(config: Config, encoder: SparseUNet, seed: int, learn: Scenes) -> Segmenter:
    """A copy of the encoder with a linear head that is fitted to its features."""
    voxel, levels = config.segmentation.voxel, config.levels
    head = scores.fit_probe(encoder, learn, voxel, "linear", config.probe, seed, levels)
    assert isinstance(head, Head)  # as a linear one is
    weight = class_weights(learn, config.probe.balance)
    network, classes = copy.deepcopy(encoder), len(learn.classes)
    options = (head, weight, levels, config.smooth)
    return Segmenter(network, classes, config.segmentation, *options)


def summary(config: Config, scenes: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    """``result.json``: means over seeds, with controls. scenes : number of training scenes."""
    labelled = len(results[0]["labelled"])
    controls = {
        name: scores.over_seeds([r["controls"][name] for r in results])
        for name in results[0]["controls"]
    }
    found = {
        "task": "segmentation",
        "data": config.data,
        "mode": "scratch" if config.encoder is None else config.mode,
        "labelled_scenes": labelled,
        "labelled_fraction": config.labelled_fraction * labelled / scenes,
        "seeds": list(config.seeds),
        "spread": "draws of labels and of random weights, of one encoder",
        **scores.over_seeds(results),
        "labelled": [r["labelled"] for r in results],
        "controls": controls,
        "timing": {"seconds": sum(r["timing"]["seconds"] for r in results)},
    }
    if "tuned" in results[0]:
        found["tuned"] = [r["tuned"] for r in results]
    if config.instances:
        found["instances"] = detections.over_seeds([r["instances"] for r in results])
    return found


if __name__ == "__main__":
    run_tool(main, Config)

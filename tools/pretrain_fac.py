"""Pretrain an encoder on point clouds without labels, with FAC or another objective.

    python tools/pretrain_fac.py --data mosd --output runs/fac
    python tools/pretrain_fac.py --data my_scans/ --output runs/mine --seeds 0 --voxel 0.03
    python tools/pretrain_fac.py --data mosd --method segcontrast --output runs/segcontrast
    python tools/pretrain_fac.py --data mosd --output runs/fac --resume
    torchrun --nproc-per-node 2 tools/pretrain_fac.py --data mosd --output runs/two

Scenes are turned upright, over-segmented and scored for objectness once, and cached in the user
cache. The run folder holds result.json, report.html and encoder.safetensors of the first seed, for
tools/finetune_segmentation.py and tools/embed.py. For data with labels and a split, result.json
compares a linear probe of the frozen encoder with one of the untrained encoder.
"""

import copy
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

import pcrep.reports.pretraining
from pcrep.cloud import Scenes
from pcrep.contrast import OBJECTIVES, ObjectiveName, new_objective
from pcrep.contrast.fac import FAC, FACConfig
from pcrep.contrast.objective import PretrainingConfig, SceneBatches
from pcrep.datasets import Reading, Split, find_split, load_scenes, pretraining_scenes
from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import SparseUNet, load_encoder, save_encoder
from pcrep.evaluation import scores
from pcrep.evaluation.checks import labelled_parts, read_through
from pcrep.evaluation.scores import ProbeConfig
from pcrep.preparation import PrepareConfig, prepare
from pcrep.preparation.cache import preprocessed
from pcrep.reports.results import read_result
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_rank
from tspcrep.common.runs import Run
from tspcrep.common.training import Training, fit
from tspcrep.common.weights import FILE


@dataclass(frozen=True)
class Config:
    data: str
    """A named data set, a folder of point clouds or a file; see pcrep.datasets.load_scenes."""
    output: Path
    """Folder to write the run to."""
    method: ObjectiveName = FAC.name
    """Objective to minimise; all use the same network, views, optimiser and steps."""
    network: str = "small"
    """Network to train: small, or a Res16UNet such as 34C."""
    inputs: tuple[str, ...] = ("colour",)
    """What the network reads: colour, height (over ground), normal, intensity."""
    data_root: Path | None = None
    """Folder of named data sets, before $TSPCREP_DATA and the cache of tools/prepare_data.py."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; one encoder is trained per seed."""
    resume: bool = False
    """Continue the run in the output folder."""
    reading: Reading = Reading()
    pretraining: PretrainingConfig = PretrainingConfig()
    fac: FACConfig = FACConfig()
    probe: ProbeConfig = ProbeConfig()
    training: Training = field(
        default_factory=lambda: Training(epochs=1_000_000, max_steps=400, batch_size=4)
    )


def main(config: Config) -> None:
    run = Run("pretrain_fac", config)
    scenes, split = load(config)
    unfinished = run.start()
    if unfinished:
        data = batches(config, scenes)
    for seed in unfinished:
        encoder, untrained, seconds = train(config, data, seed, run.seed_folder(seed))
        if launched_rank() == 0:  # a follower under torchrun trains along and writes nothing
            save_encoder(run.seed_folder(seed) / FILE, encoder)
            result = {} if split is None else probes(config, split, encoder, untrained, seed)
            run.add(seed, {**result, "timing": {"train_s": seconds}})
    if launched_rank():
        return
    result = summary(config, split, run.results())
    run.finish(result, config.seeds[0], FILE)
    if split is not None:
        print(scores.table(result))
    print(run.output / "result.json")
    print(report(run.output, config))


def report(folder: Path, config: Config) -> Path:
    """Write ``report.html`` of a finished run; it shows the first test scene, if any."""
    result = read_result(folder, "pretraining")
    source = config.data, config.data_root, config.reading
    split = find_split(*source)
    scenes = load_scenes(*source) if split is None else split.test
    title = f"{OBJECTIVES[config.method].title} on {config.data}"
    augment = config.pretraining.views.augment
    return pcrep.reports.pretraining.write(
        folder, result, title, scenes[0], load_encoder(folder / FILE), augment
    )


def load(config: Config) -> tuple[Scenes, Split | None]:
    """Scenes to pretrain on, and the labelled split where there is one.

    Raises UserError where the data or an option is invalid; nothing is prepared or written before.
    """
    new_encoder(config.network, config.inputs)
    source = config.data, config.data_root, config.reading
    scenes, split = pretraining_scenes(*source), find_split(*source)
    if split is not None:
        split = labelled_parts(split)
    read_through(scenes, config.pretraining.views.voxel, config.inputs)
    return scenes, split


def batches(config: Config, scenes: Scenes) -> SceneBatches:
    complete = partial(completed, names=config.inputs)
    prepared = preprocessed(scenes, prepare, PrepareConfig()).map(complete)
    return SceneBatches(prepared, config.pretraining.views.voxel)


def train(
    config: Config, data: SceneBatches, seed: int, folder: Path
) -> tuple[SparseUNet, SparseUNet, float]:
    """The trained encoder, the same encoder before training, and the training time in seconds."""
    torch.manual_seed(seed)
    encoder = new_encoder(config.network, config.inputs)
    encoder.voxel = config.pretraining.views.voxel
    untrained = copy.deepcopy(encoder)
    objective = new_objective(config.method, encoder, config.pretraining, config.fac)
    started = time.perf_counter()
    fit(objective, data, config.training, seed, folder, config.resume)
    return encoder, untrained, time.perf_counter() - started


def probes(
    config: Config, split: Split, encoder: SparseUNet, untrained: SparseUNet, seed: int
) -> dict[str, Any]:
    """Scores of a linear probe of the encoder, and of the same encoder before training."""

    def probe(frozen: SparseUNet) -> dict[str, Any]:
        voxel = config.pretraining.views.voxel
        return scores.probe(
            frozen.cpu(), split.learn, split.test, voxel, "linear", config.probe, seed
        )

    return {**probe(encoder), "controls": {"random_encoder_probe": probe(untrained)}}


def summary(config: Config, split: Split | None, results: list[dict[str, Any]]) -> dict[str, Any]:
    """``result.json``: means over seeds, with the untrained encoder as a control given labels."""
    found: dict[str, Any] = {
        "task": "pretraining",
        "data": config.data,
        "method": config.method,
        "seeds": list(config.seeds),
    }
    if split is not None:
        untrained = [result["controls"]["random_encoder_probe"] for result in results]
        found |= {
            "mode": "linear",
            "spread": "pretraining, and draws of the points that a probe reads",
            **scores.over_seeds(results),
            "controls": {"random_encoder_probe": scores.over_seeds(untrained)},
        }
    return found | {"timing": {"train_s": sum(r["timing"]["train_s"] for r in results)}}


if __name__ == "__main__":
    run_tool(main, Config)

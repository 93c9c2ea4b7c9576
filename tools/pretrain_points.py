"""Pretrain an encoder of point clouds on scenes made while it trains, on your own, or on both.

    python tools/pretrain_points.py --output runs/rooms
    python tools/pretrain_points.py --data rooms my_scans/ --output runs/both
    python tools/pretrain_points.py --data aerial --voxel 0.4 --inputs colour height intensity \\
        --output runs/aerial
    python tools/pretrain_points.py --data street aerial --voxel 0.3 --output runs/outdoors
    python tools/pretrain_points.py --output runs/rooms --resume

procedural, rooms, aerial and street are made in the processes that load batches and are never seen
twice; your own scenes are prepared once and cached. The run folder ends with result.json,
scenes.png (some of the scenes) and encoder.safetensors of the first seed, in half precision, for
tools/finetune_segmentation.py and tools/embed.py. tools/pretrain_fac.py trains on one set of
scenes, and compares and draws.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from pcrep.cloud import Cloud
from pcrep.contrast import OBJECTIVES, ObjectiveName, new_objective
from pcrep.contrast.corpora import Corpus, MixedScenes, PreparedCorpus
from pcrep.contrast.distillation import DistillationConfig
from pcrep.contrast.fac import FAC, FACConfig
from pcrep.contrast.objective import Objective, PretrainingConfig, SceneBatches
from pcrep.contrast.views import ViewConfig
from pcrep.datasets import Reading, pretraining_scenes
from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.inputs import completed
from pcrep.encoders.unet import save_encoder
from pcrep.evaluation.checks import read_through
from pcrep.preparation import PrepareConfig, prepare
from pcrep.preparation.cache import preprocessed
from pcrep.procedural.endless import KINDS, Endless
from pcrep.reports.scenes import page
from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_rank
from tspcrep.common.errors import UserError
from tspcrep.common.runs import Run, write_atomically
from tspcrep.common.training import Training, fit
from tspcrep.common.weights import FILE


@dataclass(frozen=True)
class Config:
    output: Path
    """Folder to write the run to."""
    data: tuple[str, ...] = ("rooms",)
    """procedural (plain rooms), rooms (varied), aerial, street, made without end; named data sets,
    folders of point clouds or files (see pcrep.datasets.load_scenes); or several, which give
    equally many scenes."""
    size: int = 1_000_000
    """Scenes of each source in an epoch; made ones are repeated in the next at the earliest."""
    inputs: tuple[str, ...] = ("colour",)
    """What the network reads: colour, height (over ground), normal, intensity."""
    method: ObjectiveName = FAC.name
    """Objective to minimise."""
    network: str = "small"
    """Network to train: small, or a Res16UNet such as 34C."""
    data_root: Path | None = None
    """Folder of named data sets, before $TSPCREP_DATA and the cache of tools/prepare_data.py."""
    seeds: tuple[int, ...] = (0,)
    """Random seeds, of the made scenes and of the training; one encoder is trained for each."""
    resume: bool = False
    """Continue the run in the output folder."""
    reading: Reading = Reading()
    pretraining: PretrainingConfig = field(
        default_factory=lambda: PretrainingConfig(
            views=ViewConfig(voxel=0.05, smallest=0.25, parts=2)
        )
    )
    fac: FACConfig = FACConfig()
    distillation: DistillationConfig = DistillationConfig()
    training: Training = field(
        default_factory=lambda: Training(
            epochs=1_000, max_steps=2_400, batch_size=2, workers=1, warmup=30
        )
    )


def main(config: Config) -> None:
    run = Run("pretrain_points", config)
    new_encoder(config.network, config.inputs)  # raises for bad options before anything is written
    real = own_scenes(config)
    batches(config, real, 0)
    for seed in run.start():
        data, folder = batches(config, real, seed), run.seed_folder(seed)
        objective = build_objective(config, seed)
        started = time.perf_counter()
        fit(objective, data, config.training, seed, folder, config.resume)
        seconds = time.perf_counter() - started
        if launched_rank() == 0:  # a follower under torchrun trains along and writes nothing
            save_encoder(folder / FILE, objective.encoder.cpu(), half=True)
            run.add(seed, {"timing": {"train_s": seconds}})
    if launched_rank():
        return
    pictures = gallery(config, real)
    write_atomically(run.output / "scenes.png", lambda file: file.write(pictures))
    summary = {
        "task": "pretraining",
        "data": list(config.data),
        "method": config.method,
        "seeds": list(config.seeds),
        "timing": {"train_s": sum(result["timing"]["train_s"] for result in run.results())},
    }
    run.finish(summary, config.seeds[0], FILE)
    for name in ("result.json", "scenes.png", FILE):
        print(run.output / name)


def own_scenes(config: Config) -> dict[str, Corpus]:
    """The sources that are not made, prepared, by name; raises UserError where one is unfit."""
    if not config.data:
        raise UserError(f"data: found nothing, expected {', '.join(KINDS)} or scenes of your own")
    complete = partial(completed, names=config.inputs)
    found: dict[str, Corpus] = {}
    for name in config.data:
        if name not in KINDS:
            scenes = pretraining_scenes(name, config.data_root, config.reading)
            read_through(scenes, config.pretraining.views.voxel, config.inputs)
            scenes = preprocessed(scenes, prepare, PrepareConfig()).map(complete)
            found[name] = SceneBatches(scenes, config.pretraining.views.voxel).scenes
    return found


def batches(config: Config, real: dict[str, Corpus], seed: int) -> MixedScenes:
    """All sources, mixed; without a made one, an epoch shows each scene of the largest once."""
    voxel = config.pretraining.views.voxel
    corpora: list[Corpus] = []
    for name in config.data:
        if name in KINDS:
            made, segments = Endless(name, config.size, seed), OBJECTIVES[config.method].segments
            corpora.append(PreparedCorpus(made, voxel, config.inputs, segments))
        else:
            corpora.append(real[name])
    return MixedScenes(corpora, max(map(len, corpora)))


def build_objective(config: Config, seed: int) -> Objective:
    """The objective around an untrained encoder."""
    torch.manual_seed(seed)
    encoder = new_encoder(config.network, config.inputs)
    encoder.voxel = config.pretraining.views.voxel
    options = (config.pretraining, config.fac, config.distillation)
    return new_objective(config.method, encoder, *options)


def gallery(config: Config, real: dict[str, Corpus]) -> bytes:
    """A page with two scenes of each source, with classes where all are made of one kind."""
    clouds: list[Cloud] = []
    for name in config.data:
        source = Endless(name, 2, config.seeds[0]) if name in KINDS else real[name]
        clouds += [source[index] for index in range(min(2, len(source)))]
    kinds = {KINDS[name][1] for name in config.data if name in KINDS}
    alone = len(kinds) == 1 and not real
    return page(clouds, next(iter(kinds)) if alone else ())


if __name__ == "__main__":
    run_tool(main, Config)

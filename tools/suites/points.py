"""FAC beside its rivals, its ablations and no pretraining: frozen features and few labels.

Every system has the same network, views, optimiser and steps (``tools/pretrain_fac.py``), and the
same labels, drawn for a seed, to be fine-tuned with (``tools/finetune_segmentation.py``). Settings
were chosen on scenes to learn from; test scenes are read for the numbers of this table alone.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import finetune_segmentation
import pretrain_fac
import torch
from suites.table import Row
from torch.utils.benchmark import Timer

from common.config import load as load_config
from common.runs import write_json
from pcrep.datasets import Split
from pcrep.fac import FACConfig
from pcrep.pretraining import SceneBatches
from pcrep.unet import SparseUNet
from pcrep.views import draw_views

LABELLED = (1, 2, 4)
"""Numbers of labelled scenes of mOSD-3 to fine-tune with; on procedural scenes, and of ablations,
frozen features alone are measured."""
UNTRAINED = "untrained"
"""The network with random weights: fine-tuned, it is training from scratch."""
FAC = {
    "fac": FACConfig(),
    "fac-random-anchors": FACConfig(sampler="random"),
    "fac-no-feature-loss": FACConfig(feature_weight=0.0),
    "fac-no-regional-loss": FACConfig(regional_weight=0.0),
    "fac-no-correspondence": FACConfig(correspondence="none"),
    "fac-no-ema": FACConfig(momentum=0.0),
}
SYSTEMS = (UNTRAINED, "fac", *pretrain_fac.RIVALS)
ABLATIONS = tuple(FAC)[1:]
"""Measured on mOSD alone."""
KEPT = Path("runs/benchmark-points")
"""Scores of each system and seed: a benchmark that was cut goes on where it was."""


def cases() -> list[str]:
    """``set/system``, in the order of what is asked first."""
    compared = [f"{name}/{system}" for name in ("mosd", "procedural") for system in SYSTEMS]
    return compared + [f"mosd/{system}" for system in ABLATIONS]


def rows(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Mean IoU of one system on one set, by task, with what it gains over the untrained network."""
    name, system = case.split("/")
    own, untrained = ([scores(name, s, seed) for seed in seeds] for s in (system, UNTRAINED))
    for task in own[0]["miou"]:
        found = [result["miou"][task] for result in own]
        shown = system
        if system == UNTRAINED:
            shown = "random_encoder" if task == "linear" else "scratch"
        yield Row(f"{name}/{task}", shown, "miou", fmean(found), "", pstdev(found), len(seeds))
        for label in own[0]["iou"][task]:
            value = fmean(result["iou"][task].get(label, 0.0) for result in own)
            yield Row(f"{name}/{task}/{label}", shown, "iou", value, seeds=len(seeds))
        if system != UNTRAINED:
            gains = [a - b["miou"][task] for a, b in zip(found, untrained, strict=True)]
            yield Row(
                f"{name}/{task}", system, "gain", fmean(gains), "miou", pstdev(gains), len(seeds)
            )
    if system != UNTRAINED:
        seconds = [result["seconds"] for result in own]
        yield Row(f"{name}/pretraining", system, "seconds", fmean(seconds), "s", pstdev(seconds))
    if case == "mosd/fac":
        yield outside_the_network()


def scores(name: str, system: str, seed: int) -> dict[str, Any]:
    """``{"miou": {task: ..}, "iou": {task: {class: ..}}, "seconds": ..}``, measured once."""
    path = KEPT / name / system / f"seed-{seed}" / "scores.json"
    if not path.exists():
        write_json(path, measure(name, system, seed, path.parent))
    return json.loads(path.read_text())


def measure(name: str, system: str, seed: int, folder: Path) -> dict[str, Any]:
    config = configuration(name, system)
    scenes, split = pretrain_fac.load(config)
    data = pretrain_fac.batches(config, scenes)
    encoder, untrained, seconds = pretrain_fac.train(config, data, seed, folder)
    tasks = {"linear": pretrain_fac.probes(config, split, encoder, untrained, seed)}
    if system == UNTRAINED:
        encoder, tasks["linear"] = untrained, tasks["linear"]["controls"]["random_encoder_probe"]
    for count in LABELLED if name == "mosd" and system in SYSTEMS else ():
        tasks[f"finetuned-{count}"] = finetuned(name, encoder, split, count, seed, folder)
    return {
        "miou": {task: result["miou"] for task, result in tasks.items()},
        "iou": {task: result["iou"] for task, result in tasks.items()},
        "seconds": seconds,
    }


def configuration(name: str, system: str) -> pretrain_fac.Config:
    config = pretrain_fac.Config(data=name, output=KEPT)
    if name == "procedural":
        where = Path(pretrain_fac.__file__).parent / "configs" / "fac-procedural.toml"
        config = replace(load_config(pretrain_fac.Config, where), data=name, output=KEPT)
    if system in FAC:
        return replace(config, fac=FAC[system])
    if system == UNTRAINED:
        return replace(config, training=replace(config.training, max_steps=1))
    return replace(config, method=system)


def finetuned(
    name: str, encoder: SparseUNet, split: Split, count: int, seed: int, folder: Path
) -> dict[str, Any]:
    config = finetune_segmentation.Config(data=name, output=folder, labelled_scenes=count)
    learn = finetune_segmentation.labelled(config, split.learn, seed)
    copy = SparseUNet(encoder.config)
    copy.load_state_dict(encoder.state_dict())
    copy.voxel = encoder.voxel
    where = folder / f"finetuned-{count}"
    return finetune_segmentation.train(config, learn, split.test, copy, seed, where, "finetune")


def outside_the_network() -> Row:
    """The share of a step of FAC's pretraining that draws views, of all that the step takes."""
    config = configuration("mosd", "fac")
    data: SceneBatches = pretrain_fac.batches(config, pretrain_fac.load(config)[0])
    torch.manual_seed(0)
    method = pretrain_fac.FAC(pretrain_fac.network(config), config.pretraining, config.fac)
    optimizer = torch.optim.AdamW(method.trained(), lr=1e-3)
    batch = data.__getitems__(range(config.training.batch_size))

    def step() -> None:
        method.loss(batch, "encoder")["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()

    def views() -> None:
        draw_views(batch.clouds, config.pretraining.views, int(torch.randint(1 << 31, ())))

    seconds = [
        Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
        .blocked_autorange(min_run_time=5)
        .median
        for run in (step, views)
    ]
    return Row("mosd/pretraining", "fac", "share outside the network", seconds[1] / seconds[0])

"""FAC against other objectives, its ablations and no pretraining: frozen features, few labels.

Every system has the same network, views, optimiser and steps (``tools/pretrain_fac.py``), and the
same labels for a seed, to be fine-tuned with (``tools/finetune_segmentation.py``). Settings were
selected on training scenes; test scenes are used for the numbers of this table only. ``over`` says
of each spread whether seeds of pretraining or draws of labels differ.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from suites.table import Row
from torch.utils.benchmark import Timer

from pcrep.cloud import Scenes
from pcrep.contrast import OBJECTIVES, new_objective
from pcrep.contrast.fac import FACConfig
from pcrep.contrast.objective import SceneBatches
from pcrep.contrast.views import draw_views
from pcrep.datasets import Split
from pcrep.encoders.encoding import new_encoder
from pcrep.encoders.unet import SparseUNet, load_encoder, save_encoder
from pcrep.evaluation.scores import ProbeConfig, probe
from pcrep.evaluation.scores import score as mean_iou_of
from pcrep.evaluation.segmentation import LabelledScenes, Segmenter, choose_scenes
from pcrep.evaluation.tuning import tune
from pcrep.preparation import prepare
from tspcrep.common.code_digest import code_digest
from tspcrep.common.config import load as load_config
from tspcrep.common.runs import write_json
from tspcrep.common.training import fit
from tspcrep.tools import finetune_segmentation, pretrain_fac

LABELLED = (1, 2, 4)
"""Numbers of labelled scenes of mOSD-3 for tuning and for probes of frozen features; for procedural
scenes and for ablations only a probe fitted to all scenes is measured."""
MANY_LABELLED = (8, 28)
"""Further numbers, for tuning FAC and training from scratch only; 28 are all."""
DRAWS = 3
"""Draws of labelled scenes for each encoder whose features are frozen. A tuned network has one, of
the number of its seed."""
LEVELS = ("encoder", "decoder")
"""Other features than both, that probes of all and of two scenes of mOSD-3 read."""
UNTRAINED = "untrained"
"""The network with random weights; fine-tuning it is training from scratch."""
COARSE = "-2cm"
"""Suffix of a system with voxels of 2 cm, the default of ``SegmentationConfig``, instead of the 1.5
of ``ViewConfig``."""
FAC = {
    "fac": FACConfig(),
    "fac-random-anchors": FACConfig(sampler="random"),
    "fac-no-feature-loss": FACConfig(feature_weight=0.0),
    "fac-no-regional-loss": FACConfig(regional_weight=0.0),
    "fac-no-correspondence": FACConfig(correspondence="none"),
    "fac-no-ema": FACConfig(momentum=0.0),
}
ALL_LEVELS = "fac-all-levels"
"""FAC that contrasts the levels of the encoder beside the decoder's end."""
SYSTEMS = (UNTRAINED, *OBJECTIVES)
ABLATIONS = (*tuple(FAC)[1:], ALL_LEVELS)
"""Measured on mOSD only."""
KEPT = Path("runs/benchmark-points")
"""Encoders and scores of each system and seed, from which an interrupted benchmark continues. Their
names hold a digest of settings, data and code, so that nothing stale is read."""
PACKAGES = ("pcrep", "tspcrep")


def cases() -> list[str]:
    """``set/system``, the most important first."""
    compared = [f"{name}/{system}" for name in ("mosd", "procedural") for system in SYSTEMS]
    coarse = (UNTRAINED + COARSE, "fac" + COARSE)
    return compared + [f"mosd/{system}" for system in (*ABLATIONS, *coarse)]


def single() -> list[str]:
    """``set/system/task``, the tasks of all cases one by one."""
    found = (case.split("/") for case in cases())
    return [
        f"{name}/{system}/{task}"
        for name, system in found
        for task in tasks(name, system.removesuffix(COARSE))
    ]


def rows(case: str, seeds: tuple[int, ...]) -> Iterator[Row]:
    """Mean IoU of one system on one data set, by task, and its gain over the untrained network.

    case : ``set/system`` for all tasks, or ``set/system/task``.
    """
    name, system, *chosen = case.split("/")
    base, coarse, _ = system.partition(COARSE)
    control = UNTRAINED + coarse
    for task in chosen or tasks(name, base):
        own, untrained = (
            [[score(name, which, seed, task, draw) for draw in draws(task, seed)] for seed in seeds]
            for which in (system, control)
        )
        shown = system
        if system == control:
            shown = ("scratch" if task.startswith("tuned") else "random_encoder") + coarse
        yield from spreads(f"{name}/{task}", shown, own, over(task))
        for label in own[0][0]["iou"]:
            value = fmean(result["iou"].get(label, 0.0) for draws in own for result in draws)
            yield Row(f"{name}/{task}/{label}", shown, "iou", value, seeds=len(seeds))
        if system != control:
            gains = [a - b for a, b in zip(means(own), means(untrained), strict=True)]
            spread = (pstdev(gains), len(seeds), over(task))
            yield Row(f"{name}/{task}", shown, "gain", fmean(gains), "miou", *spread)
    if case == "mosd/fac":
        yield _outside_the_network()


def spreads(
    case: str, system: str, results: Sequence[Sequence[dict[str, Any]]], over: str
) -> Iterator[Row]:
    """mIoU with its spread over seeds and, where there are several, its spread over draws.

    results : one row for each seed, of one result for each draw of labels.
    """
    of_seeds = means(results)
    yield Row(case, system, "miou", fmean(of_seeds), "", pstdev(of_seeds), len(results), over)
    of_draws = means(list(zip(*results, strict=True)))
    if len(of_draws) > 1:
        told = f"draws of labels, each the mean of {len(results)} seeds of pretraining"
        spread = pstdev(of_draws)
        yield Row(case, system, "spread over draws", spread, "miou", seeds=DRAWS, over=told)


def means(results: Sequence[Sequence[dict[str, Any]]]) -> list[float]:
    return [fmean(result["miou"] for result in row) for row in results]


def parts(task: str) -> tuple[str, str, str]:
    """``linear:decoder-2`` as linear, 2, decoder; by default of all scenes and of all features."""
    name, _, count = task.partition("-")
    kind, _, levels = name.partition(":")
    return kind, count, levels or "both"


def draws(task: str, seed: int) -> Sequence[int]:
    """Numbers of the draws of labels for a task and seed."""
    kind, count, _ = parts(task)
    return range(DRAWS) if kind == "linear" and count else (seed,)


def over(task: str) -> str:
    """The runs that the spread of a task is over."""
    kind, count, _ = parts(task)
    if not count or int(count) == max(MANY_LABELLED):
        return "seeds of pretraining"
    if kind == "linear":
        return f"seeds of pretraining, each the mean of {DRAWS} draws of labels"
    return "seeds of pretraining, each with its own draw of labels"


def tasks(name: str, system: str) -> list[str]:
    if name != "mosd" or system in ABLATIONS:
        return ["linear"]
    tuned = LABELLED + MANY_LABELLED if system in (UNTRAINED, "fac") else LABELLED
    probed = [f"linear-{count}" for count in LABELLED]
    probed += [f"linear:{levels}{count}" for levels in LEVELS for count in ("", "-2")]
    return ["linear", *probed, *(f"tuned-{count}" for count in tuned)]


def score(name: str, system: str, seed: int, task: str, draw: int) -> dict[str, Any]:
    """``{"miou": .., "iou": {class: ..}}``, computed once. draw : number of the draw of labels."""
    config, split = configuration(name, system), load(name)[1]
    kind, count, levels = parts(task)
    tuning = finetune_segmentation.Config(data=name, output=KEPT)
    settings = (ProbeConfig(), draw) if kind == "linear" else (tuning, draw)
    uses = [probe] if kind == "linear" else [tune, fit, Segmenter, LabelledScenes]
    key = _key([choose_scenes, *uses], encoder_key(name, system, seed), task, settings,
               split.learn.fingerprint(), split.test.fingerprint())  # fmt: skip
    folder = KEPT / name / system / f"seed-{seed}"
    path = folder / f"{task}-{key}.json"
    if not path.exists():
        encoder = pretrained(name, system, seed)
        learn = labelled(split, int(count), draw) if count else split.learn
        if kind == "linear":
            voxel = config.pretraining.views.voxel
            found = probe(encoder, learn, split.test, voxel, seed=draw, levels=levels)
        else:
            mode = "scratch" if system.startswith(UNTRAINED) else "auto"
            tuning = replace(tuning, output=folder / f"{task}-{key}")
            found = _tuned(tuning, encoder, learn, split.test, seed, mode)
        write_json(path, found)
    return json.loads(path.read_text())


def pretrained(name: str, system: str, seed: int) -> SparseUNet:
    """The encoder of a system and seed, trained only once."""
    key = encoder_key(name, system, seed)
    folder = KEPT / name / system / f"seed-{seed}" / f"encoder-{key}"
    path = folder / "encoder.safetensors"
    if not path.exists():
        config = configuration(name, system)
        data = batches(name, config.pretraining.views.voxel)
        encoder, untrained, seconds = pretrain_fac.train(config, data, seed, folder)
        save_encoder(path, untrained if system.startswith(UNTRAINED) else encoder)
        write_json(folder / "timing.json", {"train_s": seconds})
    return load_encoder(path)


@cache
def encoder_key(name: str, system: str, seed: int) -> str:
    config = configuration(name, system)
    uses = [OBJECTIVES[config.method], SceneBatches, prepare, new_encoder, fit]
    return _key(uses, config, seed, load(name)[0].fingerprint())


def _key(uses: Sequence[Callable], *settings: Any) -> str:
    """Ten letters that change with the code, the settings and the data."""
    digest = blake2b(code_digest(uses, PACKAGES), digest_size=5)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


@cache
def load(name: str) -> tuple[Scenes, Split]:
    """Scenes and split, read once for all systems."""
    return pretrain_fac.load(configuration(name, "fac"))


@cache
def batches(name: str, voxel: float) -> SceneBatches:
    return pretrain_fac.batches(_with_voxel(configuration(name, "fac"), voxel), load(name)[0])


def configuration(name: str, system: str) -> pretrain_fac.Config:
    config = pretrain_fac.Config(data=name, output=KEPT)
    if name == "procedural":
        where = Path(pretrain_fac.__file__).parent / "configs" / "fac-procedural.toml"
        config = replace(load_config(pretrain_fac.Config, where), data=name, output=KEPT)
    base, coarse, _ = system.partition(COARSE)
    if coarse:
        config = _with_voxel(config, 0.02)
    if base in FAC:
        return replace(config, fac=FAC[base])
    if base == ALL_LEVELS:
        return replace(config, pretraining=replace(config.pretraining, levels="both"))
    if base == UNTRAINED:
        return replace(config, training=replace(config.training, max_steps=1))
    return replace(config, method=base)


def _with_voxel(config: pretrain_fac.Config, voxel: float) -> pretrain_fac.Config:
    views = replace(config.pretraining.views, voxel=voxel)
    return replace(config, pretraining=replace(config.pretraining, views=views))


def labelled(split: Split, count: int, seed: int) -> Scenes:
    """The labelled scenes of a seed."""
    return split.learn.subset(choose_scenes(split.learn, count, seed))


def _tuned(
    config: finetune_segmentation.Config,
    encoder: SparseUNet,
    learn: Scenes,
    test: Scenes,
    seed: int,
    mode: str,
) -> dict[str, Any]:
    segmenter, told = finetune_segmentation.fitted(
        config, learn, encoder, seed, config.output, mode
    )
    return {**told, **mean_iou_of(test, segmenter.predict)}


def _outside_the_network() -> Row:
    """Fraction of the time of a pretraining step of FAC that is spent on drawing views."""
    config = configuration("mosd", "fac")
    torch.manual_seed(0)
    encoder = new_encoder(config.network)
    method = new_objective(config.method, encoder, config.pretraining, config.fac)
    optimizer = torch.optim.AdamW(method.phases()[0].parameters, lr=1e-3)
    data = batches("mosd", config.pretraining.views.voxel)
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

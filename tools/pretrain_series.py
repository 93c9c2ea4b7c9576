"""Pretrain an encoder of series on a corpus: synthetic series, a folder of tables, or both.

    python tools/pretrain_series.py --output runs/series
    python tools/pretrain_series.py --data my_tables/ --output runs/mine --max-steps 500
    python tools/pretrain_series.py --data synthetic my_tables/ --output runs/both
    python tools/pretrain_series.py --method distillation --output runs/distilled
    python tools/pretrain_series.py --output runs/series --resume

The run folder ends with result.json, corpus.png (a page of the corpus) and encoder.safetensors of
the first seed, in half precision, for ``tsrep.load_encoder`` and tools/embed.py. The encoder reads
each channel of a series by itself.
"""

from tspcrep.common.options import check_options

if __name__ == "__main__":
    check_options(__file__)

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from tspcrep.common.config import run_tool
from tspcrep.common.distributed import launched_rank
from tspcrep.common.errors import UserError
from tspcrep.common.methods import Method
from tspcrep.common.runs import Run, write_atomically
from tspcrep.common.training import Training, fit
from tspcrep.common.weights import FILE
from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
from tsrep.contrast.corpus import CorpusConfig
from tsrep.contrast.crops import CropContrast
from tsrep.contrast.distillation import SelfDistillation
from tsrep.contrast.masked import MaskedPatches
from tsrep.datasets.corpora import Corpus, CorpusBatches
from tsrep.datasets.folders import FolderCorpus
from tsrep.datasets.synthetic import SyntheticCorpus
from tsrep.datasets.tables import TableConfig
from tsrep.encoders import Encoder
from tsrep.encoders.config import EncoderConfig
from tsrep.encoders.files import save_encoder
from tsrep.reports.corpora import page

SYNTHETIC = "synthetic"
METHODS: dict[str, Callable[[Encoder, CorpusConfig, float], Method]] = {
    "crops": CropContrast,
    "distillation": SelfDistillation,
    "masked": MaskedPatches,
}

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[tuple(["autotcl", *METHODS])]


@dataclass(frozen=True)
class Config:
    output: Path
    """Folder to write the run into."""
    data: tuple[str, ...] = (SYNTHETIC,)
    """"synthetic", folders of Parquet or CSV files, or both; they are mixed."""
    size: int = 1_000_000
    """Number of synthetic series in the corpus."""
    steps: int = 512
    """Steps of a synthetic series, and most steps of a piece of a real one."""
    repeat: int = 10
    """How often an epoch shows each real series if there are synthetic ones too (AdaInf)."""
    method: MethodName = "crops"
    """What the encoder learns from: contrast of drawn crops, AutoTCL's learned views,
    self-distillation, or masked patches."""
    seeds: tuple[int, ...] = (0,)
    """Random seeds, of the corpus and of the training; one encoder is trained for each."""
    resume: bool = False
    """Continue the run in the output folder."""
    table: TableConfig = TableConfig()
    encoder: EncoderConfig = EncoderConfig(kind="patch_transformer")
    learning: CorpusConfig = CorpusConfig()
    training: Training = field(
        default_factory=lambda: Training(
            epochs=1_000, max_steps=1_000, batch_size=128, warmup=30, drop_last=True
        )
    )


def main(config: Config) -> None:
    run = Run("pretrain_series", config)
    own = own_series(config)  # raises for bad data or options before anything is written
    batches(config, own, 0)
    method(config, 0)
    for seed in run.start():
        data, folder = batches(config, own, seed), run.seed_folder(seed)
        objective = method(config, seed)
        started = time.perf_counter()
        fit(objective, data, config.training, seed, folder, config.resume)
        seconds = time.perf_counter() - started
        if launched_rank() == 0:  # a follower under torchrun trains along and writes nothing
            save_encoder(folder / FILE, trained(objective).cpu(), half=True)
            run.add(seed, {"timing": {"train_s": seconds}})
    if launched_rank():
        return
    data = batches(config, own, config.seeds[0])
    picture = page([values.numpy() for values in data.__getitems__(_spread(len(data))).values])
    write_atomically(run.output / "corpus.png", lambda file: file.write(picture))
    results = run.results()
    summary = {
        "task": "corpus",
        "data": list(config.data),
        "method": config.method,
        "seeds": list(config.seeds),
        "timing": {"train_s": sum(result["timing"]["train_s"] for result in results)},
    }
    run.finish(summary, config.seeds[0], FILE)
    for name in ("result.json", "corpus.png", FILE):
        print(run.output / name)


def own_series(config: Config) -> dict[str, FolderCorpus]:
    """The folders of tables, read, by name; raises UserError where one cannot be used."""
    if not config.data:
        raise UserError(f"data: found nothing, expected {SYNTHETIC!r} or a folder")
    names = [name for name in config.data if name != SYNTHETIC]
    return {name: FolderCorpus(name, config.steps, **vars(config.table)) for name in names}


def batches(config: Config, own: dict[str, FolderCorpus], seed: int) -> CorpusBatches:
    """The corpora of a run, mixed."""
    corpora: list[Corpus] = [
        own[name] if name in own else SyntheticCorpus(config.size, config.steps, seed=seed)
        for name in config.data
    ]
    repeats = [config.repeat if _is_mixed(config) and n in own else 1 for n in config.data]
    return CorpusBatches(corpora, repeats)


def method(config: Config, seed: int) -> Method:
    """The method around an untrained encoder of one channel."""
    torch.manual_seed(seed)
    encoder = config.encoder.network(1)
    strength = 0.5 if _is_mixed(config) else 1.0  # AdaInf: weaker augmentation among made series
    if config.method in METHODS:
        return METHODS[config.method](encoder, config.learning, strength)
    c = config.learning
    return AutoTCL(encoder, AutoTCLConfig(temperature=c.temperature, learning_rate=c.learning_rate))


def trained(objective: Method) -> Encoder:
    """The encoder to keep: AutoTCL's is the mean of its weights over all steps."""
    kept = objective.averaged.module if isinstance(objective, AutoTCL) else objective.encoder
    assert isinstance(kept, Encoder)
    return kept


def _is_mixed(config: Config) -> bool:
    return SYNTHETIC in config.data and len(config.data) > 1


def _spread(size: int, count: int = 72) -> list[int]:
    """Indices evenly spread over a corpus."""
    return [i * size // count for i in range(min(count, size))]


if __name__ == "__main__":
    run_tool(main, Config)

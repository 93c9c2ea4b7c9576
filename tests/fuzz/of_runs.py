"""Readers of what our own tools write: encoders, checkpoints, run folders."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.encoders.unet import load_encoder as load_unet
from pcrep.encoders.unet import save_encoder as save_unet
from pcrep.evaluation.segmentation import (
    SegmentationConfig,
    Segmenter,
    load_segmenter,
    save_segmenter,
)
from tests.common.toys import Rows, Toy, settings_of
from tests.fuzz.mutations import of_json, of_safetensors, of_text
from tests.fuzz.targets import Target
from tspcrep.common import config as configuration
from tspcrep.common.runs import Run
from tspcrep.common.training import fit
from tspcrep.tools.pretrain_autotcl import Config
from tsrep import encode, load_encoder
from tsrep.datasets.series import Scaler
from tsrep.encoders import TCN
from tsrep.encoders.files import save_encoder
from tsrep.forecasting.files import load_forecaster

_ROOT = Path(__file__).parents[2]
_FORECASTER = _ROOT / "tests/data/version-0.1/forecaster/forecaster.safetensors"
_UNET = UNetConfig(
    4, 4, encoder=(4, 4), decoder=(4, 4), encoder_blocks=(1, 1), decoder_blocks=(1, 1)
)


def _series_encoder(folder: Path) -> Path:
    path = folder / "encoder.safetensors"
    save_encoder(path, TCN(1, 4, depth=1), Scaler(np.zeros(1), np.ones(1)), ("load",))
    return path


def _vectors(path: Path) -> object:
    encoder = load_encoder(path)
    return encode(encoder, np.zeros((1, 20, encoder.in_channels), np.float32))


def _unet(folder: Path) -> Path:
    encoder = SparseUNet(_UNET)
    encoder.voxel = 0.05
    save_unet(folder / "unet.safetensors", encoder)
    return folder / "unet.safetensors"


def _segmenter(folder: Path) -> Path:
    segmenter = Segmenter(SparseUNet(_UNET), 3, SegmentationConfig(voxel=0.05))
    save_segmenter(folder / "segmenter.safetensors", segmenter, "abc")
    return folder / "segmenter.safetensors"


def _forecaster(folder: Path) -> Path:
    return Path(shutil.copy(_FORECASTER, folder))


def _train(folder: Path, resume: bool) -> None:
    fit(Toy(), Rows(), settings_of(epochs=1, max_steps=3), 0, folder, resume)


def _checkpoint(folder: Path) -> Path:
    _train(folder, resume=False)
    return folder / "checkpoint.pt"


def _resumed(path: Path) -> object:
    torch.manual_seed(0)
    return fit(Toy(), Rows(), settings_of(epochs=1, max_steps=4), 0, path.parent, True)


def _config(folder: Path) -> Config:
    return Config(data="ETTh1", output=folder, resume=True)


def _run(folder: Path, name: str) -> Path:
    """A run of two seeds with their results; name: of the file to return."""
    run = Run("pretrain_autotcl", _config(folder))
    run.start()
    for seed in run.seeds:
        run.add(seed, {"forecast": {"24": {"mse": 0.5}}, "seed": seed})
    return folder / name


def _results(path: Path, up: int = 0) -> object:
    """What resuming reads of a folder."""
    return Run("pretrain_autotcl", _config(path.parents[up])).results()


def _parsed(path: Path) -> object:
    return configuration.parse(Config, ["--config", str(path)])


TARGETS = {
    "encoder of series": Target(_series_encoder, _vectors, of_safetensors),
    "encoder of points": Target(_unet, load_unet, of_safetensors),
    "segmenter": Target(_segmenter, load_segmenter, of_safetensors),
    "forecaster": Target(_forecaster, load_forecaster, of_safetensors),
    "checkpoint": Target(_checkpoint, _resumed),
    "config.toml": Target(partial(_run, name="config.toml"), _parsed, of_text),
    "env.json": Target(partial(_run, name="env.json"), _results, of_json),
    "result.json": Target(
        partial(_run, name="seed-0/result.json"), partial(_results, up=1), of_json
    ),
}

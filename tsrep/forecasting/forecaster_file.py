"""A fitted forecaster as a file: safetensors, its configuration in the header."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from tspcrep.common import weights
from tspcrep.common.config import from_dict
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.network import Forecaster, ForecasterConfig
from tsrep.forecasting.ridge import Product
from tsrep.forecasting.task import Names

FILE = "forecaster.safetensors"
KIND = "tsrep.SeriesForecaster"
INPUTS = ("channels", "horizon", "known", "past")


def save_forecaster(path: str | Path, model: SeriesForecaster) -> None:
    """Write a forecaster as safetensors, its configuration in the header."""
    network = model.network
    config = {
        "mean": model.scaler.mean.tolist(),
        "std": model.scaler.std.tolist(),
        "inputs_mean": model.inputs_scaler.mean.tolist(),
        "inputs_std": model.inputs_scaler.std.tolist(),
        "names": asdict(model.names),
        "horizons": list(model.horizons),
        "calendar": model.calendar,
        "look_backs": {str(h): look_back for h, look_back in model.look_backs.items()},
        "network": asdict(network.config),
        "inputs": {name: getattr(network, name) for name in INPUTS},
    }
    weights.save_encoder(path, model, KIND, config)


def load_forecaster(path: str | Path) -> SeriesForecaster:
    """The forecaster in a file, or in a run folder. Nothing is unpickled.

    Raises
    ------
    UserError
        No such file, a truncated one, or one that holds something else.
    """
    path = Path(path) / FILE if Path(path).is_dir() else Path(path)
    kind, config, tensors = weights.read_encoder(path)
    if kind != KIND:
        raise UserError(f"{path}: holds a {kind!r}, expected a {KIND!r}")
    try:
        model = _empty(config, tensors)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a header of another version ({error})") from error
    weights.load_into(model, tensors, path)
    return model.requires_grad_(False).eval()


def _empty(config: dict, tensors: dict[str, torch.Tensor]) -> SeriesForecaster:
    """The forecaster of a header, its numbers still to be loaded."""

    def scaler(prefix: str) -> Scaler:
        return Scaler(np.array(config[f"{prefix}mean"]), np.array(config[f"{prefix}std"]))

    def product(horizon: str, look_back: int) -> Product:
        arrays = {name: tensors[f"{name}_{horizon}"].numpy() for name in Product.ARRAYS}
        return Product.of(look_back, arrays)

    return SeriesForecaster(
        Names(**{name: tuple(columns) for name, columns in config["names"].items()}),
        (scaler(""), scaler("inputs_")),
        config["horizons"],
        Forecaster(from_dict(ForecasterConfig, config["network"]), **config["inputs"]),
        {int(h): product(h, look_back) for h, look_back in config["look_backs"].items()},
        config["calendar"],
    )

"""Save and load the forecaster that a user runs."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tspcrep.common import weights
from tspcrep.common.config import from_dict
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Scaler
from tsrep.forecasting.forecaster import SeriesForecaster
from tsrep.forecasting.network import Forecaster, ForecasterConfig
from tsrep.forecasting.product import Product
from tsrep.forecasting.task import Names

FORECASTER_FILE = "forecaster.safetensors"
_KIND = "tsrep.SeriesForecaster"
_SIZES = ("channels", "horizon", "known", "past")


def save_forecaster(path: str | Path, model: SeriesForecaster) -> None:
    """Write a forecaster as safetensors, its configuration in the header."""
    network = model.network
    look_backs = {h: path.look_back for h, path in model.paths.items()}
    config = {
        "mean": model.scaler.mean.tolist(),
        "std": model.scaler.std.tolist(),
        "inputs_mean": model.inputs_scaler.mean.tolist(),
        "inputs_std": model.inputs_scaler.std.tolist(),
        "names": asdict(model.names),
        "horizons": list(model.horizons),
        "calendar": model.calendar,
        "look_backs": {} if model.alone else look_backs,
        "network": asdict(network.config),
        "inputs": {name: getattr(network, name) for name in _SIZES},
        "choices": model.choices,
    }
    tensors = {_name_in_file(name): tensor for name, tensor in model.state_dict().items()}
    weights.save_tensors(path, tensors, _KIND, config)


def load_forecaster(path: str | Path) -> SeriesForecaster:
    """Load a forecaster from a file or a run folder. Nothing is unpickled.

    Raises
    ------
    UserError
        There is no such file, it is truncated, or it holds something else.
    """
    path = Path(path) / FORECASTER_FILE if Path(path).is_dir() else Path(path)
    kind, config, tensors = weights.read_encoder(path)
    if kind != _KIND:
        raise UserError(f"{path}: holds a {kind!r}, expected a {_KIND!r}")
    own = {_name_of_module(name): tensor for name, tensor in tensors.items()}
    names = config.get("names")
    columns = names.get("columns") if isinstance(names, dict) else None
    columns = columns if isinstance(columns, list) else []  # _empty tells of what is no list
    for name, tensor in list(own.items()):  # files of version 0.1 are without these
        if name.endswith(".miss"):
            own.setdefault(f"{name}_freedom", torch.full(tensor.shape[:1], math.inf))
        if name.endswith(".weight") and name.startswith("paths."):
            size = len(columns)
            own.setdefault(name.replace(".weight", ".scale"), torch.zeros(4, size))
    model = weights.build(lambda: _empty(config, own), own, path)
    return model.requires_grad_(False).eval()


def _name_of_module(name: str) -> str:
    """``mean_24`` -> ``paths.24.mean``, the inverse of :func:`_name_in_file`."""
    array, _, horizon = name.rpartition("_")
    return f"paths.{horizon}.{array}" if array and horizon.isdecimal() else name


def _name_in_file(name: str) -> str:
    """``paths.24.mean`` -> ``mean_24``: arrays of a horizon have this name since version 0.1."""
    if not name.startswith("paths."):
        return name
    _, horizon, array = name.split(".")
    return f"{array}_{horizon}"


def _empty(config: dict[str, Any], tensors: dict[str, Tensor]) -> SeriesForecaster:
    """The forecaster that a header describes, before its weights are loaded."""

    def scaler(prefix: str) -> Scaler:
        return Scaler(np.array(config[f"{prefix}mean"]), np.array(config[f"{prefix}std"]))

    def product(horizon: str, look_back: int) -> Product:
        arrays = {name: tensors[f"paths.{horizon}.{name}"].numpy() for name in Product.ARRAYS}
        return Product.of(look_back, arrays)

    network, sizes = from_dict(ForecasterConfig, config["network"]), config["inputs"]
    names = Names(**{name: tuple(columns) for name, columns in config["names"].items()})
    many = sum(len(columns) for columns in (names.columns, names.known, names.past))
    if (network.depth or 0) > len(tensors) or sizes["known"] + sizes["past"] > many:
        raise UserError(f"{network}, {sizes}: more than the file has tensors or names for")
    for horizon in config["horizons"]:
        if len(tensors[f"paths.{horizon}.miss"]) != horizon:
            raise UserError(f"horizons: found {horizon}, expected those of the weights")
    model = SeriesForecaster(
        names,
        (scaler(""), scaler("inputs_")),
        config["horizons"],
        Forecaster(network, **sizes),
        {int(h): product(h, look_back) for h, look_back in config["look_backs"].items()},
        config["calendar"],
    )
    model.choices = config.get("choices", {})
    return model

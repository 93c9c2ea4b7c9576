"""Representation learning for time series.

    from tsrep import encode, load, load_encoder

    encoder = load_encoder("series-small")  # ships with the package; list_encoders() has the names
    vectors = encode(encoder, x, pool=True, apart=True)  # x (N, T, C), one vector for each series

    series = load("my.csv")
    vectors = encode(load_encoder("runs/mine"), series.values)  # (N, T, D)

``tools/pretrain_autotcl.py`` makes the encoder of a series, ``tools/pretrain_series.py`` that of a
corpus; ``load_forecaster`` opens what ``tools/train_forecaster.py`` fitted.
"""

from typing import TYPE_CHECKING

from tspcrep.common.lazy import attributes

if TYPE_CHECKING:
    from tsrep.contrast.autotcl import AutoTCL, AutoTCLConfig
    from tsrep.datasets import load
    from tsrep.encoders.encoding import Stream, encode
    from tsrep.encoders.files import from_pretrained, list_encoders, load_encoder, save_pretrained
    from tsrep.forecasting.files import load_forecaster

__all__ = [
    "AutoTCL",
    "AutoTCLConfig",
    "Stream",
    "encode",
    "from_pretrained",
    "list_encoders",
    "load",
    "load_encoder",
    "load_forecaster",
    "save_pretrained",
]

# Each is imported when it is first asked for: pandas, scipy and torch take seconds.
_MODULES = {
    "AutoTCL": "tsrep.contrast.autotcl",
    "AutoTCLConfig": "tsrep.contrast.autotcl",
    "Stream": "tsrep.encoders.encoding",
    "encode": "tsrep.encoders.encoding",
    "from_pretrained": "tsrep.encoders.files",
    "list_encoders": "tsrep.encoders.files",
    "load": "tsrep.datasets",
    "load_encoder": "tsrep.encoders.files",
    "load_forecaster": "tsrep.forecasting.files",
    "save_pretrained": "tsrep.encoders.files",
}


__getattr__, __dir__ = attributes(__name__, _MODULES)

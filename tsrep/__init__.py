"""Representation learning for time series.

    from tsrep import encode, load, load_encoder

    encoder = load_encoder("series-small")  # ships with the package; list_encoders() has the names
    vectors = encode(encoder, x, pool=True, apart=True)  # x (N, T, C), one vector for each series

    series = load("my.csv")
    vectors = encode(load_encoder("runs/mine"), series.values)  # (N, T, D)

``tools/pretrain_autotcl.py`` makes the encoder of a series, ``tools/pretrain_series.py`` that of a
corpus; ``load_forecaster`` opens what ``tools/train_forecaster.py`` fitted.
"""

from tsrep.datasets import load
from tsrep.encoders.encoding import Stream, encode
from tsrep.encoders.files import from_pretrained, list_encoders, load_encoder, save_pretrained

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


def __getattr__(name: str):
    # An encoder is loaded and used without the trainers.
    if name in ("AutoTCL", "AutoTCLConfig"):
        from tsrep.contrast import autotcl

        return getattr(autotcl, name)
    if name == "load_forecaster":
        from tsrep.forecasting.forecaster import load_forecaster

        return load_forecaster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

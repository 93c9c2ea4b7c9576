"""Representation learning for time series.

    from tsrep import encode, load, load_encoder

    series = load("my.csv")
    vectors = encode(load_encoder("runs/mine"), series.values)  # (N, T, D)

``tools/pretrain_autotcl.py`` makes the encoder of a series.
"""

from tsrep.datasets import load
from tsrep.encoders import load_encoder
from tsrep.encoding import Stream, encode

__all__ = ["AutoTCL", "AutoTCLConfig", "Stream", "encode", "load", "load_encoder"]


def __getattr__(name: str):
    # An encoder is loaded and used without the trainer that made it.
    if name in ("AutoTCL", "AutoTCLConfig"):
        from tsrep import autotcl

        return getattr(autotcl, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

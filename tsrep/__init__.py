"""Representation learning for time series.

    from tsrep import encode, load, load_encoder

    series = load("my.csv")
    vectors = encode(load_encoder("runs/mine"), series.values)  # (N, T, D)

``tools/pretrain_autotcl.py`` makes the encoder of a series.
"""

from tsrep.autotcl import AutoTCL, AutoTCLConfig
from tsrep.datasets import load
from tsrep.encoders import load_encoder
from tsrep.encoding import Stream, encode

__all__ = ["AutoTCL", "AutoTCLConfig", "Stream", "encode", "load", "load_encoder"]

"""Encoders of series, (B, T, C) -> (B, T, D): the networks, their configuration and files."""

from tsrep.encoders.base import Encoder
from tsrep.encoders.dilated_conv import DilatedConv
from tsrep.encoders.files import (
    from_pretrained,
    list_encoders,
    load_encoder,
    save_encoder,
    save_pretrained,
    untrained,
)
from tsrep.encoders.level import Centred
from tsrep.encoders.lstm import LSTM
from tsrep.encoders.patch_transformer import PatchTransformer
from tsrep.encoders.tcn import TCN
from tsrep.encoders.transformer import Transformer

__all__ = [
    "LSTM",
    "TCN",
    "Centred",
    "DilatedConv",
    "Encoder",
    "PatchTransformer",
    "Transformer",
    "from_pretrained",
    "list_encoders",
    "load_encoder",
    "save_encoder",
    "save_pretrained",
    "untrained",
]

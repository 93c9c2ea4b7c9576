"""One of every encoder, and random series for them."""

import torch

from tsrep.encoders import LSTM, Centred, DilatedConv, Transformer
from tsrep.encoders.config import BACKBONES, build_backbone


def _as_built(name):
    return lambda c: build_backbone(name, c, 8, reach=20, hidden=4, heads=2)


ENCODERS = {
    **{name: _as_built(name) for name in BACKBONES},  # a new backbone is in the loop by itself
    "dilated, trend": lambda c: DilatedConv(c, 8, 4, 1, trend_kernels=(1, 2, 4)),
    "dilated, both sides": lambda c: DilatedConv(c, 8, 4, 2, causal=False),
    "transformer, long taps": lambda c: Transformer(c, 8, 2, 2, patch=5),
    "transformer, both sides": lambda c: Transformer(c, 8, 2, 2, causal=False),
    "transformer, patches": lambda c: Transformer(c, 8, 2, 2, patch=6, causal=False),
    "transformer, overlapping": lambda c: Transformer(c, 8, 2, 2, 6, 4, causal=False),
    "centred dilated, both sides": lambda c: Centred(DilatedConv(c, 8, 4, 2, causal=False), 7),
    "centred transformer": lambda c: Centred(Transformer(c, 8, 2, 2), 7),
    "centred lstm": lambda c: Centred(LSTM(c, 8, 2), 7),
}
BOTH_SIDES = [n for n in ENCODERS if not ENCODERS[n](1).causal]
CAUSAL = [n for n in ENCODERS if n not in BOTH_SIDES]


def encoder_of(name, channels=3, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return ENCODERS[name](channels).to(dtype).eval()


def series(*shape, seed=0, dtype=torch.float32, missing=0.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=dtype)
    return x.masked_fill(torch.rand(*shape, generator=generator) < missing, torch.nan)

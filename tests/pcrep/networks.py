"""Small U-Nets that the tests of pcrep share."""

import torch

from pcrep import SparseUNet, UNetConfig

SMALL = UNetConfig(
    in_channels=4,
    stem=4,
    encoder=(6, 8),
    decoder=(8, 6),
    encoder_blocks=(1, 1),
    decoder_blocks=(1, 1),
)
TINY = UNetConfig(
    in_channels=4, stem=4, encoder=(6,), decoder=(6,), encoder_blocks=(1,), decoder_blocks=(1,)
)


def tiny(seed=0):
    torch.manual_seed(seed)
    return SparseUNet(TINY)

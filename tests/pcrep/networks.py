"""Small U-Nets that the tests of pcrep share, and the engines that compute them."""

import pytest
import torch

from pcrep import SparseUNet, UNetConfig
from pcrep.sparse.engines.minkowski import load

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


def engines():
    """The engines to hold against the reference, with MinkowskiEngine's where it is built."""
    try:
        load()
    except ValueError as error:
        return ["numba", pytest.param("minkowski", marks=pytest.mark.skip(reason=str(error)))]
    return ["numba", "minkowski"]

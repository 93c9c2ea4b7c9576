"""The arithmetic of a sparse U-Net, see :mod:`tspcrep.common.cost`.

Voxels of a scan lie on surfaces. On a plane a kernel of size k meets k^2 of its k^3 taps, and each
coarser level has a quarter of the voxels; corners, noise and thin things have more and fewer.
"""

from pcrep.encoders.unet import UNetConfig
from tspcrep.common.cost import Cost, layer


def unet_cost(config: UNetConfig, voxels: float) -> Cost:
    """Forward and backward pass of ``voxels`` voxels on surfaces."""
    total = _kernel(voxels, config.stem_kernel, config.in_channels, config.stem)
    width, fine, skips = config.stem, float(voxels), []
    for channels, blocks in zip(config.encoder, config.encoder_blocks, strict=True):
        skips.append((width, fine))
        total += layer(fine / 4, fine, width, width)  # each fine voxel is under one tap
        fine /= 4
        total += _blocks(fine, width, channels, blocks)
        width = channels
    for channels, blocks in zip(config.decoder, config.decoder_blocks, strict=True):
        skip, fine = skips.pop()
        total += layer(fine, fine, width, channels)
        total += _blocks(fine, channels + skip, channels, blocks)
        width = channels
    return total


def _kernel(voxels: float, size: int, inputs: int, outputs: int) -> Cost:
    return layer(voxels, size**2 * voxels, inputs, outputs)


def _blocks(voxels: float, inputs: int, outputs: int, count: int) -> Cost:
    total = Cost()
    for _ in range(count):
        total += _kernel(voxels, 3, inputs, outputs) + _kernel(voxels, 3, outputs, outputs)
        if inputs != outputs:
            total += _kernel(voxels, 1, inputs, outputs)
        inputs = outputs
    return total

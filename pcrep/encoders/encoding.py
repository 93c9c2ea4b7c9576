"""Voxelise point clouds for the network, and map voxel features back to points."""

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from pcrep.cloud import Cloud
from pcrep.datasets.open3d import as_cloud
from pcrep.encoders.inputs import channels, check_inputs, completed, inputs_of
from pcrep.encoders.unet import SparseUNet, UNetConfig, res16unet
from pcrep.encoders.voxelize import check_extent, voxelize
from pcrep.sparse import SparseTensor, Unpool, cat
from tspcrep.common.errors import UserError
from tspcrep.common.modes import evaluating

Levels = Literal["decoder", "encoder", "both"]
"""Which features of a U-Net are read."""


def network_input(
    clouds: Sequence[Cloud],
    voxel: float,
    device: torch.device | str = "cpu",
    inputs: Sequence[str] = ("colour",),
) -> tuple[SparseTensor, Tensor]:
    """Voxelise a batch of clouds, N points in all, to M voxels.

    Returns a SparseTensor (M, C), the mean of :func:`pcrep.encoders.inputs.inputs_of` per voxel,
    and ``point_to_voxel`` (N,) int64. Heights and normals that ``inputs`` name and a cloud lacks
    are found in it. The grid of each cloud starts at its minimum coordinates.

    Raises
    ------
    UserError
        A cloud is too large for its voxels: see :func:`pcrep.encoders.voxelize.check_extent`.
    """
    for cloud in clouds:
        check_extent(cloud, voxel)
    coords = np.concatenate([c.coords - c.coords.min(0) for c in clouds])  # floats are fine near 0
    batch = np.repeat(np.arange(len(clouds)), [len(c) for c in clouds])
    values = [inputs_of(completed(cloud, inputs), inputs) for cloud in clouds]
    voxels = voxelize(torch.from_numpy(coords), voxel, torch.from_numpy(batch))
    features = voxels.reduce(torch.from_numpy(np.concatenate(values)))
    x = SparseTensor(voxels.coordinates.to(device), features.to(device))
    return x, voxels.point_to_voxel.to(device)


def new_encoder(name: str, inputs: Sequence[str] = ("colour",)) -> SparseUNet:
    """A randomly initialised encoder: ``small``, or a Res16UNet such as ``34C``.

    inputs : names of :data:`pcrep.encoders.inputs.INPUTS`.
    """
    check_inputs(inputs)
    width = channels(inputs)
    config = UNetConfig(in_channels=width) if name == "small" else res16unet(name, width)
    encoder = SparseUNet(config)
    encoder.inputs = tuple(inputs)
    return encoder


def untrained(encoder: SparseUNet, seed: int) -> SparseUNet:
    """A randomly initialised network of the same architecture, inputs and voxel size.

    The weights are those that a run with this seed starts from; torch's random state is unchanged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SparseUNet(encoder.config)
    network.voxel, network.inputs = encoder.voxel, encoder.inputs
    return network


def voxel_size(encoder: SparseUNet, wanted: float | None = None) -> float:
    """Voxel size in metres: ``wanted``, else that of the encoder's training, else 0.02."""
    size = wanted if wanted is not None else encoder.voxel or 0.02
    if not 0 < size < float("inf"):
        raise UserError(f"voxel: found {size}, expected metres above 0")
    return size


def check_encoder(encoder: SparseUNet, where: str = "the encoder") -> None:
    """Raise a UserError unless the encoder's channels are those of its ``inputs``."""
    expected = channels(encoder.inputs)
    if encoder.in_channels != expected:
        raise UserError(
            f"{where}: reads {encoder.in_channels} channels, expected {expected}, "
            f"{', '.join(encoder.inputs)} and a constant 1; take an encoder that was trained by "
            "this project's tools"
        )


def encode(
    encoder: SparseUNet, cloud: Cloud, voxel: float, levels: Levels = "both"
) -> tuple[np.ndarray, np.ndarray]:
    """Features (M, D) float32 of the voxels of a cloud, and ``point_to_voxel`` (N,) int64.

    ``features[point_to_voxel]`` has one row per point. cloud : may be a ``PointCloud`` of Open3D.
    voxel : size in metres. The encoder runs in
    evaluation mode. levels : as of :func:`features_of`.
    """
    cloud, device = as_cloud(cloud), next(encoder.parameters()).device
    with evaluating(encoder), torch.inference_mode():
        x, point_to_voxel = network_input([cloud], voxel, device, encoder.inputs)
        features = features_of(encoder, x, levels)
    return features.float().cpu().numpy(), point_to_voxel.cpu().numpy()


def check_levels(levels: str) -> None:
    """Raise a ValueError for levels that there are not."""
    if levels not in get_args(Levels):
        raise ValueError(f"levels is {levels!r}, expected one of {', '.join(get_args(Levels))}")


def features_of(encoder: SparseUNet, x: SparseTensor, levels: Levels = "both") -> Tensor:
    """Features (M, D) on the voxels of ``x``.

    ``decoder`` reads the end of the decoder. ``encoder`` reads the stem and each level of the
    encoder, side by side from fine to coarse: a voxel has the features of the cell that it lies in
    (Wu et al., "Sonata", CVPR 2025, section 3, carry them up so). ``both`` reads all of these, the
    decoder's first.
    """
    check_levels(levels)
    if levels == "decoder":
        return encoder(x).features
    found = encoder.encode(x)
    carried = found[-1]
    for finer in reversed(found[:-1]):
        carried = cat(finer, Unpool(2)(carried))
    if levels == "both":
        carried = cat(encoder.decode(found), carried)
    return carried.features


def read_out(encoder: SparseUNet, x: SparseTensor, head: nn.Linear, levels: Levels) -> Tensor:
    """``head(features_of(encoder, x, levels))`` (M, C), to rounding, without the wide rows.

    The head is a sum over the levels: each is mapped where it is, and its C columns are carried up
    in place of its features.
    """
    check_levels(levels)
    if levels == "decoder":
        return head(encoder(x).features)
    found = encoder.encode(x)
    widths = [level.features.shape[1] for level in found]
    of_decoder, *parts = head.weight.split([head.in_features - sum(widths), *widths], dim=1)
    carried = found[-1].map(partial(linear, weight=parts[-1]))
    for finer, part in zip(found[-2::-1], parts[-2::-1], strict=True):
        carried = finer.map(partial(linear, weight=part)) + Unpool(2)(carried)
    scores = carried.features + head.bias
    if levels == "both":
        scores = scores + linear(encoder.decode(found).features, of_decoder)
    return scores


def width(encoder: SparseUNet, levels: Levels = "both") -> int:
    """Columns D of :func:`features_of`."""
    config = encoder.config
    of_encoder = config.stem + sum(config.encoder)
    return {"decoder": encoder.dim, "encoder": of_encoder, "both": encoder.dim + of_encoder}[levels]

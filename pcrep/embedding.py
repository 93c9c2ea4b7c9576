"""Encode point clouds and write the features of every point to disk."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from pcrep.cloud import Cloud
from pcrep.datasets import Reading, load_scenes
from pcrep.encoders.encoding import check_encoder, encode, voxel_size
from pcrep.encoders.inputs import say_missing
from pcrep.encoders.unet import SparseUNet, load_encoder
from pcrep.evaluation.checks import voxel_of
from pcrep.preparation.planes import upright
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically


def embed(
    encoder: Path,
    data: str,
    output: Path,
    voxel: float | None = None,
    data_root: Path | None = None,
    reading: Reading | None = None,
) -> None:
    """Write the features of every point, with the coordinates of its file.

    encoder : a run folder or an encoder file. data : a named set, or a file or folder.
    output : ``.npz`` (coords (N, 3) float64, features (N, D) float32, and row (N,), the number of
        each point in its file, which differs from 0 .. N - 1 where points without coordinates were
        left out) or ``.ply`` (coloured by :func:`principal_colours`) for one scene; a folder of
        ``<scene>.npz`` for several.
    voxel : metres; by default that of the encoder's training, or else one that fits the points.
    reading : what the user says of the files.

    Raises
    ------
    UserError
        Encoder or data cannot be used; several scenes for one file; the output cannot be written.
    """
    network = load_encoder(encoder)
    check_encoder(network, str(encoder))
    scenes = load_scenes(data, data_root, reading)
    size = voxel_size(network, voxel if voxel is not None else network.voxel or voxel_of(scenes))
    one = output.suffix.lower() in (".npz", ".ply")
    if one and len(scenes) > 1:
        raise UserError(
            f"{data}: holds {len(scenes)} scenes, which do not fit into one file {output}: give "
            "a folder as --output, or one scene as --data"
        )
    for index in tqdm(range(len(scenes)), desc="embed", unit="scene", delay=2):
        path = output if one else output / f"{scenes.names[index]}.npz"
        cloud = scenes[index]
        say_missing(cloud, network.inputs)
        _write(path, cloud, _point_features(network, cloud, size))


def _point_features(encoder: SparseUNet, cloud: Cloud, voxel: float) -> np.ndarray:
    """Features (N, D) float32 of the points of a cloud, which is turned upright first."""
    features, point_to_voxel = encode(encoder, upright(cloud), voxel)
    return features[point_to_voxel]


def principal_colours(features: np.ndarray) -> np.ndarray:
    """Colours (N, 3) uint8: the first three principal components as red, green and blue.

    Each component is scaled from its 2nd to its 98th percentile. Signs are chosen so that the
    largest loading is positive; features of lower rank leave the other channels at 0.
    """
    sample = features[:: -(-len(features) // 100_000)].astype(np.float64)
    mean = sample.mean(0)
    _, spread, axes = np.linalg.svd(sample - mean, full_matrices=False)
    axes = axes[:3][spread[:3] > 1e-6 * max(spread[0], 1e-30)]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    colours = np.zeros((len(features), 3), np.uint8)
    values = (features - mean.astype(np.float32)) @ axes.T.astype(np.float32)
    for channel, value in enumerate(values.T):
        low, high = np.percentile(value, (2, 98))
        shade = (value - low) / max(high - low, 1e-30)
        colours[:, channel] = np.round(255 * shade.clip(0, 1))
    return colours


def _write(path: Path, cloud: Cloud, features: np.ndarray) -> None:
    def write(file: BinaryIO) -> None:
        if path.suffix.lower() == ".ply":
            _write_ply(file, cloud.file_coords(), principal_colours(features))
        else:
            np.savez(file, coords=cloud.file_coords(), features=features, row=cloud.rows())

    write_atomically(path, write)


def _write_ply(file: BinaryIO, coords: np.ndarray, colours: np.ndarray) -> None:
    """A binary PLY of points (N, 3) float64 with colours (N, 3) uint8."""
    kinds = [(axis, "<f8") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    rows = np.empty(len(coords), kinds)
    for i in range(3):
        rows[kinds[i][0]], rows[kinds[3 + i][0]] = coords[:, i], colours[:, i]
    words = {"<f8": "double", "u1": "uchar"}
    properties = "".join(f"property {words[kind]} {name}\n" for name, kind in kinds)
    file.write(
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}"
        "end_header\n".encode()
    )
    file.write(rows.tobytes())

"""What a network reads of a point: colour, height over ground, normal, intensity."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pcrep.cloud import Cloud
from pcrep.preparation.background import ground
from pcrep.preparation.neighbours import nearest, surface, to_cells
from tspcrep.common.errors import DataWarning, UserError

INPUTS = {"colour": 3, "height": 1, "normal": 6, "intensity": 1}
"""Columns of each input."""


def check_inputs(names: Sequence[str]) -> None:
    """Raise a UserError unless ``names`` are different names of ``INPUTS``."""
    if set(names) - set(INPUTS) or len(set(names)) < len(names):
        raise UserError(
            f"inputs: found {' '.join(names)}, expected different ones of {', '.join(INPUTS)}"
        )


def channels(names: Sequence[str]) -> int:
    """Columns C of :func:`inputs_of`."""
    return sum(INPUTS[name] for name in names) + 1


def inputs_of(
    cloud: Cloud, names: Sequence[str] = ("colour",), strong: float | None = None
) -> np.ndarray:
    """Input features (N, C) float32 of the network: those of each name in turn, and a constant 1.

    colour : red, green, blue minus 0.5.
    height : arsinh of the metres over ground, which is linear on a table and flat over a house.
    normal : the upper triangle of n n^T (xx, xy, xz, yy, yz, zz). It has no sign, as the normals
        of scans, and its average over a voxel is the voxel's structure tensor.
    intensity : over its 95th percentile in the cloud, at most 1, minus 0.5: files have many scales.

    What the cloud lacks is 0 throughout; :func:`completed` finds height and normals.

    strong : the 95th percentile of the intensities, where the cloud is a part of a scan.
    """
    columns: dict[str, np.ndarray] = {
        name: np.zeros((len(cloud), INPUTS[name]), np.float32) for name in names
    }
    if "colour" in names and cloud.colour is not None:
        columns["colour"] = cloud.colour - 0.5
    if "height" in names and cloud.height is not None:
        columns["height"] = np.arcsinh(cloud.height)[:, None]
    if "normal" in names and cloud.normal is not None:
        i, j = np.triu_indices(3)
        columns["normal"] = cloud.normal[:, i] * cloud.normal[:, j]
    if "intensity" in names and cloud.intensity is not None:
        strong = _strong(cloud.intensity) if strong is None else strong
        columns["intensity"] = np.minimum(cloud.intensity / max(strong, 1e-9), 1)[:, None] - 0.5
    parts = [*columns.values(), np.ones((len(cloud), 1))]
    return np.concatenate(parts, 1).astype(np.float32)


def strong_place(count: int) -> tuple[int, float]:
    """The 95th percentile of ``count`` values: its rank, and the share of the next one."""
    place = 0.95 * (count - 1)
    return int(place), place % 1


def _strong(intensity: np.ndarray) -> float:
    rank, share = strong_place(len(intensity))
    after = min(rank + 1, len(intensity) - 1)
    found = np.partition(intensity, (rank, after))
    return (1 - share) * float(found[rank]) + share * float(found[after])


def completed(cloud: Cloud, names: Sequence[str]) -> Cloud:
    """The cloud with ``height`` and ``normal`` where they are named and not known.

    Both need the surroundings of a point: complete a whole scene before you take a part of it.
    cloud : with z up.
    """
    found: dict[str, Any] = {}
    if "height" in names and cloud.height is None:
        found["height"] = height_over_ground(cloud.coords)
    if "normal" in names and cloud.normal is None:
        cells = to_cells(cloud.coords)
        shape = surface(cells.centre, nearest(cells.centre, 16)[0])
        found["normal"] = shape.normal[cells.member].astype(np.float32)
    return replace(cloud, **found) if found else cloud


def lacking(cloud: Cloud, names: Sequence[str]) -> list[str]:
    """The named inputs that a cloud lacks and :func:`completed` cannot find."""
    return [n for n in ("colour", "intensity") if n in names and getattr(cloud, n) is None]


def say_missing(cloud: Cloud, names: Sequence[str]) -> None:
    """Warn where a network reads colour or intensity, and the cloud has none."""
    if lost := lacking(cloud, names):
        warnings.warn(
            f"{cloud.name or 'a cloud'}: has no {' and no '.join(lost)}, which the network reads: "
            "taken for 0 throughout",
            DataWarning,
            stacklevel=2,
        )


def height_over_ground(coords: np.ndarray) -> np.ndarray:
    """Metres (N,) float32 of points (N, 3), z up, over the lowest surface around them.

    The ground may rise by 30 %, and passes below what is narrower than seven times its height
    (:func:`pcrep.preparation.background.ground`); below a larger roof without any ground it is too
    high.
    """
    cells = to_cells(coords, budget=40_000)
    low = ground(cells.centre, 8 * cells.size, np.ones(len(cells.centre), bool))
    return (coords[:, 2] - cells.origin[2] - low[cells.member]).astype(np.float32)

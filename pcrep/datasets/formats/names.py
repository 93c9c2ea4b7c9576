"""What fields are called in files, and what columns without names are."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError

# Names of a field, as :func:`plain` leaves them; the first that is present counts.
NAMES = {
    "coords": ("coords", "coord", "xyz", "points", "positions", "position", "pos"),
    "colour": ("colour", "color", "colours", "colors", "rgb"),
    "intensity": ("intensity", "intensities", "reflectance", "remission", "strength"),
    "normal": ("normal", "normals"),
    "label": (
        *("label", "labels", "label_id", "semantic", "semantics", "semantic_label", "sem_class"),
        *("sem_label", "segment20", "segment", "class", "class_id", "classification"),
    ),
    "instance": (
        *("instance", "instances", "instance_id", "instance_label", "ins_class", "ins_label"),
        *("objectid", "object_id", "treeid", "tree_id"),
    ),
}
# The same for one column for each component.
COMPONENTS = {
    "coords": (
        ("x", "y", "z"),
        *(("easting", "northing", up) for up in ("height", "elevation", "altitude", "z")),
        *(tuple(f"{name}{axis}" for axis in "xyz") for name in ("point_", "pos_", "coord_")),
        ("x_coord", "y_coord", "z_coord"),
    ),
    "colour": (
        *(("red", "green", "blue"), ("r", "g", "b"), ("rf", "gf", "bf")),
        ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ),
    "normal": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
}
for _field, _parts in COMPONENTS.items():  # as ParaView numbers the components of an array
    COMPONENTS[_field] = (*_parts, *(tuple(f"{n}:{i}" for i in range(3)) for n in NAMES[_field]))

SPLATS = ("f_dc_0", "f_dc_1", "f_dc_2")
"""The constant terms of a Gaussian splat's colour, in spherical harmonics."""

KNOWN = frozenset(
    {name for names in NAMES.values() for name in names}
    | {name for parts in COMPONENTS.values() for part in parts for name in part}
    | set(SPLATS)
)

_UNIT = re.compile(r"\s*[\[(]m(et(re|er)s?)?[\])]$")


def plain(name: str) -> str:
    """A name in lower case without quotes, the unit metre and CloudCompare's ``scalar_``."""
    name = name.strip().strip("\"'").strip().lower().removeprefix("scalar_")
    return _UNIT.sub("", name)


def has_coords(names: Iterable[str]) -> bool:
    """Whether coordinates are among plain names."""
    names = set(names)
    return any(names >= set(part) for part in COMPONENTS["coords"])


def guessed(values: np.ndarray, path: Path) -> tuple[str, ...]:
    """Names of the columns of (N, C) numbers without any; other than x y z, it warns of them.

    Three are x y z; four, the intensity beside; six, colours beside, or normals where all rows are
    of unit length. Raises UserError for any other number of columns, and for six that are neither.
    """
    width, beside = values.shape[1], values[:, 3:]
    if width == 3:
        return ("x", "y", "z")
    names: tuple[str, ...] = ()
    if width == 4:
        names = ("x", "y", "z", "intensity")
    elif width == 6:
        lengths = np.linalg.norm(beside.astype(np.float64), axis=1)
        if np.mean(np.abs(lengths - 1) < 0.02) > 0.99:
            names = ("x", "y", "z", "nx", "ny", "nz")
        elif np.nanmin(beside, initial=0) >= 0 and np.nanmax(beside, initial=0) <= 65535:
            names = ("x", "y", "z", "r", "g", "b")
    if not names:
        raise UserError(
            f"{path}: {width} columns without names, expected 3 (x y z), 4 (and intensity) or 6 "
            "(and colours or normals); name them with --columns, such as x,y,z,r,g,b,label, or in "
            "a first line of text"
        )
    warnings.warn(
        f"{path}: its {width} columns have no names and are taken for {' '.join(names)}; if they "
        "are others, name them with --columns",
        stacklevel=4,
    )
    return names

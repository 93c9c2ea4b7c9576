"""Point clouds of Open3D, taken and given: ``load_points(cloud)`` and ``Cloud.to_open3d()``."""

from pathlib import Path
from typing import Any

import numpy as np

from pcrep.cloud import Cloud
from pcrep.datasets.formats.columns import select, to_cloud
from pcrep.datasets.reading import Reading
from tspcrep.common.errors import UserError

_FIELDS = {"positions": "coords", "colors": "colour", "normals": "normal"}


def is_open3d(thing: object) -> bool:
    """Whether a thing is of Open3D, told without importing it."""
    return type(thing).__module__.partition(".")[0] == "open3d"


def from_open3d(cloud: Any, reading: Reading | None = None) -> Cloud:
    """A cloud of ``open3d.geometry.PointCloud`` or ``open3d.t.geometry.PointCloud``.

    Of the second, attributes such as label, instance and intensity are taken too. Points are
    treated as those of a file (:func:`pcrep.datasets.formats.columns.to_cloud`).

    Raises UserError for what is no point cloud or holds no points.
    """
    name, reading = f"an Open3D {type(cloud).__name__}", reading or Reading()
    if hasattr(cloud, "point"):
        known = {key: cloud.point[key].cpu().numpy() for key in cloud.point}
    elif hasattr(cloud, "points") and hasattr(cloud, "colors"):
        known = {"positions": cloud.points, "colors": cloud.colors, "normals": cloud.normals}
        known = {key: np.asarray(values) for key, values in known.items() if len(values)}
    else:
        raise UserError(f"{name}: expected an open3d.geometry.PointCloud or one of open3d.t")
    if not len(known.get("positions", ())):
        raise UserError(f"{name}: holds no points, expected at least one")
    arrays = {_FIELDS.get(key, key): values for key, values in known.items()}
    return reading.labelled(to_cloud(select(arrays, Path(name)), Path(name), reading.unit))


def to_open3d(cloud: Cloud) -> Any:
    """An ``open3d.t.geometry.PointCloud``; its ``to_legacy()`` is one of ``open3d.geometry``.

    Positions are those of the file: the array of the cloud itself, float32, where nothing was
    subtracted, else float64. Colours are in 0 .. 1; label, instance, intensity and what else is
    known of each point are attributes (N, 1).
    """
    try:
        import open3d
    except ImportError:
        raise UserError("to_open3d needs open3d: pip install 'tspcrep[points]'") from None
    arrays = {name: values for name, values in cloud.arrays().items() if name != "objectness"}
    if cloud.origin is not None or cloud.unit != 1:
        arrays["coords"] = cloud.file_coords()
    names = {field: key for key, field in _FIELDS.items()}
    found = open3d.t.geometry.PointCloud()
    for name, values in arrays.items():
        values = np.ascontiguousarray(values).reshape(len(cloud), -1)
        found.point[names.get(name, name)] = open3d.core.Tensor.from_numpy(values)
    return found

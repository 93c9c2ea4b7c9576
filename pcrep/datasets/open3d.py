"""Point clouds of Open3D, taken and given, and meshes through it.

What takes a ``Cloud`` from a user (``prepare``, ``encode``, ``SegmentationPipeline``) takes one of
Open3D; ``Cloud.to_open3d()`` gives one.
"""

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


def as_cloud(thing: Any) -> Cloud:
    """A cloud as it is, or that of Open3D's. Raises UserError for anything else."""
    if isinstance(thing, Cloud):
        return thing
    if is_open3d(thing):
        return from_open3d(thing)
    raise UserError(
        f"found a {type(thing).__name__}, expected a Cloud, as load_points reads it, or a "
        "PointCloud of Open3D"
    )


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
    open3d = _open3d("to_open3d")
    arrays = {name: values for name, values in cloud.arrays().items() if name != "objectness"}
    if cloud.origin is not None or cloud.unit != 1:
        arrays["coords"] = cloud.file_coords()
    names = {field: key for key, field in _FIELDS.items()}
    found = open3d.t.geometry.PointCloud()
    for name, values in arrays.items():
        values = np.ascontiguousarray(values).reshape(len(cloud), -1)
        found.point[names.get(name, name)] = open3d.core.Tensor.from_numpy(values)
    return found


def show(cloud: Cloud) -> None:
    """Open Open3D's viewer on a cloud and wait until it is closed; it needs a display.

    Raises UserError where open3d is missing or opens no window.
    """
    visualizer = _open3d("the viewer").visualization.Visualizer()
    if not visualizer.create_window(cloud.name or "a cloud"):
        raise UserError("Open3D opens no window on this display: use --output for a page")
    visualizer.add_geometry(to_open3d(cloud).to_legacy())
    visualizer.run()
    visualizer.destroy_window()


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), triangles (T, 3) int32 and colours of vertices (V, 3), or (0, 3), of a file.

    Raises UserError where open3d or the file is missing; of what it cannot read there are none.
    """
    open3d = _open3d(f"{path}: a mesh")
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected a mesh, give its path")
    quiet = open3d.utility.VerbosityLevel.Error
    with open3d.utility.VerbosityContextManager(quiet):
        mesh = open3d.io.read_triangle_mesh(str(path))
    vertices, triangles, colours = (
        np.asarray(part).reshape(-1, 3)
        for part in (mesh.vertices, mesh.triangles, mesh.vertex_colors)
    )
    return vertices, triangles, colours


def _open3d(who: str) -> Any:
    try:
        import open3d
    except ImportError:
        raise UserError(f"{who} needs open3d: pip install 'tspcrep[open3d]'") from None
    return open3d

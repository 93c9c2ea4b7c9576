"""PLY and PCD through Open3D, which keeps attributes beside coordinates and colours."""

from pathlib import Path

from pcrep.datasets.columns import Columns


def read(path: Path, max_points: int) -> Columns:
    import open3d

    quiet = open3d.utility.VerbosityLevel.Error
    with open3d.utility.VerbosityContextManager(quiet):
        cloud = open3d.t.io.read_point_cloud(str(path), format=path.suffix[1:])
    columns = {name: cloud.point[name].numpy() for name in cloud.point}
    names = {"positions": "coords", "colors": "colour", "normals": "normal"}
    columns = {names.get(name, name): values for name, values in columns.items()}
    return {
        name: values[:, 0] if values.shape[1] == 1 else values
        for name, values in columns.items()
        if name in ("coords", "colour", "normal", "label", "instance", "intensity")
    }

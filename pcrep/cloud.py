"""Point clouds in memory (Cloud), sets of them read on demand (Scenes), and their batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from tspcrep.common.checkpoints import fingerprint

_PER_POINT = (
    *("coords", "colour", "intensity", "normal", "height"),
    *("label", "instance", "segment"),
)
_SOURCE = (
    "name",
    "origin",
    "unit",
    "row",
    "upright",
)  # where the points came from, not what they are


@dataclass(frozen=True, eq=False)
class Cloud:
    """N points on the host, with the attributes that are known; the others are None.

    coords : (N, 3) float32, metres, finite.
    colour : (N, 3) float32 in 0 .. 1.
    intensity : (N,) float32 of the LiDAR return.
    normal : (N, 3) float32, unit length, of either sign.
    height : (N,) float32, metres over the ground.
    label : (N,) int64 class, -1 for unlabelled points.
    instance : (N,) int64 object, -1 for points of no object.
    segment : (N,) int64 in 0 .. S - 1 from an over-segmentation, -1 for none.
    objectness : (S,) float32 in 0 .. 1, how likely each segment is part of an object.
    name : source of the cloud, for messages.
    origin : (3,) float64 metres, what was subtracted from the coordinates; None for nothing.
    unit : metres of a unit of the file.
    row : (N,) int64, the row of each point in its file; None where they are all rows, in order.
    upright : whether :func:`pcrep.preparation.planes.upright` has seen the cloud.
    """

    coords: np.ndarray
    colour: np.ndarray | None = None
    intensity: np.ndarray | None = None
    normal: np.ndarray | None = None
    height: np.ndarray | None = None
    label: np.ndarray | None = None
    instance: np.ndarray | None = None
    segment: np.ndarray | None = None
    objectness: np.ndarray | None = None
    name: str = ""
    origin: np.ndarray | None = None
    unit: float = 1.0
    row: np.ndarray | None = None
    upright: bool = False

    def known(self, name: str) -> np.ndarray:
        """The values of an attribute; raises ValueError where the cloud lacks it."""
        values = getattr(self, name)
        if values is None:
            raise ValueError(f"{self.name or 'a cloud'} has no {name}, expected one that has")
        return values

    def __post_init__(self) -> None:
        if self.coords.ndim != 2 or self.coords.shape[1] != 3 or not len(self.coords):
            raise ValueError(f"coords have shape {self.coords.shape}, expected (N, 3), N > 0")
        for name in (*_PER_POINT[1:], "row"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.coords):
                raise ValueError(
                    f"{name} has {len(values)} rows, expected {len(self.coords)}, one per point"
                )

    def __len__(self) -> int:
        return len(self.coords)

    def take(self, rows: np.ndarray) -> "Cloud":
        """The points at ``rows`` (indices or a mask) with all their attributes."""
        known = {name: getattr(self, name) for name in _PER_POINT}
        taken = {n: v[rows] for n, v in known.items() if v is not None}
        return replace(self, **taken, row=self.rows()[rows])

    def rows(self) -> np.ndarray:
        """The row (N,) int64 of each point in its file."""
        return np.arange(len(self)) if self.row is None else self.row

    def file_coords(self) -> np.ndarray:
        """Coordinates (N, 3) float64 as they are in the file, of a cloud that was not turned."""
        return (self.coords + (np.zeros(3) if self.origin is None else self.origin)) / self.unit

    def to_open3d(self):
        """An ``open3d.t.geometry.PointCloud``: :func:`pcrep.datasets.open3d.to_open3d`."""
        from pcrep.datasets.open3d import to_open3d

        return to_open3d(self)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are known, by name, without those that say where the points came from."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _SOURCE}
        return {name: values for name, values in known.items() if values is not None}


@dataclass(frozen=True, eq=False)
class Scenes:
    """A set of clouds, each read when it is indexed; nothing is cached.

    name : name of the set, for messages.
    names : one per scene.
    read : index of a scene -> its cloud.
    classes : names of the labels 0, 1, ...; empty without labels.
    things : the classes that are objects (foreground); empty where unknown.
    numbers : of the classes in the files; empty where they are 0, 1, ... there too.
    """

    name: str
    names: tuple[str, ...]
    read: Callable[[int], Cloud]
    classes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Cloud:
        if not 0 <= index < len(self):  # so that iteration ends
            raise IndexError(f"scene {index} of {self.name}, which has {len(self)}")
        return self.read(index)

    def __iter__(self) -> Iterator[Cloud]:
        return (self[i] for i in range(len(self)))

    def fingerprint(self) -> str:
        """A hash of the names of the scenes and of the points of the first."""
        arrays = self[0].arrays().items()
        return fingerprint(*self.names, *(part for item in arrays for part in item))

    def subset(self, indices: Sequence[int]) -> "Scenes":
        """The scenes at ``indices``, in that order."""
        chosen = tuple(int(i) for i in indices)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            read=partial(_read_chosen, self.read, chosen),
        )

    def map(self, change: Callable[[Cloud], Cloud]) -> "Scenes":
        """The same scenes, with ``change`` applied to each as it is read."""
        return replace(self, read=partial(_read_changed, self.read, change))


# Functions of the module, so that scenes can be sent to the processes that load batches.
def _read_chosen(read: Callable[[int], Cloud], chosen: tuple[int, ...], index: int) -> Cloud:
    return read(chosen[index])


def _read_changed(
    read: Callable[[int], Cloud], change: Callable[[Cloud], Cloud], index: int
) -> Cloud:
    return change(read(index))


_KEPT = 20_000_000  # points that stay in memory, about 1 GB


class Batch:
    """The clouds of a training step. ``fit`` moves tensors to the device, but not this class."""

    def __init__(self, clouds: Sequence[Cloud]):
        self.clouds = tuple(clouds)


def keep(scenes: Scenes, most: int = _KEPT) -> Scenes:
    """The same scenes, of which the first read are cached in memory, up to ``most`` points.

    Sent to another process, they are read again there.
    """
    return replace(scenes, read=_Kept(scenes, most))


class _Kept:
    def __init__(self, scenes: Scenes, most: int):
        self.scenes, self.most = scenes, most
        self.kept: dict[int, Cloud] = {}

    def __call__(self, index: int) -> Cloud:
        if index in self.kept:
            return self.kept[index]
        cloud = self.scenes[index]
        if sum(map(len, self.kept.values())) + len(cloud) <= self.most:
            self.kept[index] = cloud
        return cloud

    def __getstate__(self) -> dict:
        return {**vars(self), "kept": {}}

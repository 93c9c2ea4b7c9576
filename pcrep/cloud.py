"""A point cloud with all that is known of its points, and scenes that are read on demand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

_PER_POINT = ("coords", "colour", "intensity", "normal", "label", "instance", "segment")


@dataclass(frozen=True, eq=False)
class Cloud:
    """N points on the host. What is not known is None.

    coords : (N, 3) float32, metres, finite.
    colour : (N, 3) float32 in 0 .. 1.
    intensity : (N,) float32, of a LiDAR's echo.
    normal : (N, 3) float32, length 1; the sign is not fixed.
    label : (N,) int64 class, -1 where there is none.
    instance : (N,) int64 object, -1 where there is none.
    segment : (N,) int64 in 0 .. S - 1 of an over-segmentation, -1 where there is none.
    objectness : (S,) float32 in 0 .. 1, how much a segment looks like part of an object.
    name : where it comes from, for messages.
    """

    coords: np.ndarray
    colour: np.ndarray | None = None
    intensity: np.ndarray | None = None
    normal: np.ndarray | None = None
    label: np.ndarray | None = None
    instance: np.ndarray | None = None
    segment: np.ndarray | None = None
    objectness: np.ndarray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.coords.ndim != 2 or self.coords.shape[1] != 3 or not len(self.coords):
            raise ValueError(f"coords have shape {self.coords.shape}, expected (N, 3), N > 0")
        for name in _PER_POINT[1:]:
            values = getattr(self, name)
            if values is not None and len(values) != len(self.coords):
                raise ValueError(
                    f"{name} has {len(values)} rows, expected {len(self.coords)}, one a point"
                )

    def __len__(self) -> int:
        return len(self.coords)

    def take(self, rows: np.ndarray) -> "Cloud":
        """The points ``rows``, indices or a mask, with all that is known of them."""
        known = {name: getattr(self, name) for name in _PER_POINT}
        return replace(self, **{n: v[rows] for n, v in known.items() if v is not None})

    def inputs(self) -> np.ndarray:
        """What a network sees of a point beside where it is: (N, 4) float32.

        The colour, 0 being grey, and a constant 1. A cloud without colour has zeros, as a view
        whose colour was dropped.
        """
        inputs = np.zeros((len(self), 4), np.float32)
        inputs[:, 3] = 1
        if self.colour is not None:
            inputs[:, :3] = self.colour - 0.5
        return inputs

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays that are known, by name."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}
        return {name: values for name, values in known.items() if values is not None}


@dataclass(frozen=True, eq=False)
class Scenes:
    """Clouds of one kind, each read when it is asked for and kept by no one.

    name : of the set, for messages.
    names : one a scene.
    read : the cloud of a scene's index.
    classes : what the labels 0, 1, ... mean; empty where there are none.
    things : those of the classes that are objects, the foreground; empty where that is not known.
    """

    name: str
    names: tuple[str, ...]
    read: Callable[[int], Cloud]
    classes: tuple[str, ...] = ()
    things: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Cloud:
        if not 0 <= index < len(self):  # so that iteration ends
            raise IndexError(f"scene {index} of {self.name}, which has {len(self)}")
        return self.read(index)

    def __iter__(self) -> Iterator[Cloud]:
        return (self[i] for i in range(len(self)))

    def subset(self, indices: Sequence[int]) -> "Scenes":
        """Some of the scenes, in the order given."""
        chosen = tuple(int(i) for i in indices)
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            read=lambda index: self.read(chosen[index]),
        )

    def map(self, change: Callable[[Cloud], Cloud]) -> "Scenes":
        """The same scenes, each changed as it is read."""
        return replace(self, read=lambda index: change(self.read(index)))


_KEPT = 20_000_000  # points that stay in memory, about 1 GB


class Batch:
    """The clouds of a step. ``fit`` moves tensors to its device and leaves other classes alone."""

    def __init__(self, clouds: Sequence[Cloud]):
        self.clouds = tuple(clouds)


def keep(scenes: Scenes, most: int = _KEPT) -> Scenes:
    """The same scenes; those read first stay in memory, ``most`` points in all."""
    kept: dict[int, Cloud] = {}

    def read(index: int) -> Cloud:
        if index in kept:
            return kept[index]
        cloud = scenes[index]
        if sum(map(len, kept.values())) + len(cloud) <= most:
            kept[index] = cloud
        return cloud

    return replace(scenes, read=read)

"""Coordinate manager: voxels of a cloud at each tensor stride, and cached kernel maps."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pcrep.sparse.coordinates import check_coordinates, check_multiples, show
from pcrep.sparse.engines import Engine, EngineName, Geometry, create
from pcrep.sparse.engines.base import Sizes, limit, per_axis
from pcrep.sparse.engines.torch import find, pack


@dataclass(frozen=True)
class _Level:
    """The voxels of one tensor stride.

    coordinates : (N, 1 + D). low, high : bounds of each axis, (0, ...) of an empty cloud. made :
    what the voxels are: "given", the "cells" of a finer level, or those that the taps of a
    geometry reach. version : torch's count of changes in place of the coordinates, or None.
    """

    coordinates: Tensor
    low: Sizes
    high: Sizes
    made: str | Geometry
    version: int | None

    @classmethod
    def of(cls, coordinates: Tensor, made: str | Geometry) -> "_Level":
        if len(coordinates):
            low, high = (tuple(v.tolist()) for v in coordinates[:, 1:].aminmax(dim=0))
        else:
            low = high = (0,) * (coordinates.shape[1] - 1)
        return cls(coordinates, low, high, made, _version(coordinates))


class Maps:
    """Coordinates by tensor stride and kernel maps by geometry, each computed once.

    Shared by all tensors derived from a cloud, so that the blocks of a level share kernel maps and
    a decoder reuses those of the encoder in reverse. (MinkowskiEngine: the coordinate manager.)

    Parameters
    ----------
    engine : computes the maps; it has inserted the coordinates.
    coordinates : (N, 1 + D) int32, distinct and checked rows [batch, x, y, z], multiples of
        ``stride``, that nobody else may change.
    stride : tensor stride of the coordinates.
    batch_size : number of batch elements, those without voxels included.
    """

    def __init__(self, engine: Engine, coordinates: Tensor, stride: Sizes, batch_size: int):
        self.engine = engine
        self.batch_size = batch_size
        self.dimension = coordinates.shape[1] - 1
        self._levels = {stride: _Level.of(coordinates, "given")}
        self._maps: dict[Geometry, Any] = {}
        self._onto: WeakKeyDictionary[Maps, dict[Geometry, Any]] = WeakKeyDictionary()
        self._generated: dict[Geometry, Maps] = {}
        self._moved: dict[torch.device, Maps] = {}
        self._sorted: dict[Sizes, tuple[Tensor, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """All but the kernel maps onto other clouds, which weak references do not let one copy."""
        return {name: value for name, value in self.__dict__.items() if name != "_onto"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _onto=WeakKeyDictionary())
        for stride, level in self._levels.items():  # a copy counts its changes from 0
            self._levels[stride] = _Level.of(level.coordinates, level.made)

    @property
    def strides(self) -> list[Sizes]:
        """Tensor strides that have voxels."""
        return sorted(self._levels)

    @property
    def device(self) -> torch.device:
        return next(iter(self._levels.values())).coordinates.device

    def coordinates(self, stride: int | Sizes) -> Tensor:
        """Voxels (N, 1 + D) at a tensor stride; not to be changed.

        Raises
        ------
        ValueError
            There are none, or somebody changed them.
        """
        return self._level(stride).coordinates

    def bounds(self, stride: int | Sizes) -> tuple[Sizes, Sizes]:
        """The lowest and the highest coordinate of the voxels of a stride, (0, ...) for none."""
        level = self._level(stride)
        return level.low, level.high

    def insert(self, coordinates: Tensor, stride: int | Sizes) -> None:
        """Set the voxels of a stride explicitly, in place of the cells of the finer one.

        Raises
        ------
        ValueError
            There are voxels at the stride, or these are invalid, repeated, of another device, or
            of batch elements that the cloud does not have.
        """
        stride = per_axis(stride, self.dimension, "stride")
        if stride in self._levels:
            raise ValueError(f"there are voxels at tensor stride {show(stride)} already")
        check_coordinates(coordinates)
        if coordinates.shape[1] != self.dimension + 1 or coordinates.device != self.device:
            raise ValueError(
                f"coordinates have {coordinates.shape[1] - 1} axes on {coordinates.device}, "
                f"expected {self.dimension} on {self.device}"
            )
        check_multiples(coordinates, stride)
        if len(coordinates) and int(coordinates[-1, 0]) >= self.batch_size:
            raise ValueError(
                f"the batch index reaches {int(coordinates[-1, 0])}, expected below the batch size "
                f"{self.batch_size} of the cloud"
            )
        coordinates = coordinates.clone(memory_format=torch.contiguous_format)
        first, _ = self.engine.insert(coordinates, stride)
        if len(first) < len(coordinates):
            raise ValueError(f"coordinates hold {len(coordinates) - len(first)} duplicate voxels")
        self._levels[stride] = _Level.of(coordinates, "given")

    def downsample(self, geometry: Geometry, reached: bool = False) -> None:
        """Compute the voxels of ``geometry.outputs`` unless they exist.

        They are the cells of those of ``geometry.inputs`` or, with ``reached``, every voxel that a
        tap connects to one, as in spconv. Where both strides are equal they are what is there.
        """
        if geometry.inputs == geometry.outputs:
            return
        made: str | Geometry = geometry if reached else "cells"
        known = self._levels.get(geometry.outputs)
        if known is not None:
            if known.made in ("given", made):
                return
            raise ValueError(
                f"the voxels at tensor stride {show(geometry.outputs)} are there already, and are "
                f"not the {'ones that the taps reach' if reached else 'cells'}; give all strided "
                "layers of a network the same sites"
            )
        fine = self._level(geometry.inputs)
        offsets = -geometry.offsets() if reached else None
        self._check_limits(fine, offsets, geometry.outputs)
        if offsets is not None:
            coarse = self._reached(fine.coordinates, offsets, geometry.outputs)
            coarse = coarse[self.engine.insert(coarse, geometry.outputs)[0]]
        else:
            inputs, outputs = geometry.inputs, geometry.outputs
            coarse = self.engine.downsample(fine.coordinates, inputs, outputs)
        self._levels[geometry.outputs] = _Level.of(coarse, made)

    def generated(self, geometry: Geometry) -> "Maps":
        """A cloud of every voxel at ``geometry.inputs`` that a tap of a voxel of ours reaches."""
        if geometry not in self._generated:
            coarse = self._level(geometry.outputs)
            self._check_limits(coarse, geometry.offsets())
            reached = self._reached(coarse.coordinates, geometry.offsets(), geometry.inputs)
            self._generated[geometry] = self.sibling(reached, geometry.inputs)
        return self._generated[geometry]

    @staticmethod
    def _reached(coordinates: Tensor, offsets: Tensor, stride: Sizes) -> Tensor:
        """Voxels at offsets (K, D) from coordinates (N, 1 + D) on the lattice of a stride."""
        steps = coordinates.new_tensor(stride)
        found = []
        for offset in offsets.to(coordinates):
            at = coordinates.clone()
            at[:, 1:] += offset
            found.append(at[(at[:, 1:] % steps == 0).all(1)])
        together = torch.cat(found)
        return together[together[:, 0].argsort(stable=True)]

    def sibling(self, coordinates: Tensor, stride: Sizes) -> "Maps":
        """Another cloud of the same batch, of valid coordinates that may repeat."""
        engine = create(self.engine.name, coordinates.device)
        first, _ = engine.insert(coordinates, stride)
        if len(first) < len(coordinates):
            coordinates = coordinates[first]
        return Maps(engine, coordinates, stride, self.batch_size)

    def to(self, device: torch.device) -> "Maps":
        """The same voxels on another device, with the engine of that device."""
        if device == self.device:
            return self
        if device not in self._moved:
            name: EngineName = "torch" if self.engine.name == "torch" else "auto"
            (stride, level), *others = self._levels.items()
            engine, coordinates = create(name, device), level.coordinates.to(device)
            engine.insert(coordinates, stride)
            moved = Maps(engine, coordinates, stride, self.batch_size)
            for stride, level in others:
                coordinates = level.coordinates.to(device)
                engine.insert(coordinates, stride)
                moved._levels[stride] = _Level.of(coordinates, level.made)
            self._moved[device] = moved
        return self._moved[device]

    def kernel_map(self, geometry: Geometry, onto: "Maps | None" = None) -> Any:
        """The kernel map of a geometry, onto voxels of ours or of another cloud.

        Raises
        ------
        ValueError
            There are no voxels at a stride, the other cloud has another engine or device, or
            neighbours are beyond the range of packed keys.
        """
        known = self._maps
        if onto is not None and onto is not self:
            check_alike(self, onto)
            known = self._onto.setdefault(onto, {})
        if geometry not in known:
            inputs = self._level(geometry.inputs)
            outputs = (self if onto is None else onto)._level(geometry.outputs)
            self._check_limits(outputs, geometry.offsets())
            made = self.engine.kernel_map(geometry, inputs.coordinates, outputs.coordinates)
            known[geometry] = made
        return known[geometry]

    def rows(self, coordinates: Tensor, stride: Sizes) -> Tensor:
        """The row (M,) of each voxel (M, 1 + D) of any order and number, -1 where there is none."""
        if stride not in self._sorted:
            self._sorted[stride] = pack(self.coordinates(stride)).sort()
        most = limit(self.dimension)
        xyz = coordinates[:, 1:]
        rows = find(*self._sorted[stride], pack(coordinates))
        return torch.where(((xyz >= -most) & (xyz < most)).all(1), rows, -1)

    def _level(self, stride: int | Sizes) -> _Level:
        stride = per_axis(stride, self.dimension, "stride")
        if stride not in self._levels:
            there = ", ".join(show(s) for s in self.strides)
            raise ValueError(f"no voxels at tensor stride {show(stride)}, found strides {there}")
        level = self._levels[stride]
        if level.version != _version(level.coordinates):
            raise ValueError(
                f"the coordinates at tensor stride {show(stride)} were changed in place after "
                "construction; make a new SparseTensor of changed coordinates"
            )
        return level

    def _check_limits(
        self, level: _Level, offsets: Tensor | None, stride: Sizes | None = None
    ) -> None:
        """Raise a ValueError where keys would overflow into the next axis.

        They are those of voxels at offsets (K, D) from a level, or of their cells of a stride.
        """
        down = up = (0,) * self.dimension
        if offsets is not None:
            down, up = (tuple(v.tolist()) for v in offsets.aminmax(dim=0))
        low = [a + b for a, b in zip(level.low, down, strict=True)]
        high = [a + b for a, b in zip(level.high, up, strict=True)]
        if stride is not None:
            low = [a // s * s for a, s in zip(low, stride, strict=True)]
        most = limit(self.dimension)
        if min(low) < -most or max(high) >= most:
            raise ValueError(
                f"coordinates span {list(level.low)} to {list(level.high)}, with neighbours and "
                f"cells {low} to {high}, expected to stay in [{-most}, {most}); subtract an origin "
                "from the coordinates"
            )


def check_alike(ours: Maps, theirs: Maps) -> None:
    """Raise a ValueError unless clouds have one engine, device, dimension and batch size."""

    def of(maps: Maps) -> tuple:
        return maps.engine.name, maps.device, maps.dimension, maps.batch_size

    if of(ours) != of(theirs):
        names = ("engine", "device", "number of axes", "batch size")
        pairs = zip(names, of(ours), of(theirs), strict=True)
        found = ", ".join(f"{name} {a} and {b}" for name, a, b in pairs if a != b)
        raise ValueError(f"two clouds have {found}, expected the same")


def _version(coordinates: Tensor) -> int | None:
    """Torch's count of changes in place, which inference tensors do not keep."""
    return None if coordinates.is_inference() else coordinates._version

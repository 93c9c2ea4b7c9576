"""Segment LAS and LAZ files of any size, from a copy of their points on disk.

The tiles and their points are those of :class:`pcrep.prediction.SegmentationPipeline`, and so are
the bits of what it finds; memory is bounded by a block of points, not by the file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from pcrep.cloud import Cloud
from pcrep.datasets.formats import las
from pcrep.datasets.formats.columns import Frame, frame_of, typed, white_of
from pcrep.encoders.inputs import completed, inputs_of, say_missing, strong_place
from pcrep.prediction import Prediction, SegmentationPipeline, first_half, halves
from pcrep.preparation.planes import may_be_from_camera
from tspcrep.common.errors import UserError

_BLOCK = 10_000_000
"""Points in memory at once, beside those of a tile."""
_CHUNK = 1_000_000
"""Points of a file read at once."""
_WIDTH = {"coords": 3, "colour": 3, "intensity": 1, "normal": 3, "height": 1}


def predict_file(
    pipeline: SegmentationPipeline,
    path: Path,
    folder: Path,
    unit: float = 1.0,
    bar: bool = False,
    block: int = _BLOCK,
    chunk: int = _CHUNK,
) -> Prediction:
    """Classes of all points of a LAS or LAZ file, as ``pipeline(load_points(path))`` has them.

    The arrays of the prediction lie in ``folder``, an empty one, as does about 60 bytes a point
    meanwhile. unit : metres of a unit of the file. block, chunk : points in memory.

    Raises UserError as ``load_points`` does, and for a file that may be of a depth camera, which
    would have to be turned upright as a whole.
    """
    scan = _spill(path, folder, unit, chunk, pipeline.segmenter.encoder.inputs)
    if scan.camera and pipeline.segmenter.upright:
        raise UserError(
            f"{path}: holds {scan.count:,} points of a depth camera, expected a scan with z up at "
            "that size; cut it into frames, one file each"
        )
    scan.blocks = _blocks(scan, max(block, pipeline.most))
    label = np.lib.format.open_memmap(folder / "label.npy", "w+", np.int16, (scan.count,))
    sure = np.lib.format.open_memmap(folder / "confidence.npy", "w+", np.float32, (scan.count,))
    overlap, names = pipeline.overlap, pipeline.segmenter.encoder.inputs
    _complete(scan, pipeline.most, overlap, names)
    strong = scan.strong if "intensity" in names else None
    with tqdm(total=scan.count, desc="predict", unit="point", disable=not bar, delay=2) as done:
        for _, inside, near in _tiles(scan, pipeline.most, overlap):
            part = scan.cloud(near)
            if not done.n:
                say_missing(part, names)
            values = inputs_of(part, names, strong)
            found = pipeline.predict_tile(part, part.coords - scan.shift, values)
            kept = np.searchsorted(near["row"], inside["row"])
            label[inside["row"]], sure[inside["row"]] = (values[kept] for values in found)
            done.update(len(inside))
    return Prediction(label, sure, pipeline.classes)


@dataclass
class _Scan:
    """Points of a file as records on disk.

    kind : of a record. shift : (3,) float32, the least coordinates. camera : whether it may be a
    frame of a depth camera. known : the fields that the file has.
    """

    path: Path
    spilled: Path
    count: int
    kind: np.dtype
    shift: np.ndarray
    known: set[str]
    camera: bool
    blocks: list["_Block"] = field(default_factory=list)

    def cloud(self, records: np.ndarray) -> Cloud:
        fields: dict[str, Any] = {n: np.ascontiguousarray(records[n]) for n in self.known}
        return Cloud(**fields, name=str(self.path), upright=True)

    def plan(self, records: np.ndarray) -> np.ndarray:
        return records["coords"][:, :2] - self.shift[:2]

    @property
    def strong(self) -> float | None:
        """The 95th percentile of the intensities, as of a cloud in memory."""
        if "intensity" not in self.known:
            return None
        rank, share = strong_place(self.count)

        def values() -> Iterator[np.ndarray]:
            for block in self.blocks:
                for part in _parts(block.open()):
                    yield part["intensity"]

        low = nth_smallest(values, rank)
        high = nth_smallest(values, min(rank + 1, self.count - 1))
        return (1 - share) * low + share * high


@dataclass(frozen=True)
class _Block:
    """A file of records, in the order of the rows. low, high : (2,) float32 of the plan."""

    path: Path
    kind: np.dtype
    low: np.ndarray
    high: np.ndarray

    def open(self) -> np.ndarray:
        return np.memmap(self.path, self.kind, "r+")


def _parts(records: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(records), _CHUNK):
        yield records[start : start + _CHUNK]


def _spill(path: Path, folder: Path, unit: float, chunk: int, names: tuple[str, ...]) -> _Scan:
    """The points of a file, written to disk as ``load_points`` would have them."""
    frame, known, white = _survey(path, unit, chunk)
    known = {"coords", *(known & set(names))}
    fields = [*known, *(name for name in ("height", "normal") if name in {*names} - known)]
    shapes = [(name, "<f4", (_WIDTH[name],) if _WIDTH[name] > 1 else ()) for name in fields]
    kind, start, camera = np.dtype([("row", "<i8"), *shapes]), 0, True
    shift = np.full(3, np.inf, np.float32)
    spilled = folder / "points"
    with spilled.open("wb") as out:
        for columns in las.chunks(path, chunk):
            records = np.zeros(len(columns["coords"]), kind)
            records["row"] = np.arange(start, start + len(records))
            records["coords"] = frame.apply(columns["coords"])
            for name in known - {"coords"}:
                records[name] = typed(name, columns[name], path, white)
            shift = np.minimum(shift, records["coords"].min(0))
            camera = camera and may_be_from_camera(records["coords"])
            records.tofile(out)
            start += len(records)
    return _Scan(path, spilled, start, kind, shift, known, camera)


def _survey(path: Path, unit: float, chunk: int) -> tuple[Frame, set[str], int]:
    """How coordinates become metres, the fields that are set, and the value of white."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    set_: dict[str, np.ndarray] = {}
    unset, bright, kind = set(), 0.0, np.dtype("u2")
    for columns in las.chunks(path, chunk):
        low = np.minimum(low, columns["coords"].min(0))
        high = np.maximum(high, columns["coords"].max(0))
        for name in {*columns} & {"colour", "intensity", "normal"}:
            values = columns[name]
            usable = np.isfinite(values).all()
            if not usable or (name == "normal" and not values.any(1).all()):
                unset.add(name)
            set_[name] = set_.get(name, False) | (values != 0).any(0)
        if "colour" in columns:
            bright, kind = max(bright, float(columns["colour"].max())), columns["colour"].dtype
    known = {name for name, any_ in set_.items() if np.all(any_) or name == "normal"} - unset
    return frame_of(low, high, unit, path), known, white_of(bright, kind)


def _blocks(scan: _Scan, most: int) -> list[_Block]:
    """The records in files of at most ``most``, halved as tiles are."""
    stack, found = [scan.spilled], []
    while stack:
        path = stack.pop()
        records = np.memmap(path, scan.kind, "r")
        edges = [((p := scan.plan(part)).min(0), p.max(0)) for part in _parts(records)]
        low, high = np.min([e[0] for e in edges], 0), np.max([e[1] for e in edges], 0)
        if len(records) <= most:
            found.append(_Block(path, scan.kind, low, high))
            continue
        axis, half = int(np.argmax(high - low)), len(records) // 2

        def column(records=records, axis=axis) -> Iterator[np.ndarray]:
            for part in _parts(records):
                yield scan.plan(part)[:, axis]

        value = nth_smallest(column, half)
        ties = value == low[axis]
        children = [path.with_name(f"{path.name}{i}") for i in range(2)]
        start = 0
        with children[0].open("wb") as one, children[1].open("wb") as other:
            for part, values in zip(_parts(records), column(), strict=True):
                first = first_half(values, float(value), ties, half - start)
                part[first].tofile(one)
                part[~first].tofile(other)
                start += len(part)
        del records
        path.unlink()
        stack += children
    return found


def nth_smallest(chunks: Callable[[], Iterator[np.ndarray]], rank: int) -> np.float32:
    """The value of float32 that ``rank`` others come before, in two passes over chunks."""
    high = np.zeros(1 << 16, np.int64)
    for part in chunks():
        high += np.bincount(_keys(part) >> 16, minlength=1 << 16)
    upper = int(np.searchsorted(np.cumsum(high), rank, "right"))
    rank -= int(high[:upper].sum())
    low = np.zeros(1 << 16, np.int64)
    for part in chunks():
        keys = _keys(part)
        low += np.bincount(keys[keys >> 16 == upper] & 0xFFFF, minlength=1 << 16)
    key = np.uint32(upper << 16 | int(np.searchsorted(np.cumsum(low), rank, "right")))
    bits = key ^ np.uint32(1 << 31) if key >> 31 else ~key
    return np.array([bits], np.uint32).view(np.float32)[0]


def _keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers (N,) uint32 in the order of float32 values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits ^ np.uint32(1 << 31))


def _tiles(
    scan: _Scan, most: int, overlap: float
) -> Iterator[tuple[tuple[_Block, np.ndarray], np.ndarray, np.ndarray]]:
    """The block and places of each tile, its records, and those with all around it, rows rising."""
    for block in scan.blocks:
        records = block.open()
        plan = scan.plan(records)
        for places in halves(plan, most):
            low, high = plan[places].min(0) - overlap, plan[places].max(0) + overlap
            near = [
                part[((here := scan.plan(part)) >= low).all(1) & (here <= high).all(1)]
                for other in scan.blocks
                if (other.high >= low).all() and (other.low <= high).all()
                for part in _parts(other.open())
            ]
            around = np.concatenate(near)
            yield (block, places), records[places], around[np.argsort(around["row"])]


def _complete(scan: _Scan, most: int, overlap: float, names: tuple[str, ...]) -> None:
    """Find heights and normals where the network reads them, tile by tile."""
    missing = {"height", "normal"} & set(names) - scan.known
    if not missing:
        return
    for (block, places), inside, near in _tiles(scan, most, overlap):
        part = completed(scan.cloud(near), names)
        kept = np.searchsorted(near["row"], inside["row"])
        records = block.open()
        for name in missing:
            records[name][places] = getattr(part, name)[kept]
    scan.known |= missing

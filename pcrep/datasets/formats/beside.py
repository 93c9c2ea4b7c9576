"""Labels in a file beside the cloud.

cloud              labels                                        in it
a.bin, any other   a.label, ../labels/a.label                    32-bit words (SemanticKITTI)
any                a.labels                                      a number in each line
any                a.labels.npy                                  (N,) whole numbers
points/a.bin       ../semantic_mask/a.bin, ../instance_mask/...  64-bit numbers (mmdetection3d)
"""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns
from tspcrep.common.arrays import read_array
from tspcrep.common.errors import UserError

NONE = 0xFFFF
"""The label of no class in a ``.label`` file."""
_MASKS = {"label": "semantic_mask", "instance": "instance_mask"}


def label_file(path: Path) -> Path | None:
    """Path of the ``.label`` of a frame, or None."""
    beside = path.with_suffix(".label")
    apart = path.parent.parent / "labels" / beside.name
    return next((place for place in (beside, apart) if place.is_file()), None)


def read_labels(path: Path, count: int, row: np.ndarray | None) -> Columns:
    """``label`` and ``instance`` of the points of a cloud file; {} where no file beside has them.

    A word of SemanticKITTI holds the label in its lower half. ``instance`` is the whole word where
    the upper half is not 0, else -1, since the upper half alone restarts for each class.

    row : of each point in the file, where not all ``count`` were read.
    """
    found = _all_labels(path)
    for place, values in found.values():
        most = count if row is None else int(row.max()) + 1
        if len(values) < most or (row is None and len(values) > most):
            raise UserError(
                f"{place}: holds {len(values)} labels, expected {count if row is None else most}, "
                f"one for each of the points of {path.name}; the two do not belong together or one "
                "is cut off"
            )
    return {n: values if row is None else values[row] for n, (_, values) in found.items()}


def _all_labels(path: Path) -> dict[str, tuple[Path, np.ndarray]]:
    """The file and the labels, by field."""
    if place := label_file(path):
        words = _whole_file(place, "<u4").astype(np.int64)
        label = words & 0xFFFF
        label[label == NONE] = -1
        return {"label": (place, label), "instance": (place, np.where(words >> 16, words, -1))}
    for suffix, read in ((".labels", _of_lines), (".labels.npy", _of_array)):
        place = path.with_suffix(suffix)
        if place.is_file():
            return {"label": (place, read(place))}
    masks = {n: path.parent.parent / folder / path.name for n, folder in _MASKS.items()}
    inside = path.parent.name == "points"
    return {n: (p, _whole_file(p, "<i8")) for n, p in masks.items() if inside and p.is_file()}


def _whole_file(place: Path, kind: str) -> np.ndarray:
    size, each = place.stat().st_size, np.dtype(kind).itemsize
    if size % each:
        raise UserError(
            f"{place}: {size} bytes, expected {each} for each point; it is cut off or of another "
            "kind"
        )
    return np.fromfile(place, kind)


def _of_lines(place: Path) -> np.ndarray:
    try:
        return np.loadtxt(place, np.int64, ndmin=1)
    except ValueError as error:
        raise UserError(f"{place}: {error}; expected a whole number in each line") from None


def _of_array(place: Path) -> np.ndarray:
    values = read_array(place)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UserError(
            f"{place}: holds {values.dtype} of shape {values.shape}, expected whole numbers (N,)"
        )
    return values

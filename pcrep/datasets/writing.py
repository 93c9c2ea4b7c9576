"""Write classes of points back into the format that they came in."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pcrep.datasets.formats import find_format, las
from pcrep.datasets.formats.columns import Format
from pcrep.datasets.formats.fields import Fields
from pcrep.datasets.reading import ASPRS
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically


def target_of(source: Path, target: Path) -> Path:
    """Path that :func:`write_fields` writes to: ``target`` with the suffix of what is written.

    Raises UserError where nothing can be written for the format of the source.
    """
    format, _ = _writer(source)
    return target.with_suffix(format.written) if format.written else target


def write_fields(source: Path, target: Path, fields: Fields) -> None:
    """Write the file ``source`` to ``target``, with the fields of its points.

    ======================  ====================================================================
    .las, .laz              dimensions label and confidence; the classification; colours where the
                            point format has them
    .ply, .pcd              fields label and confidence, and red, green, blue, or rgb
    .npz, .npy              an NPZ with arrays label, confidence and colour
    .bin                    a .label file of the classes' numbers, .confidence.npy (N,) beside it
    text                    columns label, confidence, red, green, blue, and a line of names
    ======================  ====================================================================

    All else of the source stays as it is, in its order. A point that is not known has label -1; in
    a ``.label`` 65535, or 0 where no class has that number.

    Raises UserError as :func:`target_of`, and where the source has changed since it was read or the
    target cannot be written.
    """
    _, write = _writer(source)
    write_atomically(target, lambda file: write(source, file, fields))
    if target.suffix == ".label":
        confidence = np.zeros(target.stat().st_size // 4, np.float32)
        confidence[fields.row] = fields.confidence
        place = target.with_suffix(".confidence.npy")
        write_atomically(place, lambda file: np.save(file, confidence))


def _writer(source: Path) -> tuple[Format, Callable[[Path, BinaryIO, Fields], None]]:
    format = find_format(source)
    if format.write is None:
        raise UserError(
            f"{source}: {format.name} is read alone, expected LAS, PLY, PCD, NPZ, text or KITTI to "
            "write classes to; save it in one of these"
        )
    return format, format.write


def class_numbers(
    target: Path, classes: tuple[str, ...], numbers: tuple[int, ...] = ()
) -> np.ndarray:
    """Number (C,) of each class in a LAS classification or a ``.label``.

    It is that of the files that were learnt from, ``numbers``. Without one for each class it is, in
    LAS, the code of the ASPRS, where all classes have a name of the ASPRS; else the index.
    """
    if len(numbers) == len(classes):
        return np.array(numbers)
    known = [ASPRS.get(name.lower()) for name in classes]
    if target.suffix.lower() not in las.FORMAT.suffixes or None in known:
        return np.arange(len(classes))
    return np.array(known)

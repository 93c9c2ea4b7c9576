"""Arrays in files of NumPy, ``.npy`` and ``.npz``. Nothing is unpickled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """The array of a ``.npy``. mapped: leave it on the disk.

    Raises UserError where the file is missing, damaged, or holds no numbers and no text.
    """
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        return array if mapped else _checked(array)
    except Exception as error:  # a damaged file makes NumPy raise almost anything
        raise _unreadable(path, "NPY", "an array", "save", error) from None


def read_arrays(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """The arrays of a ``.npz`` by their names, of those that are ``wanted``.

    Raises UserError as :func:`read_array`.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: _checked(archive[name]) for name in archive.files if wanted(name)}
    except Exception as error:
        raise _unreadable(path, "NPZ", "arrays", "savez", error) from None


def _checked(array: object) -> np.ndarray:
    """Raise ValueError for bytes that are no array, and for text of codes that there are not."""
    if not isinstance(array, np.ndarray):
        raise ValueError("a member is no array")
    if array.dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), np.dtype("u4").newbyteorder(array.dtype.byteorder))
        if codes.max(initial=0) > 0x10FFFF:
            raise ValueError("text with characters that there are not")
    return array


def _unreadable(path: Path, kind: str, what: str, write: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if "pickle" in reason:  # NumPy's word for any file without its mark; its advice is to trust it
        reason = "it holds Python objects, or is another file"
    return UserError(
        f"{path}: cannot be read as {kind} ({reason}), expected {what} of numbers or text; write "
        f"it again with numpy.{write}"
    )

"""The order of files by the numbers in their names."""

import re
from collections.abc import Iterable
from pathlib import Path


def natural(paths: Iterable[Path]) -> list[Path]:
    """Natural sort order: scene2 before scene10, a.npy before a.npz."""

    def key(path: Path):
        words = re.split(r"(\d+)", str(path.with_suffix("")))
        order = [(int(word), "") if word.isdecimal() else (-1, word) for word in words]
        return order, path.suffix  # without it, files of one stem come in the order of a set

    return sorted(paths, key=key)

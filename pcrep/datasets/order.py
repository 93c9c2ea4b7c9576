"""The order of files by the numbers in their names."""

import re
from collections.abc import Iterable
from pathlib import Path


def natural(paths: Iterable[Path]) -> list[Path]:
    """Natural sort order: scene2 before scene10."""

    def key(path: Path):
        words = re.split(r"(\d+)", str(path.with_suffix("")))
        return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]

    return sorted(paths, key=key)

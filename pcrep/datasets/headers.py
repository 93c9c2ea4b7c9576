"""What PLY and PCD share: lines of text that say what records follow, then the records."""

from pathlib import Path

import numpy as np

from common.errors import UserError

LONGEST = 1 << 16  # bytes of a header


def header(path: Path, last: str, name: str) -> tuple[list[list[str]], int]:
    """Words of each line up to the one that begins with ``last``, and the byte after that one."""
    lines: list[list[str]] = []
    with path.open("rb") as file:
        while file.tell() < LONGEST and (raw := file.readline(LONGEST)):
            lines.append(raw.decode("latin1").split())
            if lines[-1][:1] == [last] and raw.endswith(b"\n"):
                return lines, file.tell()
    raise UserError(
        f"{path}: its {name} header has no line {last}, expected one before the points; the file "
        "is cut off or damaged, get it again"
    )


def records(path: Path, start: int, count: int, record: np.dtype) -> np.ndarray:
    """``count`` binary records from the byte ``start`` on, left on disk."""
    judge_whole(path, max(0, path.stat().st_size - start) // record.itemsize, count)
    return np.memmap(path, record, "r", start, count)


def judge_whole(path: Path, found: int, count: int) -> None:
    """Raise UserError where a file holds fewer points than its header says."""
    if found < count:
        raise UserError(
            f"{path}: holds {found} points, expected {count} from its header; it is cut off, get "
            "it again"
        )

"""ARFF of series of several channels, as in the UEA archive: a relational attribute and a class.

    @attribute walk relational
    @attribute t0 numeric
    @attribute t1 numeric
    @end walk
    @attribute activity {run,rest}
    @data
    "0.1,0.2\\n5,6",run

A row is one series. Its channels stand between quotes, apart by a backslash and n; their steps are
the numeric attributes, ? where missing.
"""

import re
from pathlib import Path

import numpy as np

from tspcrep.common.errors import UserError

_RELATION = re.compile(r"@attribute\s+(\S+|'[^']+'|\"[^\"]+\")\s+relational$", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"@attribute\s", re.IGNORECASE)
_END = re.compile(r"@end\b", re.IGNORECASE)
_ROW = re.compile(r"""(?P<quote>["'])(?P<channels>.*?)(?P=quote)\s*,\s*(?P<label>[^,]+)$""")


def read_relational(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Values (N, T, C), NaN where missing, and classes (N,); None without a relational attribute.

    Raises UserError where anything but one class stands beside the series, and for a row that has
    another number of channels or of steps than the rest, or no numbers. Raises OSError and
    UnicodeDecodeError as they come.
    """
    head, rows = _parts(path)
    opened = [i for i, line in enumerate(head) if _RELATION.match(line)]
    if not opened:
        return None
    closed = next((i for i, line in enumerate(head) if _END.match(line)), len(head))
    inside = sum(bool(_ATTRIBUTE.match(line)) for line in head[opened[0] + 1 : closed])
    outside = sum(bool(_ATTRIBUTE.match(line)) for line in (*head[: opened[0]], *head[closed:]))
    if len(opened) != 1 or outside != 1 or opened[0] != _first_attribute(head) or not inside:
        raise UserError(
            f"{path}: expected one relational attribute of numeric ones, and the class behind it"
        )
    if not rows:
        raise UserError(f"{path} has no rows behind @data, expected one for each series")
    found = [_row(line, inside, f"{path}: row {i}") for i, line in enumerate(rows, start=1)]
    channels = {len(values) for values, _ in found}
    if len(channels) > 1:
        raise UserError(f"{path}: series have {sorted(channels)} channels, expected the same")
    values = np.stack([values for values, _ in found]).transpose(0, 2, 1)
    return values, np.array([label for _, label in found], dtype=str)


def _parts(path: Path) -> tuple[list[str], list[str]]:
    """The lines of the header and of the data, without empty ones and remarks."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("%")]
    start = next((i for i, line in enumerate(lines) if line.lower() == "@data"), len(lines))
    return lines[:start], lines[start + 1 :]


def _first_attribute(head: list[str]) -> int:
    return next(i for i, line in enumerate(head) if _ATTRIBUTE.match(line))


def _row(line: str, steps: int, where: str) -> tuple[np.ndarray, str]:
    """Channels (C, T) and the class of one series."""
    row = _ROW.match(line)
    if row is None:
        raise UserError(f"{where} is no series in quotes and a class: {line[:60]!r}")
    try:
        channels = [
            [float("nan") if cell.strip() == "?" else float(cell) for cell in channel.split(",")]
            for channel in row["channels"].split(r"\n")
        ]
    except ValueError as error:
        raise UserError(f"{where}: {error}, expected a number, or ? where it is missing") from None
    lengths = sorted({len(channel) for channel in channels})
    if lengths != [steps]:
        raise UserError(f"{where} has channels of {lengths} steps, expected {steps} as declared")
    return np.array(channels), row["label"].strip().strip("'\"")

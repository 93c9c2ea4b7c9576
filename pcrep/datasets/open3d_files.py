"""PLY and PCD through Open3D, which keeps attributes beside coordinates and colours.

Open3D returns as many points as the header says even where the file ends before them, so headers
are read here too.
"""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.datasets.columns import Columns, judge_count, select

LONGEST_HEADER = 1 << 16  # bytes


def read_ply(path: Path, max_points: int) -> Columns:
    """Columns of the vertices of a PLY; its faces are left out."""
    lines, _ = _header(path, "end_header", "PLY")
    counts = [line[2] for line in lines if line[:2] == ["element", "vertex"]]
    if not counts or not counts[0].isdigit():
        raise UserError(f"{path}: its header has no element vertex, expected points in it")
    judge_count(int(counts[0]), path, max_points)
    if int(counts[0]) == 0:
        return {"coords": np.empty((0, 3))}
    return select(_read(path, "ply"), path)


def read_pcd(path: Path, max_points: int) -> Columns:
    """Columns of a PCD.

    Where the points are the pixels of an image (HEIGHT above 1), those without depth are NaN: they
    are left out here, and are no reason for a warning.
    """
    lines, end = _header(path, "DATA", "PCD")
    header = {line[0]: line[1:] for line in lines if line}
    try:
        height, count = (int(header[name][0]) for name in ("HEIGHT", "POINTS"))
        sizes, counts = ([int(n) for n in header[name]] for name in ("SIZE", "COUNT"))
        kind = header["DATA"][0].lower()
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"{path}: its PCD header lacks numbers ({error}), expected HEIGHT, POINTS, SIZE and "
            "COUNT; write it again"
        ) from None
    judge_count(count, path, max_points)
    if count == 0:
        return {"coords": np.empty((0, 3))}
    record = sum(size * number for size, number in zip(sizes, counts, strict=False))
    if kind == "binary" and path.stat().st_size < end + count * record:
        found = (path.stat().st_size - end) // record
        raise _cut_off(path, f"holds {found} points, expected {count}")
    if kind == "ascii":
        _judge_lines(path, end, count, sum(counts))
    columns = select(_read(path, "pcd"), path)
    if height > 1:
        seen = ~np.isnan(columns["coords"]).any(axis=1)
        columns = {name: values[seen] for name, values in columns.items()}
    return columns


def _cut_off(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what} from its header; it is cut off, get it again")


def _header(path: Path, last: str, name: str) -> tuple[list[list[str]], int]:
    """Words of each line up to the one that begins with ``last``, and where that one ends."""
    lines: list[list[str]] = []
    with path.open("rb") as file:
        while file.tell() < LONGEST_HEADER and (raw := file.readline(LONGEST_HEADER)):
            lines.append(raw.decode("latin1").split())
            if lines[-1][:1] == [last]:
                return lines, file.tell()
    raise UserError(
        f"{path}: its {name} header has no line {last}, expected one before the points; the file "
        "is cut off or damaged, get it again"
    )


def _judge_lines(path: Path, start: int, count: int, width: int) -> None:
    """Raise UserError where an ASCII file has fewer lines than points, or its last is short."""
    found, last = 0, b""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.strip():
                found, last = found + 1, line
    if found < count:
        raise _cut_off(path, f"holds {found} points, expected {count}")
    if found == count and len(last.split()) < width:
        raise _cut_off(path, f"its last line has {len(last.split())} numbers, expected {width}")


def _read(path: Path, kind: str) -> dict[str, np.ndarray]:
    """All attributes of the points, by Open3D's names."""
    try:
        import open3d
    except ImportError:
        raise UserError("PLY and PCD files need Open3D: pip install 'tspcrep[points]'") from None
    with _overhearing() as said:
        try:
            points = open3d.t.io.read_point_cloud(str(path), format=kind).point
        except RuntimeError as error:
            said.append(str(error))
    if said[0] or len(said) > 1 or "positions" not in points:
        reason = " ".join(" ".join(said).split())
        raise UserError(
            f"{path}: Open3D cannot read it ({reason}); it is cut off or damaged, write it again"
        )
    return {name: points[name].numpy() for name in points}


@contextlib.contextmanager
def _overhearing() -> Iterator[list[str]]:
    """Hold back what Open3D and the C library in it print, and put it in a list at the end.

    That is the only way in which they tell that a file ends too early.
    """
    said: list[str] = []
    printed = io.StringIO()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        screen = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            with contextlib.redirect_stdout(printed):
                yield said
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            file.seek(0)
            said.insert(0, printed.getvalue() + file.read().decode("utf-8", "replace"))

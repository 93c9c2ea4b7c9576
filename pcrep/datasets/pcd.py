"""PCD through Open3D.

Open3D returns as many points as the header says even where the file ends before them, so the header
is read here too.
"""

import contextlib
import io
import re
from pathlib import Path

import numpy as np

from common.errors import UserError
from pcrep.datasets.columns import Columns, judge_count, select
from pcrep.datasets.headers import cut_off, header


def read(path: Path, max_points: int) -> Columns:
    """Columns of a PCD.

    Where the points are the pixels of an image (HEIGHT above 1), those without depth are NaN: they
    are left out here, and are no reason for a warning.
    """
    lines, end = header(path, "DATA", "PCD")
    fields = {line[0]: line[1:] for line in lines if line}
    try:
        height, count = (int(fields[name][0]) for name in ("HEIGHT", "POINTS"))
        sizes = [int(size) for size in fields["SIZE"]]
        counts = [int(number) for number in fields.get("COUNT", ["1"] * len(sizes))]
        kind = fields["DATA"][0].lower()
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"{path}: its PCD header lacks numbers ({error}), expected HEIGHT, POINTS and "
            "SIZE; write it again"
        ) from None
    judge_count(count, path, max_points)
    if count == 0:
        return {"coords": np.empty((0, 3))}
    record = sum(size * number for size, number in zip(sizes, counts, strict=False))
    if kind == "binary" and path.stat().st_size < end + count * record:
        found = (path.stat().st_size - end) // record
        raise cut_off(path, f"holds {found} points, expected {count}")
    if kind == "ascii":
        _judge_lines(path, end, count, sum(counts))
    columns = select(_points(path, count), path)
    if height > 1:
        seen = ~np.isnan(columns["coords"]).any(axis=1)
        columns = {name: values[seen] for name, values in columns.items()}
    return columns


def _judge_lines(path: Path, start: int, count: int, width: int) -> None:
    """Raise UserError where an ASCII file has fewer lines than points, or its last is short."""
    found, last = 0, b""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.strip():
                found, last = found + 1, line
    if found < count:
        raise cut_off(path, f"holds {found} points, expected {count}")
    if found == count and len(last.split()) < width:
        raise cut_off(path, f"its last line has {len(last.split())} numbers, expected {width}")


def _points(path: Path, count: int) -> dict[str, np.ndarray]:
    """All attributes of the points, by Open3D's names."""
    try:
        import open3d
    except ImportError:
        raise UserError("PCD files need Open3D: pip install 'tspcrep[points]'") from None
    with contextlib.redirect_stdout(io.StringIO()) as said:  # where it tells what went wrong
        points = open3d.t.io.read_point_cloud(str(path), format="pcd").point
    if "positions" not in points:
        reason = " ".join(re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).split())
        raise UserError(
            f"{path}: Open3D cannot read it ({reason}), expected x, y, z of {count} points; it is "
            "cut off or damaged, write it again"
        )
    return {name: points[name].numpy() for name in points}

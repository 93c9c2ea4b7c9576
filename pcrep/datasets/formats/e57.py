"""E57, of terrestrial scanners, read through pye57."""

from pathlib import Path

import numpy as np

from pcrep.datasets.formats.columns import Columns, Format, select
from pcrep.datasets.formats.records import judge_count
from tspcrep.common.errors import UserError

_NAMES = {
    **{f"cartesian{axis.upper()}": axis for axis in "xyz"},
    **{f"color{name.capitalize()}": name for name in ("red", "green", "blue")},
    "intensity": "intensity",
}


def _read(path: Path, max_points: int) -> Columns:
    """Columns of all scans of a file, in its common frame; fields that not all have are left out.

    Points that a scan marks as invalid are left out.
    """
    try:
        import pye57
    except ImportError:
        raise UserError("E57 files need pye57: pip install 'tspcrep[e57]'") from None
    try:
        file = pye57.E57(str(path))
        count = sum(file.get_header(i).point_count for i in range(file.scan_count))
        judge_count(count, path, max_points)
        options = {"intensity": True, "colors": True, "ignore_missing_fields": True}
        scans = [file.read_scan(i, **options) for i in range(file.scan_count)]
    except UserError:
        raise
    except Exception as error:  # of the library's many kinds
        raise UserError(
            f"{path}: cannot be read as E57 ({' '.join(str(error).split())[:200]}); it is cut off "
            "or damaged, get it again"
        ) from None
    if not scans:
        return {"coords": np.empty((0, 3))}
    shared = set.intersection(*(set(scan) for scan in scans)) & set(_NAMES)
    return select({_NAMES[n]: np.concatenate([s[n] for s in scans]) for n in shared}, path)


FORMAT = Format("E57", (".e57",), _read, (b"ASTM-E57",))

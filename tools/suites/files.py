"""Where the real series and points are that suites measure on."""

import os
from pathlib import Path

from tspcrep.common.errors import UserError


def data_file(name: str) -> Path:
    """The file of that name in $TSPCREP_DATA; raises UserError where it is not."""
    path = Path(os.environ.get("TSPCREP_DATA") or ".") / name
    if not path.exists():
        raise UserError(f"{path}: no such file; set TSPCREP_DATA to the folder that holds {name}")
    return path

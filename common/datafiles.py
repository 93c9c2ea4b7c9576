"""Locate the files of named data sets, for series and for points."""

import os
from pathlib import Path

import pooch

from tspcrep.common.errors import UserError


def cache_folder() -> Path:
    """The user cache folder that ``tools/prepare_data.py`` fills."""
    return Path(pooch.os_cache("tspcrep"))


def find(name: str, path: str, kind: str, root: str | Path | None, remedy: str) -> Path:
    """Find the file or folder ``path`` of the named data set ``name``.

    It is searched in ``root``, then ``$TSPCREP_DATA``, then the user cache, directly or in the
    subfolder ``kind``. If none has it, UserError names all three and ends with the ``remedy``.
    """
    environment = os.environ.get("TSPCREP_DATA") or None
    for folder in (root, environment, cache_folder()):
        if folder is None:
            continue
        for found in (Path(folder) / path, Path(folder) / kind / path):
            if found.exists():
                return found
    raise UserError(
        f"{name} was not found: no {path} in --data-root ({root or 'not given'}), "
        f"$TSPCREP_DATA ({environment or 'not set'}) or the cache {cache_folder()}, directly or "
        f"under {kind}/; {remedy}"
    )

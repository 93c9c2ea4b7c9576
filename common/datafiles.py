"""Where the data that have a name lie: one search for series and for points."""

import os
from pathlib import Path

import pooch

from tspcrep.common.errors import UserError


def cache_folder() -> Path:
    """Folder of the user cache that ``tools/prepare_data.py`` fills."""
    return Path(pooch.os_cache("tspcrep"))


def find(name: str, path: str, kind: str, root: str | Path | None, remedy: str) -> Path:
    """The file or folder ``path`` of the named set ``name``.

    Looked for in ``root``, then ``$TSPCREP_DATA``, then the user cache, each directly or in its
    subfolder ``kind``. Raises UserError, naming all three and then the ``remedy``, where none has
    it.
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

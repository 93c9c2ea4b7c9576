"""Locate the files of named data sets, for series and for points."""

import os
from collections.abc import Iterator
from pathlib import Path

import pooch

from tspcrep.common.errors import UserError


def cache_folder() -> Path:
    """The user cache folder that ``tools/prepare_data.py`` fills."""
    try:
        return Path(pooch.os_cache("tspcrep"))
    except RuntimeError as error:
        raise UserError(
            "the user has no home directory to keep data below, as in some containers: set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from error


def find(name: str, path: str, kind: str, root: str | Path | None, remedy: str) -> Path:
    """Find the file or folder ``path`` of the named data set ``name``.

    It is searched in ``root``, then ``$TSPCREP_DATA``, then the user cache, directly or in the
    subfolder ``kind``. If none has it, UserError names all three and ends with the ``remedy``.
    """
    environment = os.environ.get("TSPCREP_DATA") or None

    def folders() -> Iterator[str | Path]:
        yield from (folder for folder in (root, environment) if folder is not None)
        yield cache_folder()  # asked for last: without a home there is none

    for folder in folders():
        for found in (Path(folder) / path, Path(folder) / kind / path):
            if found.exists():
                return found
    raise UserError(
        f"{name} was not found: no {path} in --data-root ({root or 'not given'}), "
        f"$TSPCREP_DATA ({environment or 'not set'}) or the cache {cache_folder()}, directly or "
        f"under {kind}/; {remedy}"
    )

"""Fetch the named series, checked against their sha256, for every other tool to find.

    python tools/prepare_data.py
    python tools/prepare_data.py --names ETTh1 WTH --data-root data
    python tools/prepare_data.py --from-dir ~/Downloads
    python tools/prepare_data.py --url https://mirror.example.org/series

The files come from public repositories (ETTh1, ETTh2, ETTm1: zhouhaoyi/ETDataset; WTH:
xun468/Time-GNN) at fixed commits. mitdb ships with sktime and is not fetched. A file that is there
and intact is left alone; one that differs is replaced, and only by a whole and verified one.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from common.config import run_tool
from common.datafiles import cache_folder
from common.errors import UserError
from tsrep.named import NAMED, NamedSet

FETCHED = {name: named for name, named in NAMED.items() if named.url}


@dataclass(frozen=True)
class Config:
    names: tuple[str, ...] = tuple(FETCHED)
    """Series to fetch."""
    data_root: Path | None = None
    """Folder to fill, in its subfolder series/; None: the user cache."""
    from_dir: Path | None = None
    """Copy from this folder (or its series/) instead of downloading."""
    url: str | None = None
    """Folder URL that holds the files; None: $TSPCREP_DATA_URL, else the public sources."""


def main(config: Config) -> None:
    unknown = [name for name in config.names if name not in FETCHED]
    if unknown:
        raise UserError(f"no series {unknown[0]!r} to fetch: expected {', '.join(FETCHED)}")
    root = (config.data_root or cache_folder()).expanduser()
    rows = []
    for name in config.names:
        named = FETCHED[name]
        places = [root / named.file, root / "series" / named.file]
        path = next((place for place in places if _is_intact(place, named)), None)
        state = "intact"
        if path is None:
            path = places[1]
            state = _fetch(path, named, config)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        rows.append((name, str(named.rows), size, named.licence, state, str(path)))
    _print_table(("series", "rows", "size", "licence", "state", "file"), rows)


def _fetch(path: Path, named: NamedSet, config: Config) -> str:
    """Bring one file to ``path`` whole, or raise UserError and leave the place as it was."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if config.from_dir is not None:
            _copy(path, named, config.from_dir.expanduser())
            return "copied"
        base = config.url or os.environ.get("TSPCREP_DATA_URL") or named.url
        _download(path, named, f"{base.rstrip('/')}/{named.file}")
        return "downloaded"
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


def _copy(path: Path, named: NamedSet, source: Path) -> None:
    candidates = [source / named.file, source / "series" / named.file]
    found = next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise UserError(f"--from-dir {source} has no {named.file}, there or under series/")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Verify the copy, not the source: what is checked is what is kept.
        copy = Path(folder) / named.file
        shutil.copyfile(found, copy)
        if not _is_intact(copy, named):
            raise UserError(
                f"{found} is not the published {named.file}: its sha256 is "
                f"{pooch.file_hash(copy)}, expected {named.sha256}; take it from another source"
            )
        copy.replace(path)


def _download(path: Path, named: NamedSet, url: str) -> None:
    pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{named.sha256}",
                fname=named.file,
                path=folder,
                progressbar=True,
            )
        # requests' errors are OSErrors too, but not about our disk.
        except (requests.RequestException, ValueError) as error:
            raise UserError(
                f"{url}: {_reason(error)}; try again, give another source with --url, or "
                f"download {named.file} by hand and give its folder with --from-dir"
            ) from None
        (Path(folder) / named.file).replace(path)
    path.chmod(0o644)  # pooch leaves it to its owner alone; a data root may be shared


def _is_intact(path: Path, named: NamedSet) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == named.sha256


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _reason(error: Exception) -> str:
    """What went wrong with a download, shorter than its libraries say it."""
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the file was whole"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no connection to the server"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what came is not the published file, whose sha256 is known"
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    run_tool(main, Config)

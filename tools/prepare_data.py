"""Download the named data sets, verified by sha256, to where all tools find them.

    python tools/prepare_data.py
    python tools/prepare_data.py --names mosd
    python tools/prepare_data.py --names ETTh1 WTH --data-root data
    python tools/prepare_data.py --from-dir ~/Downloads
    python tools/prepare_data.py --url https://mirror.example.org/series

The files come from public repositories (ETTh1, ETTh2, ETTm1: zhouhaoyi/ETDataset; WTH:
xun468/Time-GNN; mosd, 97 MB: PointCloudLibrary/data) at fixed commits. mitdb ships with sktime and
is not downloaded. Intact files are kept; others are replaced, and only by complete, verified ones.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from pcrep.datasets import mosd
from tspcrep.common.config import run_tool
from tspcrep.common.datafiles import cache_folder
from tspcrep.common.errors import UserError
from tsrep.datasets.named import NAMED, NamedSet


@dataclass(frozen=True)
class File:
    path: str  # relative to the folder of its kind
    sha256: str
    remote: str  # relative to the URL of the source


@dataclass(frozen=True)
class _Published:
    kind: str  # the subfolder: series or points
    holds: str
    licence: str
    url: str
    files: tuple[File, ...]


def series(named: NamedSet) -> _Published:
    file = File(named.file, named.sha256, named.file)
    return _Published("series", f"{named.rows} rows", named.licence, named.url, (file,))


def _mosd_scenes() -> _Published:
    digests = mosd.SHA256
    files = tuple(
        File(f"mosd/{name}", digest, f"{'learn' if name.startswith('learn') else 'test'}/{name}")
        for name, digest in digests.items()
    )
    return _Published("points", f"{len(digests)} scenes", mosd.LICENCE, mosd.URL, files)


SERIES = {name: series(named) for name, named in NAMED.items() if named.url}
FETCHED = {**SERIES, "mosd": _mosd_scenes()}


@dataclass(frozen=True)
class Config:
    names: tuple[str, ...] = tuple(SERIES)
    """Data sets to download: names of series, or mosd; by default all series."""
    data_root: Path | None = None
    """Folder to fill, with subfolders series/ and points/; by default the user cache."""
    from_dir: Path | None = None
    """Folder to copy files from (also from its series/ and points/) instead of downloading."""
    url: str | None = None
    """URL of a folder with the files; by default $TSPCREP_DATA_URL, else the public sources."""


def main(config: Config) -> None:
    unknown = [name for name in config.names if name not in FETCHED]
    if unknown:
        raise UserError(f"no data {unknown[0]!r} to fetch: expected {', '.join(FETCHED)}")
    root = (config.data_root or cache_folder()).expanduser()
    rows: list[tuple[str, ...]] = []
    for name in config.names:
        published = FETCHED[name]
        files = tqdm(published.files, desc=name, delay=2, leave=False)
        places, states = zip(
            *(_ensure(file, published, root, config) for file in files), strict=True
        )
        size = f"{sum(place.stat().st_size for place in places) / 1e6:.1f} MB"
        state = next((state for state in states if state != "intact"), "intact")
        place = places[0] if len(places) == 1 else places[0].parent
        rows.append((name, published.holds, size, published.licence, state, str(place)))
    _print_table(("data", "holds", "size", "licence", "state", "path"), rows)


def _ensure(file: File, published: _Published, root: Path, config: Config) -> tuple[Path, str]:
    """The path of the file, and whether it was intact, copied or downloaded."""
    places = [root / file.path, root / published.kind / file.path]
    found = next((place for place in places if _is_intact(place, file.sha256)), None)
    if found is not None:
        return found, "intact"
    return places[1], _fetch(places[1], file, published, config)


def _fetch(path: Path, file: File, published: _Published, config: Config) -> str:
    """Write a complete file to ``path``, or raise UserError and leave ``path`` unchanged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if config.from_dir is not None:
            _copy(path, file, published.kind, config.from_dir.expanduser())
            return "copied"
        base = config.url or os.environ.get("TSPCREP_DATA_URL") or published.url
        _download(path, file, f"{base.rstrip('/')}/{file.remote}", len(published.files) == 1)
        return "downloaded"
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


def _copy(path: Path, file: File, kind: str, source: Path) -> None:
    candidates = [source / file.path, source / kind / file.path]
    found = next((place for place in candidates if place.is_file()), None)
    if found is None:
        raise UserError(f"--from-dir {source} has no {file.path}, there or under {kind}/")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        # Verify the copy, since that is what is kept.
        copy = Path(folder) / path.name
        shutil.copyfile(found, copy)
        if not _is_intact(copy, file.sha256):
            raise UserError(
                f"{found} is not the published {file.path}: its sha256 is "
                f"{pooch.file_hash(copy)}, expected {file.sha256}; take it from another source"
            )
        copy.replace(path)


def _download(path: Path, file: File, url: str, bar: bool) -> None:
    pooch.get_logger().setLevel("WARNING")  # the progress bar suffices
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=path.name,
                path=folder,
                progressbar=bar,
            )
        # Errors of requests are OSErrors too, but not of the local disk.
        except (requests.RequestException, ValueError) as error:
            raise UserError(
                f"{url}: {_reason(error)}; try again, give another source with --url, or "
                f"download {path.name} by hand and give its folder with --from-dir"
            ) from None
        (Path(folder) / path.name).replace(path)
    path.chmod(0o644)  # pooch makes it private; a data root may be shared


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == sha256


def _print_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _reason(error: Exception) -> str:
    """A short reason for a failed download."""
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off before the file was whole"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return "no connection to the server"
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what came is not the published file, whose sha256 is known"
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    run_tool(main, Config)

"""Find files of the UEA/UCR archive and stack their series into one array."""

import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tspcrep.common.datafiles import cache_folder
from tspcrep.common.errors import UserError
from tsrep.datasets.series import Panel, Scaler

Cells = Sequence[Sequence[np.ndarray]]  # cells[n][c]: the values of channel c of series n, (T_n,)


def panel_files(
    source: str | Path,
    known: Sequence[str],
    shipped: Path,
    download: Callable[[str, Path], None],
    root: str | Path | None = None,
) -> tuple[Path, Path]:
    """The train and the test file of a set.

    source: a name or a path. known: the names of the archive. shipped: folder of the sets that need
    no download. download: fetches a set by name into a folder. root: folder to search first.
    """
    name = str(source)
    if name not in known:
        return _files_at(Path(source).expanduser(), known)
    folders = [root, os.environ.get("TSPCREP_DATA"), cache_folder()]
    searched = [Path(f) / sub / name for f in folders if f for sub in ("", "classification")]
    for folder in (*searched, shipped / name):
        train, test = folder / f"{name}_TRAIN.ts", folder / f"{name}_TEST.ts"
        if train.is_file() and test.is_file():
            return train, test
    folder = cache_folder() / "classification"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download(name, folder)
    except Exception as error:  # sktime and its three transports each raise their own
        raise UserError(
            f"{name} was not found in --data-root ({root or 'not given'}), $TSPCREP_DATA or the "
            f"cache {cache_folder()}, and sktime cannot download it ({_one_line(error)}): "
            f"put {name}_TRAIN.ts and {name}_TEST.ts into {folder / name}"
        ) from None
    return _files_at(folder / name, known)


def stacked_cells(cells: Cells) -> np.ndarray:
    """(N, T, C) float64, NaN behind the end of each series."""
    steps = max(len(cell) for row in cells for cell in row)
    values = np.full((len(cells), steps, len(cells[0])), np.nan)
    for n, row in enumerate(cells):
        for channel, cell in enumerate(row):
            values[n, : len(cell), channel] = cell
    return values


def panel_of(
    name: str,
    train: tuple[np.ndarray, Sequence[str] | np.ndarray],
    test: tuple[np.ndarray, Sequence[str] | np.ndarray],
) -> Panel:
    """Panel from values (N, T, C), NaN where missing, and labels of both parts."""
    values = [train[0], test[0]]
    steps = max(part.shape[1] for part in values)
    values = [_extended(part, steps) for part in values]
    channels = [part.shape[2] for part in values]
    if channels[0] != channels[1]:
        raise UserError(
            f"{name} has {channels[0]} channels in train and {channels[1]} in test, "
            "expected the same number: fetch it again"
        )
    for part in values:
        if np.isinf(part).any():
            place = np.argwhere(np.isinf(part))[0]
            raise UserError(
                f"{name}: step {place[1] + 1} of series {place[0] + 1} is infinite, expected a "
                "finite number: correct it or mark it as missing (?)"
            )
    # Archives have constant channels, and users cannot change a published set.
    scaler = Scaler.fit(values[0], where=f"{name}'s train part", keep_constant=True)
    names = _sorted_classes({*map(str, train[1]), *map(str, test[1])})
    position = {label: i for i, label in enumerate(names)}
    labels = [
        np.array([position[str(y)] for y in part[1]], dtype=np.int64) for part in (train, test)
    ]
    return Panel(
        name=name,
        train=scaler.transform(values[0]),
        train_labels=labels[0],
        test=scaler.transform(values[1]),
        test_labels=labels[1],
        classes=names,
        scaler=scaler,
    )


def _files_at(path: Path, known: Sequence[str]) -> tuple[Path, Path]:
    if not path.exists():
        close = difflib.get_close_matches(str(path), known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"{path} does not exist: {hint}expected a name of the UEA/UCR archive or a folder with "
            "*_TRAIN.ts and *_TEST.ts"
        )
    found = sorted(path.glob("*_TRAIN.ts")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].name.endswith(("_TRAIN.ts", "_TEST.ts")):
        names = ", ".join(file.name for file in found) or "no such file"
        raise UserError(f"{path} holds {names}, expected one *_TRAIN.ts beside its *_TEST.ts")
    stem = found[0].name.rpartition("_")[0]
    train, test = (found[0].with_name(f"{stem}_{part}.ts") for part in ("TRAIN", "TEST"))
    for file in (train, test):
        if not file.is_file():
            raise UserError(f"{file} does not exist: expected a train and a test file together")
    return train, test


def _extended(values: np.ndarray, steps: int) -> np.ndarray:
    """``values (N, T, C)`` with NaN up to ``steps``."""
    missing = steps - values.shape[1]
    return np.pad(values, [(0, 0), (0, missing), (0, 0)], constant_values=np.nan)


def _sorted_classes(labels: set[str]) -> tuple[str, ...]:
    """By value where all are numbers (2 before 10), else by name."""
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(sorted(labels))


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]

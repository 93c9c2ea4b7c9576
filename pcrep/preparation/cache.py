"""Disk cache of prepared scenes, filled by several processes."""

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pcrep.cloud import Cloud, Scenes
from tspcrep.common.arrays import read_arrays
from tspcrep.common.code_digest import code_digest
from tspcrep.common.datafiles import cache_folder
from tspcrep.common.errors import UserError
from tspcrep.common.runs import write_atomically

_Prepare = Callable[[Cloud, Any], Cloud]

_VERSION = 1  # of the files


def preprocessed(
    scenes: Scenes,
    prepare: _Prepare,
    settings: Any,
    folder: str | Path | None = None,
    workers: int | None = None,
) -> Scenes:
    """The scenes after ``prepare(cloud, settings)``, computed once and then read from disk.

    Each result is an uncompressed NPZ in ``folder``. Its name is a digest of every input: the
    arrays of the cloud, the settings, and the code of ``prepare``, that is of its module and of the
    modules of the same package that it uses. So no stale result is read, data sets may share a
    folder, and the folder may be deleted at any time. Files appear by atomic rename, so that
    processes may fill a folder together. A damaged file is recomputed when it is read.

    scenes : each is read once for its digest; at most two per process are held in memory.
    prepare : a deterministic module-level function.
    settings : a dataclass whose ``repr`` states all of it.
    folder : None for ``prepared`` in the user cache.
    workers : processes; None for one per available core, 1 for none but this one. Processes are
        spawned, since numba's threads do not survive a fork: call this under
        ``if __name__ == "__main__":`` in a script.

    Raises UserError where a scene cannot be used, the folder cannot be written or a process dies.
    """
    folder = cache_folder() / "prepared" if folder is None else Path(folder)
    recipe = _recipe(prepare, settings)
    paths, names = _fill(scenes, prepare, settings, folder, recipe, workers or _cores())
    return replace(scenes, read=partial(_read, scenes, prepare, settings, paths, names))


def _read(
    scenes: Scenes,
    prepare: _Prepare,
    settings: Any,
    paths: list[Path],
    names: list[str],
    index: int,
) -> Cloud:
    """A scene from its file, or prepared once more; sent to processes that load batches."""
    kept = _load(paths[index])
    if kept is None:
        kept = prepare(scenes[index], settings)
        _store(kept, paths[index])
    return replace(kept, name=names[index])


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fill(
    scenes: Scenes, prepare: _Prepare, settings: Any, folder: Path, recipe: bytes, workers: int
) -> tuple[list[Path], list[str]]:
    """Compute missing files; return the path of the file and the name of each cloud."""
    paths: list[Path] = []
    names: list[str] = []
    begun: set[Path] = set()  # scenes that are alike are prepared once
    pending: set[Future] = set()
    spawn = multiprocessing.get_context("spawn")
    # No process starts before there is something for it to do.
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_on_one_thread)
    bar = tqdm(total=len(scenes), desc="preparing scenes", delay=2, leave=False)
    try:
        for cloud in scenes:
            path = folder / f"{_digest(cloud, recipe)}.npz"
            missing = path not in begun and not path.exists()
            paths.append(path)
            names.append(cloud.name)
            begun.add(path)
            if missing and workers > 1:
                pending.add(pool.submit(_prepare_and_store, cloud, path, prepare, settings))
            elif missing:
                _prepare_and_store(cloud, path, prepare, settings)
            pending = _wait(pending, 2 * workers - 1)
            bar.update(len(paths) - len(pending) - bar.n)
        while pending:
            pending = _wait(pending, len(pending) - 1)
            bar.update(len(paths) - len(pending) - bar.n)
    except BrokenProcessPool:
        raise UserError(
            f"{scenes.name}: a process that prepared scenes died, as when memory runs out or a "
            'script lacks if __name__ == "__main__"; crop the scenes or ask for fewer workers'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()
    return paths, names


def _wait(pending: set[Future], most: int) -> set[Future]:
    """Wait until at most ``most`` futures are pending, and return those."""
    while len(pending) > most:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
    return pending


def _on_one_thread() -> None:
    torch.set_num_threads(1)  # numba's loops follow: ``tspcrep.common.jit``


def _prepare_and_store(cloud: Cloud, path: Path, prepare: _Prepare, settings: Any) -> None:
    _store(prepare(cloud, settings), path)


def _store(cloud: Cloud, path: Path) -> None:
    arrays: dict[str, Any] = cloud.arrays()
    try:
        write_atomically(path, lambda file: np.savez(file, **arrays))
    except UserError as error:
        raise UserError(f"{error}; give another folder for prepared scenes or make room") from None


def _load(path: Path) -> Cloud | None:
    """Load a cloud; None where the file is missing or damaged."""
    try:
        arrays: dict[str, Any] = read_arrays(path)
        return Cloud(**arrays)
    except (ValueError, TypeError):
        return None


def _digest(cloud: Cloud, recipe: bytes) -> str:
    digest = hashlib.blake2b(recipe, digest_size=20)
    for name, values in sorted(cloud.arrays().items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _recipe(prepare: _Prepare, settings: Any) -> bytes:
    """Digest of the settings and of the code."""
    digest = hashlib.blake2b(f"{_VERSION}\n{settings!r}\n".encode())
    digest.update(code_digest([prepare], {prepare.__module__.partition(".")[0]}))
    return digest.digest()

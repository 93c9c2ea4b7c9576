"""Encode a folder of Parquet files of any size: a series in each row, a file of vectors for each.

See :mod:`tspcrep.common.shards` for what holds of the files.
"""

import hashlib
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from tspcrep.common.errors import UserError
from tspcrep.common.ray_data import map_with_ray
from tspcrep.common.shards import Work, map_here, missing_shards
from tspcrep.common.weights import encoder_file, encoder_path
from tsrep.batches import Embedder
from tsrep.encoders.files import SHIPPED, load_encoder

Workers = Literal["local", "ray"]
"""Who encodes: processes of this machine, or Ray."""


def embed_shards(
    embedder: Embedder,
    data: Path,
    output: Path,
    workers: Workers = "local",
    processes: int | None = None,
) -> int:
    """Write the rows of each Parquet file of ``data``, with a vector, to its name in ``output``.

    processes : files at a time, None for as many as there are cores. Files that are there already
    are passed over. Returns the number of rows written.

    Raises
    ------
    UserError
        Files in ``output`` are of other weights or options; a file is none of Parquet, or has a row
        that cannot be encoded; a local process died; Ray is not installed.
    """
    if processes is not None and processes < 1:
        raise UserError(f"--processes: found {processes}, expected at least 1")
    path = encoder_file(encoder_path(embedder.encoder, SHIPPED))
    load_encoder(path)  # what is amiss with it shows before a process starts
    made = asdict(embedder) | {"encoder": hashlib.sha256(path.read_bytes()).hexdigest()}
    # Another machine may have another working directory; what is shipped, it has of its own.
    shipped = path.parent == SHIPPED
    embedder = embedder if shipped else replace(embedder, encoder=path.resolve())
    work = Work(embedder, made)
    shards = [(a.resolve(), b.resolve()) for a, b in missing_shards(data, output, work)]
    if not shards:
        return 0
    if workers == "ray":
        done = map_with_ray(work, shards, processes)
    else:
        done = map_here(work, shards, processes or os.cpu_count() or 1)
    return sum(tqdm(done, total=len(shards), desc="embed", unit="file", delay=2, leave=False))

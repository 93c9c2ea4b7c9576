"""Map a callable of batches over a folder of Parquet files: a file in, a file of its name out.

Each is read a few rows at a time, and appears whole or not at all. So memory does not grow with the
data, and a run that was stopped goes on with the same call: what is written is passed over.
"""

import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tspcrep.common.errors import UserError
from tspcrep.common.runs import sweep, write_atomically

_ROWS = 1024
"""Rows in memory at a time."""
_MADE = b"tspcrep.made"
"""Key of the Parquet metadata that says how a file was made."""

Shard = tuple[Path, Path]
"""The file that is read and the one that is written."""


@dataclass(frozen=True)
class Work:
    """What is done with each shard, by any process.

    function : Arrow table -> Arrow table with the same rows; picklable. made : all that its result
    depends on, as JSON; it is kept in each file.
    """

    function: Callable[[pa.Table], pa.Table]
    made: dict[str, object]

    def __call__(self, shard: Shard) -> int:
        """Write the result of a shard; the number of its rows.

        Raises UserError, with the name of the file, where it is no Parquet file or has rows that
        the function cannot use.
        """
        source, target = shard
        try:
            with pq.ParquetFile(source) as file:
                write_atomically(target, lambda out: self._write(file, out))
                return file.metadata.num_rows
        except UserError as error:
            raise UserError(f"{source}: {error}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{source}: not a Parquet file, or damaged ({error})") from error

    def _write(self, file: pq.ParquetFile, out: BinaryIO) -> None:
        batches = (pa.Table.from_batches([batch]) for batch in file.iter_batches(_ROWS))
        # A file without rows gets the columns of the others.
        first = self.function(next(batches, None) or file.schema_arrow.empty_table())
        schema = first.schema.with_metadata(
            (first.schema.metadata or {}) | {_MADE: json.dumps(self.made)}
        )
        with pq.ParquetWriter(out, schema) as writer:
            for table in itertools.chain([first], map(self.function, batches)):
                writer.write_table(table.cast(schema))


def shards_of(data: Path) -> list[Path]:
    """Parquet files of a folder and those below it, in order; [] for none, or for no folder.

    Hidden files and what begins with ``_`` are passed over, as Spark and Hive do.
    """
    found = sorted(data.rglob("*.parquet")) if data.is_dir() else []
    inner = [path.relative_to(data).parts for path in found]
    return [p for p, parts in zip(found, inner, strict=True) if not _is_hidden(parts)]


def missing_shards(data: Path, output: Path, work: Work) -> list[Shard]:
    """Shards of ``data`` whose result is not in ``output`` yet; leftovers there are removed.

    Raises
    ------
    UserError
        ``output`` is a file, or that of the data; a result there is of other weights or options, or
        of another number of rows.
    """
    if output.is_file():
        raise UserError(f"--output {output}: is a file, expected a folder")
    inside, outside = output.resolve(), data.resolve()
    if inside == outside or outside in inside.parents:
        raise UserError(f"--output {output}: is in the folder of the data, expected another one")
    sweep(output)
    shards = [(path, output / path.relative_to(data)) for path in shards_of(data)]
    return [shard for shard in shards if not _is_there(shard, work)]


def map_here(work: Work, shards: Sequence[Shard], processes: int) -> Iterator[int]:
    """The rows of each shard as it is written, by processes of this machine; with 1, by this one.

    Raises UserError where a process died.
    """
    if processes == 1 or len(shards) < 2:
        yield from map(work, shards)
        return
    threads = max(1, torch.get_num_threads() // processes)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, spawn, torch.set_num_threads, (threads,))
    try:
        for done in as_completed([pool.submit(work, shard) for shard in shards]):
            yield done.result()
    except BrokenProcessPool:
        raise UserError(
            "a process died, as when memory runs out; the same command goes on, with fewer "
            "--processes"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _is_there(shard: Shard, work: Work) -> bool:
    source, target = shard
    if not target.exists():
        return False
    try:
        here = pq.read_metadata(target)
        rows = pq.read_metadata(source).num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{target}: not a Parquet file, or its source is not ({error})") from error
    made = (here.metadata or {}).get(_MADE)
    if made is None or json.loads(made) != work.made or here.num_rows != rows:
        raise UserError(
            f"{target}: was made of other data, weights or options: choose another --output"
        )
    return True

"""Map a callable over shards with Ray Data, on this machine or on a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tspcrep.common.errors import UserError
from tspcrep.common.shards import Shard, Work


def map_with_ray(work: Work, shards: Sequence[Shard], processes: int | None) -> Iterator[int]:
    """The rows of each shard as it is written, one shard a task of one core.

    The cluster is one that this process has connected to, or that of ``$RAY_ADDRESS``, or one that
    Ray starts on this machine. All its nodes must see the files. Ray does the shards of a worker
    that died again; since a file appears whole or not at all, each row is there once. processes :
    shards at a time, None for as many as there are cores.

    Raises
    ------
    UserError
        Ray is not installed; of the work.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--workers ray needs Ray: pip install 'tspcrep[ray]'") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"source": str(source), "target": str(target)} for source, target in shards]
    items = ray.data.from_items(rows, override_num_blocks=len(rows))
    done = items.map(_Task(work), concurrency=processes)
    try:
        for row in done.iter_rows():
            yield row["rows"]
    except ray.exceptions.RayError as error:
        found = _cause(error)
        if isinstance(found, UserError):
            raise UserError(str(found)) from None
        raise


@dataclass(frozen=True)
class _Task:
    """The work on a row of the data set of shards."""

    work: Work

    def __call__(self, row: dict[str, str]) -> dict[str, int]:
        return {"rows": self.work((Path(row["source"]), Path(row["target"])))}


def _cause(error: BaseException) -> BaseException:
    """What a task raised, below what Ray wraps around it."""
    inner = getattr(error, "cause", None) or error.__cause__
    return _cause(inner) if inner is not None and not isinstance(error, UserError) else error

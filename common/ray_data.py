"""Map a callable over shards with Ray Data, on this machine or on a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tspcrep.common.errors import UserError
from tspcrep.common.runs import sweep
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
    for row in done.iter_rows():
        if row["error"]:
            raise UserError(row["error"])
        yield row["rows"]
    for folder in {target.parent for _, target in shards}:
        sweep(folder)  # what a worker that died had half written


@dataclass(frozen=True)
class _Task:
    """The work on a row of the data set of shards.

    What a user can correct is a value: Ray wraps what is raised, and tries it again.
    """

    work: Work

    def __call__(self, row: dict[str, str]) -> dict[str, int | str]:
        try:
            return {"rows": self.work((Path(row["source"]), Path(row["target"]))), "error": ""}
        except UserError as error:
            return {"rows": 0, "error": str(error)}

"""Folders of Parquet files, and a function that is killed in the middle of one, once."""

import os
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.tools.running import contents


def fill(folder, files=4, rows=30, steps=40):
    """Files of series with a number each; {number: series}."""
    rng, series = np.random.default_rng(0), {}
    for file in range(files):
        folder.joinpath(f"day={file}").mkdir(parents=True)
        ids = np.arange(rows) + rows * file
        values = rng.normal(3, 2, (rows, steps)).astype(np.float32)
        series |= dict(zip(ids.tolist(), values, strict=True))
        table = pa.table({"id": ids, "values": values.tolist()})
        pq.write_table(table, folder / f"day={file}" / "part.parquet", row_group_size=7)
    return series


def written(folder):
    """The rows of all files, in order of their names."""
    return pa.concat_tables(pq.ParquetFile(p).read() for p in sorted(folder.rglob("*.parquet")))


class DieOnce:
    """Adds a column; the first process that sees row 40 is killed in the middle of its file."""

    def __init__(self, marker):
        self.marker = marker

    def __call__(self, table):
        if 40 in table["id"].to_pylist() and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return table.append_column("twice", pa.array(2 * table["id"].to_numpy()))


def assert_twice(output, rows):
    """Every row is there once, with its column, and nothing else lies about."""
    found = written(output)
    assert found["id"].to_pylist() == list(range(rows))
    assert found["twice"].to_pylist() == list(range(0, 2 * rows, 2))
    assert not [path for path in contents(output) if path.suffix != ".parquet"]

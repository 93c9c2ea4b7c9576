"""tools/embed.py on folders of Parquet files, against the vectors of each row alone."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.tools.running import contents, is_one_line
from tests.tools.shards import DieOnce, assert_twice, fill, written
from tspcrep.common.shards import Work, map_here, missing_shards
from tsrep import encode, load_encoder


def is_all(output, series):
    """Every row once, with the vector of its series."""
    found = written(output)
    ids = found["id"].to_pylist()
    assert ids == sorted(series)
    values = np.stack([series[i] for i in ids])
    mean, std = values.mean(1, keepdims=True), values.std(1, keepdims=True)
    vectors = encode(load_encoder("series-small"), ((values - mean) / std)[..., None], pool=True)
    np.testing.assert_allclose(np.stack(found["vector"].to_numpy()), vectors, atol=1e-4)


def embed(tool, data, output, *options):
    arguments = ["--encoder", "series-small", "--data", data, "--output", output, "--own-scale"]
    return tool("embed", *arguments, *options)


def test_every_row_once_and_what_is_there_stays(tool, tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    series = fill(data)
    (data / "_temporary").mkdir()
    (data / "_temporary/half.parquet").write_bytes(b"PAR1")
    status, _, stderr = embed(tool, data, output, "--processes", 2)
    assert status == 0, stderr
    is_all(output, series)
    first, *others = sorted(output.rglob("*.parquet"))
    before = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    (output / ".part.parquet.killed.part").write_bytes(b"half")
    status, _, stderr = embed(tool, data, output, "--processes", 1)
    assert status == 0, stderr
    is_all(output, series)
    assert before == {path: path.stat().st_mtime_ns for path in others}
    assert len(contents(output)) == 4


def test_a_file_without_rows_has_the_columns_of_others(tool, tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    series = fill(data, files=1)
    whole = pq.read_table(data / "day=0/part.parquet", partitioning=None)
    pq.write_table(whole.slice(0, 0), data / "empty.parquet")
    status, _, stderr = embed(tool, data, output, "--processes", 1)
    assert status == 0, stderr
    is_all(output, series)
    found = [pq.read_schema(path) for path in output.rglob("*.parquet")]
    assert len(found) == 2 and found[0].equals(found[1])


def test_what_cannot_be_embedded_is_one_line(tool, tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    fill(data, files=2)
    before = contents(data)
    for options, words in (
        (("--label", "id"), ("--label", "a series a row")),
        (("--columns", "value"), ("part.parquet", "no column 'value'")),
        (("--columns", "a", "b"), ("--columns a b",)),
        (("--processes", 0), ("--processes", "at least 1")),
        (("--output", data / "out"), ("in the folder of the data",)),
    ):
        status, _, stderr = embed(tool, data, output, *options)
        is_one_line(status, stderr, *words)
        assert not contents(output) and contents(data) == before
    status, _, stderr = embed(tool, data / "day=0/part.parquet", output, "--processes", 2)
    is_one_line(status, stderr, "--processes", "--data is none")
    (data / "day=1/part.parquet").write_bytes(b"PAR1 and nothing")
    status, _, stderr = embed(tool, data, output, "--processes", 1)
    is_one_line(status, stderr, "day=1", "damaged")


def test_results_of_other_options_are_not_mixed(tool, tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    fill(data, files=2)
    assert embed(tool, data, output, "--processes", 1)[0] == 0
    table = pq.read_table(data / "day=0/part.parquet", partitioning=None)
    pq.write_table(table.slice(1), data / "day=0/part.parquet")
    status, _, stderr = embed(tool, data, output)
    is_one_line(status, stderr, "day=0", "other data, weights or options")


def test_the_same_call_goes_on_after_a_process_was_killed(tmp_path):
    data, output = tmp_path / "in", tmp_path / "out"
    fill(data)
    work = Work(DieOnce(tmp_path / "killed"), {"twice": True})
    with pytest.raises(ValueError, match="a process died"):
        list(map_here(work, missing_shards(data, output, work), 2))
    rest = missing_shards(data, output, work)
    assert any("day=1" in str(source) for source, _ in rest)
    assert sum(map_here(work, rest, 2)) == 30 * len(rest)
    assert_twice(output, 4 * 30)

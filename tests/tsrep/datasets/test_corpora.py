"""Folders of tables as corpora, and several corpora in one batch."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets.corpora import CorpusBatches
from tsrep.datasets.folders import FolderCorpus
from tsrep.datasets.synthetic import SyntheticCorpus


def write(folder, name, **columns):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    frame = pd.DataFrame(columns)
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path, "a.parquet", load=5 + rng.standard_normal(70), wind=rng.standard_normal(70))
    write(tmp_path, "inside/b.csv", x=np.arange(20.0))
    return tmp_path


def test_each_column_is_a_series_cut_into_pieces(folder):
    corpus = FolderCorpus(folder, steps=32)
    a = pd.read_parquet(folder / "a.parquet")
    expected = []
    for series in (a["load"], a["wind"], pd.Series(np.arange(20.0))):
        scaled = ((series - series.mean()) / series.std(ddof=0)).to_numpy()
        expected += [scaled[start : start + 32] for start in range(0, len(scaled), 32)]
    expected = [piece for piece in expected if len(piece) >= 8]  # 6 steps are left of 70
    assert len(corpus) == len(expected) == 5
    for found, piece in zip(corpus.values, expected, strict=True):
        np.testing.assert_allclose(found[: len(piece), 0], piece, atol=1e-5)
        assert np.isnan(found[len(piece) :]).all()


@pytest.fixture
def cache(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return place


@pytest.mark.parametrize("memory", [1, 2 * 4 * 32, 5 * 4 * 32])
def test_pieces_on_disk_are_those_in_memory(folder, cache, memory):
    held, corpus = FolderCorpus(folder, steps=32), FolderCorpus(folder, steps=32, memory=memory)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == (0 if memory == 5 * 4 * 32 else 1)
    assert corpus.fingerprint() == held.fingerprint()
    for same in (corpus, pickle.loads(pickle.dumps(corpus))):
        np.testing.assert_array_equal(same.values, held.values)
        np.testing.assert_array_equal(same[3], held[3])


def test_a_corpus_on_disk_is_sent_to_a_process_by_its_name(tmp_path, cache):
    write(tmp_path, "a.parquet", x=np.random.default_rng(0).standard_normal(100_000))
    corpus = FolderCorpus(tmp_path, steps=100, memory=1000)
    assert len(corpus) == 1000 and len(pickle.dumps(corpus)) < 2000


def test_a_full_cache_is_one_line(folder, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("file") / "cache"
    place.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    with pytest.raises(UserError, match=r"pieces.*f32"):
        FolderCorpus(folder, steps=32, memory=1)


@pytest.mark.parametrize("ids", [False, True])
def test_a_large_parquet_file_is_read_by_its_row_groups(tmp_path, cache, ids):
    """Each is a table of its own, and memory is that of one."""
    rows, group = 400_000, 40_000
    rng, times = np.random.default_rng(0), pd.date_range("2000-01-01", periods=rows, freq="min")
    frame = pd.DataFrame({"t": times, "x": rng.standard_normal(rows)})
    if ids:  # of two series, one after the other
        frame = frame.assign(t=[*times[: rows // 2]] * 2, id=np.repeat(["a", "b"], rows // 2))
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=group)
    tracemalloc.start()
    corpus = FolderCorpus(tmp_path, steps=500, memory=1 << 16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    parts = frame["x"].to_numpy().reshape(-1, group)
    scaled = (parts - parts.mean(1, keepdims=True)) / parts.std(1, keepdims=True)
    np.testing.assert_allclose(corpus.values.reshape(-1, group), scaled, atol=1e-5)
    assert peak < 8 * frame.memory_usage(deep=True).sum() / 10  # pandas copies


def test_a_damaged_row_group_leaves_the_file_out(folder, cache):
    frame = pd.DataFrame({"x": np.random.default_rng(0).standard_normal(4000)})
    frame.to_parquet(folder / "bad.parquet", row_group_size=1000, compression=None)
    content = bytearray((folder / "bad.parquet").read_bytes())
    content[4:1000] = bytes(996)  # of the first row group
    (folder / "bad.parquet").write_bytes(bytes(content))
    with pytest.warns(UserWarning, match=r"1 of 3 files are left out: .*bad.*row group 0"):
        assert len(FolderCorpus(folder, steps=32, memory=1000)) >= 5


@pytest.mark.parametrize("bad", ["text", "empty", "short", "not parquet"])
def test_a_bad_file_is_named_and_left_out(folder, bad):
    name = "bad.parquet" if bad == "not parquet" else "bad.csv"
    content = {"text": "x\n1\nmany\n", "empty": "", "short": "x\n1\n2\n", "not parquet": "PAR"}
    (folder / name).write_text(content[bad])
    with pytest.warns(UserWarning, match=f"1 of 3 files are left out: .*{name}"):
        corpus = FolderCorpus(folder, steps=32)
    assert len(corpus) == 5


def test_an_error_when_most_files_are_bad(folder):
    for i in range(2):
        (folder / f"bad{i}.csv").write_text("x\nmany\n")
    with pytest.raises(UserError, match=r"2 of 4 files cannot be used.*the first: .*bad0"):
        FolderCorpus(folder)


def test_folders_without_tables(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        FolderCorpus(tmp_path / "none")
    with pytest.raises(UserError, match="holds no Parquet or CSV file"):
        FolderCorpus(tmp_path)


def test_missing_and_constant_columns(tmp_path):
    gaps = np.where(np.arange(40) % 3 == 0, np.nan, np.arange(40.0))
    write(tmp_path, "a.parquet", gaps=gaps, flat=np.ones(40), none=np.full(40, np.nan))
    corpus = FolderCorpus(tmp_path, steps=40)
    assert len(corpus) == 2
    np.testing.assert_array_equal(np.isnan(corpus[0][:, 0]), np.isnan(gaps))
    np.testing.assert_array_equal(corpus[1], 0)


def test_a_mixture_shows_real_series_more_often(folder):
    real, made = FolderCorpus(folder, steps=32), SyntheticCorpus(12, 32)
    data = CorpusBatches([made, real], [1, 3])
    assert len(data) == 12 + 3 * 5
    batch = data.__getitems__(range(27))
    expected = np.concatenate([made.draw(range(12)), *[real.values] * 3])
    np.testing.assert_array_equal(batch.values.numpy(), expected)
    again = data.__getitems__([26, 0, 12])
    np.testing.assert_array_equal(again.values.numpy(), expected[[26, 0, 12]])
    assert again.index.tolist() == [26, 0, 12]


def test_other_content_has_another_fingerprint(folder):
    def found(*corpora, repeats=None):
        return CorpusBatches(corpora, repeats or [1] * len(corpora)).fingerprint()

    made, real = SyntheticCorpus(12, 32), FolderCorpus(folder, steps=32)
    others = [
        found(made),
        found(real),
        found(made, real),
        found(made, real, repeats=[1, 2]),
        found(SyntheticCorpus(13, 32)),
        found(SyntheticCorpus(12, 32, seed=1)),
        found(FolderCorpus(folder, steps=16)),
    ]
    assert len(set(others)) == len(others)
    assert found(SyntheticCorpus(12, 32)) == others[0]


@pytest.mark.parametrize("repeats", [[], [1, 2], [0]])
def test_repeats_must_fit(repeats):
    with pytest.raises(UserError, match="one number of at least 1 for each"):
        CorpusBatches([SyntheticCorpus(5, 32)], repeats)

"""Folders of tables as corpora, and several corpora in one batch."""

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

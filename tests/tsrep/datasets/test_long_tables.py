"""Long tables, a row for each series and time, against the same series read one by one."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets import Collection, Series, load, load_any, load_wide
from tsrep.datasets.folders import FolderCorpus
from tsrep.datasets.tables import read_table, read_tables

FOUND = pytest.mark.filterwarnings("ignore::tspcrep.common.errors.DataWarning")


def made(lengths, names="unique_id ds y", seed=0):
    """A long table of series of these lengths, which start on different days."""
    rng = np.random.default_rng(seed)
    name, time, value = names.split()
    parts = [
        pd.DataFrame(
            {
                name: f"s{i}",
                time: pd.date_range("2024-01-01", periods=rows, freq="D") + pd.Timedelta(days=i),
                value: rng.normal(10 * i, 1 + i, rows),
            }
        )
        for i, rows in enumerate(lengths)
    ]
    return pd.concat(parts, ignore_index=True)


@FOUND
@pytest.mark.parametrize("names", ["unique_id ds y", "store date sales", "id time load"])
@pytest.mark.parametrize("order", ["stacked", "by time", "shuffled"])
def test_series_equal_those_of_their_own_files(tmp_path, names, order):
    table = made((50, 30, 41), names)
    name, time, value = names.split()
    shuffled = {
        "stacked": table,
        "by time": table.sort_values([time, name]),
        "shuffled": table.sample(frac=1, random_state=0),
    }[order]
    shuffled.to_csv(tmp_path / "long.csv", index=False)
    found = load_any(tmp_path / "long.csv")
    assert isinstance(found, Collection)
    assert sorted(found.ids) == ["s0", "s1", "s2"] and found.columns == (value,)
    for one, series in zip(found.ids, found.series, strict=True):
        table[table[name] == one].drop(columns=name).to_csv(tmp_path / "one.csv", index=False)
        expected = load(tmp_path / "one.csv")
        assert series.name == one and series.split == expected.split
        assert series.times.to_list() == expected.times.to_list()
        np.testing.assert_allclose(series.values, expected.values, rtol=1e-6)
        np.testing.assert_allclose(series.calendar, expected.calendar)
        np.testing.assert_allclose(series.scaler.mean, expected.scaler.mean)


@FOUND
def test_the_train_rows_of_all_are_stacked_with_nan_behind_shorter_ones(tmp_path):
    made((50, 30)).to_csv(tmp_path / "a.csv", index=False)
    found = load_any(tmp_path / "a.csv")
    assert found.train.shape == (2, 30, 1)
    np.testing.assert_array_equal(found.train[1, :18], found.series[1].train[0])
    assert np.isnan(found.train[1, 18:]).all()


def test_what_is_found_is_said(tmp_path):
    table = pd.concat([made((20, 20)), made((1,)).assign(unique_id="lonely")])
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(DataWarning) as caught:
        found = read_tables(tmp_path / "a.csv")
    said = [str(one.message) for one in caught]
    assert "3 series, told apart by column 'unique_id'" in said[0]
    assert "left out, as it has one row: series lonely" in said[1]
    assert [one.id for one in found.series] == ["s0", "s1"]


@FOUND
def test_absent_rows_of_each_series_are_filled_in(tmp_path):
    table = made((50, 30, 41))
    gone = table.drop(index=[10, 11, 60, 100])
    gone.to_csv(tmp_path / "absent.csv", index=False)
    table.assign(y=table["y"].where(table.index.isin(gone.index))).to_csv(
        tmp_path / "empty.csv", index=False
    )
    absent, empty = (read_tables(tmp_path / f"{name}.csv") for name in ("absent", "empty"))
    for one, other in zip(absent.series, empty.series, strict=True):
        assert one.times.to_list() == other.times.to_list()
        np.testing.assert_array_equal(one.values, other.values)


@FOUND
def test_two_columns_tell_series_apart(tmp_path):
    parts = [
        made((20,))
        .drop(columns="unique_id")
        .assign(store=s, item=i, y=np.arange(20.0) + s + 10 * i)
        for s in (1, 2)
        for i in (1, 2)
    ]
    pd.concat(parts).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match=r"repeats|is earlier than .* --id-column"):
        load_any(tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"series '1': holds 2024-01-01 .* twice.*a second column"):
        load_any(tmp_path / "a.csv", id_column="store")
    found = load_any(tmp_path / "a.csv", id_column=("store", "item"))
    assert found.ids == ("1/1", "1/2", "2/1", "2/2") and found.columns == ("y",)


def test_one_series_is_asked_for(tmp_path):
    made((20, 20)).to_csv(tmp_path / "a.csv", index=False)
    for read in (load, read_table):
        with (
            pytest.warns(DataWarning),
            pytest.raises(UserError, match="holds 2 series, 's0' and others, expected one"),
        ):
            read(tmp_path / "a.csv")


@FOUND
def test_a_constant_id_is_no_collection(tmp_path):
    made((20,)).to_csv(tmp_path / "a.csv", index=False)
    assert isinstance(load_any(tmp_path / "a.csv"), Series)


@FOUND
def test_series_of_different_frequencies(tmp_path):
    table = pd.concat(
        [
            made((20,)),
            pd.DataFrame(
                {"unique_id": "h", "ds": pd.date_range("2024", periods=9, freq="h"), "y": 1.0}
            ),
        ]
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match="series 's0' has days, series 'h' has hours, expected one"):
        load_any(tmp_path / "a.csv")
    found = read_tables(tmp_path / "a.csv", frequency="D")
    assert [len(one.times) for one in found.series] == [20, 1]


@FOUND
def test_an_index_of_two_levels(tmp_path):
    index = pd.MultiIndex.from_product(
        [["A", "B"], pd.date_range("2024-01-01", periods=30)], names=["id", "ds"]
    )
    pd.DataFrame({"y": np.arange(60.0)}, index=index).to_parquet(tmp_path / "a.parquet")
    found = read_tables(tmp_path / "a.parquet")
    assert [one.id for one in found.series] == ["A", "B"]
    assert found.series[1].values[:, 0].tolist() == list(range(30, 60))


@FOUND
def test_a_series_without_numbers_is_named_and_left_out(tmp_path):
    table = made((20, 20, 2))
    table.loc[table["unique_id"] == "s1", "y"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(DataWarning, match=r"left out, with fewer than 3 rows.*: series s1, s2"):
        found = load_any(tmp_path / "a.csv")
    assert isinstance(found, Collection) and found.ids == ("s0",)


@FOUND
def test_counts_of_steps_within_each_series(tmp_path):
    table = pd.concat(
        [pd.DataFrame({"unique_id": i, "ds": np.arange(1, 21), "y": np.arange(20.0)}) for i in "AB"]
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    found = read_tables(tmp_path / "a.csv")
    assert all(one.times.equals(pd.RangeIndex(1, 21)) for one in found.series)


@FOUND
def test_a_long_table_is_a_corpus_of_its_series(tmp_path):
    made((50, 30), "shop ds y").assign(shop=lambda t: t["shop"].str[1:]).to_csv(
        tmp_path / "a.csv", index=False
    )
    corpus = FolderCorpus(tmp_path, steps=64, id_column="shop")
    assert [int(np.isfinite(piece).sum()) for piece in corpus] == [50, 30]


@FOUND
def test_a_channel_for_each_series_on_common_times(tmp_path):
    table = made((50, 30, 41))
    table.to_csv(tmp_path / "a.csv", index=False)
    found = load_wide(tmp_path / "a.csv")
    expected = table.pivot(index="ds", columns="unique_id", values="y")
    assert found.columns == ("s0", "s1", "s2")
    assert found.times.to_list() == expected.index.to_list()
    raw = found.scaler.inverse(found.values[0])
    np.testing.assert_allclose(raw, expected.to_numpy(), rtol=1e-5)
    chosen = load_wide(tmp_path / "a.csv", columns=("s2", "s0"))
    np.testing.assert_array_equal(chosen.values, found.values[..., [2, 0]])
    with pytest.raises(UserError, match="no column 's7': its columns are s0, s1, s2"):
        load_wide(tmp_path / "a.csv", columns=("s7",))

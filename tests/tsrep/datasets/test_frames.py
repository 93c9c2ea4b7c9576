"""Data frames are read as the Parquet files of them are."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets import load, load_any
from tsrep.datasets.loading import load_wide


def to_polars(frame):
    return pytest.importorskip("polars", reason="polars is not installed").from_pandas(frame)


KINDS = {"pandas": pd.DataFrame.copy, "arrow": pa.Table.from_pandas, "polars": to_polars}
MANY = pytest.mark.parametrize("kind", KINDS)


def wide():
    random = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=60, freq="h")
    frame = pd.DataFrame({"time": times, "load": random.random(60), "price": random.random(60)})
    frame.loc[7, "price"] = np.nan
    return frame


def long():
    one = wide()
    return pd.concat([one.assign(shop="a"), one.assign(shop="b", load=one.load + 1)])


def equal(found, expected):
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.times.equals(expected.times) and found.columns == expected.columns
    assert (found.split, found.period) == (expected.split, expected.period)
    assert found.scaler.mean.tolist() == expected.scaler.mean.tolist()


@MANY
def test_one_series(tmp_path, kind):
    wide().to_parquet(tmp_path / "frame.parquet", index=False)
    for options in ({}, {"target": "load"}, {"columns": ["price", "load"]}):
        found = load(KINDS[kind](wide()), **options)
        equal(found, load(tmp_path / "frame.parquet", **options))
        assert found.name == "frame"


@MANY
@pytest.mark.filterwarnings("ignore:.* 2 series, told apart by column 'shop'")
def test_a_long_one(tmp_path, kind):
    long().reset_index(drop=True).to_parquet(tmp_path / "frame.parquet")
    given = KINDS[kind](long().reset_index(drop=True))
    found, expected = load_any(given), load_any(tmp_path / "frame.parquet")
    assert found.ids == expected.ids == ("a", "b")
    for one, other in zip(found.series, expected.series, strict=True):
        equal(one, other)
    equal(load_wide(given), load_wide(tmp_path / "frame.parquet"))
    names = load_wide(given).columns[:1]
    equal(load_wide(given, columns=names), load_wide(tmp_path / "frame.parquet", columns=names))
    with pytest.raises(UserError, match=r"^frame holds 2 series, 'a' and others"):
        load(given)


def test_an_index_of_times_is_read_and_the_frame_stays_as_it_is():
    given = wide().set_index("time")
    before = given.copy()
    equal(load(given), load(wide()))
    pd.testing.assert_frame_equal(given, before)


def test_what_is_no_frame_is_one_line():
    for thing in ([1, 2], np.zeros((3, 2))):
        with pytest.raises(UserError, match=r"expected a path, or a data frame of pandas, polars"):
            load(thing)
    with pytest.raises(UserError, match="frame has no rows"):
        load(wide().iloc[:0])
    double = wide().rename(columns={"price": "load"})
    with pytest.raises(UserError, match=r"frame.*'load'"):
        load(double)


def test_a_lazy_frame_is_to_be_collected():
    with pytest.raises(UserError, match=r"found a LazyFrame.*collect\(\) it first"):
        load(to_polars(wide()).lazy())
